//! Why a frame is recorded.

/// Why a frame is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The student was not sure of an object.
    Uncertain,
    /// An object came and went, or went and came, between consecutive frames.
    Flicker,
    /// Camera and lidar do not say the same.
    Disagreement,
    /// Somebody asked for it.
    Asked,
}

impl Reason {
    /// All of them, in the order of their counts.
    pub(super) const ALL: [Self; 4] = [Self::Uncertain, Self::Flicker, Self::Disagreement, Self::Asked];

    /// Its name in recordings and diagnostics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uncertain => "score_entropy",
            Self::Flicker => "track_flicker",
            Self::Disagreement => "sensor_disagreement",
            Self::Asked => "asked_for",
        }
    }

    /// Its place in [`Self::ALL`].
    pub(super) fn place(self) -> usize {
        self as usize
    }
}
