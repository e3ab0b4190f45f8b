//! Time, size and accuracy of a student beside those of others.

/// Where a student stands among the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// Milliseconds of the network alone.
    pub latency_ms: f64,
    /// Size of its file.
    pub bytes: u64,
    /// AP50, which counts first, then AP over all thresholds: as the chosen student is chosen.
    pub accuracy: [f64; 2],
}

impl Place {
    /// Whether it is no slower, no larger and no less accurate than another one, and better in one of these.
    pub fn beats(&self, other: &Self) -> bool {
        self.latency_ms <= other.latency_ms
            && self.bytes <= other.bytes
            && self.accuracy >= other.accuracy
            && self != other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_do_not_beat_each_other_and_ap_counts_where_ap50_is_the_same() {
        let place = |latency_ms, bytes, ap50, ap| Place { latency_ms, bytes, accuracy: [ap50, ap] };
        let one = place(1.0, 1, 0.5, 0.3);
        assert!(!one.beats(&one));
        assert!(one.beats(&place(1.0, 1, 0.4, 0.9)) && one.beats(&place(1.0, 1, 0.5, 0.2)));
        assert!(!one.beats(&place(2.0, 2, 0.5, 0.4)), "whose boxes are better");
        assert!(!place(1.0, 2, 0.5, 0.3).beats(&place(2.0, 1, 0.5, 0.3)));
    }
}
