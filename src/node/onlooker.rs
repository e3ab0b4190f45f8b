//! Those who look at each frame's result, on the inference thread, after it was published.

use r2r::diagnostic_msgs::msg::DiagnosticStatus;

/// What the places of sightings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SightKind {
    /// Boxes in an image: x_min, y_min, x_max, y_max as shares of the image's width and height.
    Boxes,
    /// Places around a lidar: x, y in its frame, length, width, all in metres.
    Places,
}

/// One object of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sighting {
    /// Index of its class.
    pub(super) class: usize,
    /// Its score, 0 to 1.
    pub(super) score: f32,
    /// Where it is; see [`SightKind`].
    pub(super) place: [f32; 4],
}

/// A frame and what was published of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    /// The sensor's message as it came, in CDR.
    pub(super) message: &'a [u8],
    /// Its stamp in nanoseconds.
    pub(super) stamp: i64,
    /// Its coordinate frame.
    pub(super) frame_id: &'a str,
    /// What was found in it.
    pub(super) sightings: &'a [Sighting],
    /// The classes that the sightings' numbers mean.
    pub(super) classes: &'a [String],
    /// What the sightings' places are.
    pub(super) kind: SightKind,
}

/// Somebody who looks at each frame's result. It holds the inference thread up as long as it looks.
pub(super) trait Onlooker: Send {
    /// Looks at a frame.
    fn look(&mut self, frame: &Frame<'_>);

    /// What diagnostics say of it; `node` is the node's full name.
    fn status(&mut self, node: &str) -> Option<DiagnosticStatus>;

    /// Whether it waits for frames also while nobody else does.
    fn wants_frames(&self) -> bool {
        false
    }

    /// Another model is at work from the next frame on.
    fn model_changed(&mut self, _model: &ModelIdentity) {}
}

/// What is known of a model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ModelIdentity {
    /// Its file.
    pub(super) path: String,
    /// SHA-256 of the file, hexadecimal.
    pub(super) sha256: String,
    /// The bundle's version; none of a foreign model.
    pub(super) bundle_version: Option<u32>,
    /// What it was worth when it was evaluated, by name.
    pub(super) figures: serde_json::Map<String, serde_json::Value>,
    /// Its classes.
    pub(super) classes: Vec<String>,
    /// What computes it.
    pub(super) provider: &'static str,
    /// Learnt parameters; 0 where the file does not tell.
    pub(super) parameters: u64,
}
