//! How unsure a student is of a frame.
//!
//! Uncertainty sampling (Lewis and Gale 1994, "A sequential algorithm for training text classifiers"; Settles 2009, "Active learning
//! literature survey", section 3.1) asks for the labels of what a model is least sure of. A detector decides for each object whether it is
//! there; how unsure it is of that is the binary entropy of the score,
//!
//! ```text
//! H(p) = -p log2(p) - (1 - p) log2(1 - p)     in bits: 1 at p = 0.5, 0.9 at 0.32 and 0.68, 0 at 0 and 1
//! ```
//!
//! and a frame is as uncertain as the object of it that is most so (of sum, mean and maximum, which Brust et al. 2019, "Active learning
//! for deep object detection", compare, the maximum is the one that does not grow with the number of objects). What lies below the
//! detector's threshold is not seen here; of that the flicker tells.

use super::memory::Seen;

/// Binary entropy of a probability in bits; 0 for what is none.
pub(super) fn entropy(score: f32) -> f64 {
    let p = f64::from(score);
    if p > 0.0 && p < 1.0 { -p * p.log2() - (1.0 - p) * (1.0 - p).log2() } else { 0.0 }
}

/// The object that is most uncertain, and its entropy in bits; nothing where nothing was seen.
pub(super) fn most_uncertain(objects: &[Seen]) -> Option<(&Seen, f64)> {
    objects.iter().map(|object| (object, entropy(object.score))).max_by(|(_, a), (_, b)| a.total_cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_that_of_a_coin() {
        for (score, bits) in [(0.5, 1.0), (0.25, 0.811_278), (0.75, 0.811_278), (0.316, 0.9), (1.0, 0.0), (0.0, 0.0)] {
            assert!((entropy(score) - bits).abs() < 1e-3, "{score}");
        }
        assert_eq!(entropy(f32::NAN), 0.0);
        assert_eq!(entropy(1.5), 0.0);
    }

    #[test]
    fn the_most_uncertain_object_decides() {
        let seen = |score| Seen { class: 0, score, place: [0.0; 4] };
        let (object, bits) = most_uncertain(&[seen(0.95), seen(0.45), seen(0.8)]).map(|(o, bits)| (*o, bits)).unwrap();
        assert_eq!(object.score, 0.45);
        assert!(bits > 0.98);
        assert!(most_uncertain(&[]).is_none());
    }
}
