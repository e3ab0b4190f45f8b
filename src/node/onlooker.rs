//! Those who look at what a detector found in each frame, on the inference thread, after it was published.

use r2r::diagnostic_msgs::msg::DiagnosticStatus;

/// One object of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sighting {
    /// Index of its class.
    pub(super) class: usize,
    /// Confidence in `[0, 1]`.
    pub(super) score: f32,
    /// A camera's: `x_min`, `y_min`, `x_max`, `y_max` as shares of the image's width and height. A lidar's: `x`, `y` in the sensor's
    /// frame, length and width, all in metres.
    pub(super) place: [f32; 4],
}

/// What the places of sightings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SightKind {
    /// Boxes in an image.
    Boxes,
    /// Places on the floor.
    Places,
}

/// A frame and what was found in it.
pub(super) struct Frame<'a> {
    /// The message as it came, CDR.
    pub(super) message: &'a [u8],
    /// When it was measured, in nanoseconds.
    pub(super) stamp: i64,
    /// The sensor's frame.
    pub(super) frame_id: &'a str,
    /// The objects.
    pub(super) sightings: &'a [Sighting],
    /// The names of the classes.
    pub(super) classes: &'a [String],
    /// What the places are.
    pub(super) kind: SightKind,
}

/// Somebody who looks at every frame.
pub(super) trait Onlooker: Send {
    /// Looks at a frame; it must be quick, the next frame waits.
    fn look(&mut self, frame: &Frame<'_>);

    /// What diagnostics say; `node` is the node's full name.
    fn status(&mut self, node: &str) -> Option<DiagnosticStatus>;

    /// Hears of a newly loaded model.
    #[allow(dead_code, reason = "those who compare with a model's figures need it")]
    fn model_changed(&mut self, _bundle: &ModelIdentity) {}
}

/// What is known of a model.
#[allow(dead_code, reason = "those who compare with a model's figures need it")]
pub(super) struct ModelIdentity {
    /// Where it lies.
    pub(super) path: String,
    /// SHA-256 of the file.
    pub(super) sha256: String,
    /// Version of the bundle's metadata; a foreign model has none.
    pub(super) bundle_version: Option<u32>,
    /// The bundle's figures.
    pub(super) figures: serde_json::Map<String, serde_json::Value>,
    /// The names of the classes.
    pub(super) classes: Vec<String>,
    /// What computes.
    pub(super) provider: &'static str,
    /// Number of weights.
    pub(super) parameters: u64,
}
