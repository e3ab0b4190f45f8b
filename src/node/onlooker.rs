//! Those who look at each frame's result, on the inference thread, after it was published.

use r2r::diagnostic_msgs::msg::DiagnosticStatus;

/// What [`Sighting::place`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SightKind {
    /// Camera: `x_min, y_min, x_max, y_max` as shares of the image's width and height.
    Boxes,
    /// Lidar: `x, y` in the sensor's frame, length, width, all in metres.
    Places,
}

/// One object of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sighting {
    /// Its class's number.
    pub(super) class: usize,
    /// The score of that class.
    pub(super) score: f32,
    /// Where it is, as [`Frame::kind`] says.
    pub(super) place: [f32; 4],
}

/// A frame and what was found in it.
pub(super) struct Frame<'a> {
    /// The CDR bytes as they came.
    pub(super) message: &'a [u8],
    /// Nanoseconds of its header's stamp.
    pub(super) stamp: i64,
    /// The sensor's frame.
    pub(super) frame_id: &'a str,
    /// What was found, as it was published.
    pub(super) sightings: &'a [Sighting],
    /// Class names by number.
    pub(super) classes: &'a [String],
    /// What the places are.
    pub(super) kind: SightKind,
}

/// Looks at frames. It runs on the inference thread and must be quick.
pub(super) trait Onlooker: Send {
    /// A frame was published.
    fn look(&mut self, frame: &Frame<'_>);

    /// What diagnostics say, one status each; `node` is the node's full name.
    fn status(&mut self, node: &str) -> Option<DiagnosticStatus>;

    /// Another model works from the next frame on, the first one too.
    fn model_changed(&mut self, _bundle: &ModelIdentity) {}
}

/// Which model it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ModelIdentity {
    /// Its file.
    pub(super) path: String,
    /// SHA-256 of that file, hexadecimal.
    pub(super) sha256: String,
    /// Version of the bundle; nothing of a model that was made elsewhere.
    pub(super) bundle_version: Option<u32>,
    /// The bundle's figures.
    pub(super) figures: serde_json::Map<String, serde_json::Value>,
    /// Class names by number.
    pub(super) classes: Vec<String>,
    /// What computes it.
    pub(super) provider: &'static str,
    /// Learnt parameters.
    pub(super) parameters: u64,
}
