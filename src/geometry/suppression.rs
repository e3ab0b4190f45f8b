//! Greedy non-maximum suppression.

use super::Box2;

/// What suppression looks at of a detection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The box, in any one frame of pixels.
    pub bbox: Box2,
    /// The class; boxes of different classes do not suppress each other.
    pub class: usize,
    /// The score; one that is NaN sorts last.
    pub score: f32,
}

/// Greedy non-maximum suppression within each class: best first, a candidate is kept unless it overlaps a kept one of its
/// class by an intersection over union above `iou_threshold`.
///
/// Returns the indices of what is kept, best score first, at most `max_detections`. Equal scores keep the order of
/// `candidates`, so the result depends on nothing but the input.
pub fn suppress(candidates: &[Candidate], iou_threshold: f32, max_detections: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let key = |index: usize| {
        let score = candidates[index].score;
        if score.is_nan() { f32::NEG_INFINITY } else { score }
    };
    order.sort_by(|&a, &b| key(b).total_cmp(&key(a)).then(a.cmp(&b)));
    let mut kept: Vec<usize> = Vec::new();
    for index in order {
        if kept.len() >= max_detections {
            break;
        }
        let candidate = &candidates[index];
        let covered = kept.iter().any(|&better| {
            let better = &candidates[better];
            better.class == candidate.class && better.bbox.iou(&candidate.bbox) > iou_threshold
        });
        if !covered {
            kept.push(index);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(x: f32, class: usize, score: f32) -> Candidate {
        Candidate { bbox: Box2::new(x, 0.0, x + 10.0, 10.0), class, score }
    }

    #[test]
    fn best_of_each_overlapping_group_and_class() {
        let candidates = [
            candidate(0.0, 0, 0.5),
            candidate(1.0, 0, 0.9),   // IoU 9/11 with the first
            candidate(1.0, 1, 0.4),   // another class
            candidate(30.0, 0, 0.6),  // elsewhere
            candidate(36.0, 0, 0.55), // IoU 4/16 with the one before
        ];
        assert_eq!(suppress(&candidates, 0.5, 10), [1, 3, 4, 2]);
        assert_eq!(suppress(&candidates, 0.2, 10), [1, 3, 2]);
        assert_eq!(suppress(&candidates, 0.5, 2), [1, 3]);
        assert_eq!(suppress(&candidates, 0.5, 0), [0_usize; 0]);
    }

    #[test]
    fn a_suppressed_box_suppresses_nothing() {
        // The middle one overlaps both; the outer ones do not overlap enough.
        let candidates = [candidate(0.0, 0, 0.9), candidate(4.0, 0, 0.8), candidate(8.0, 0, 0.7)];
        assert_eq!(suppress(&candidates, 0.4, 10), [0, 2]);
    }

    #[test]
    fn ties_keep_their_order_and_nan_comes_last() {
        let candidates =
            [candidate(0.0, 0, f32::NAN), candidate(50.0, 0, 0.5), candidate(100.0, 0, 0.5), candidate(50.5, 0, 0.5)];
        assert_eq!(suppress(&candidates, 0.5, 10), [1, 2, 0]);
    }

    proptest! {
        #[test]
        fn kept_boxes_do_not_overlap_and_the_rest_is_covered(
            raw in prop::collection::vec((0.0_f32..50.0, 0.0_f32..50.0, 1.0_f32..30.0, 0_usize..3, 0_u8..20), 0..40),
            threshold in 0.0_f32..1.0,
        ) {
            let candidates: Vec<_> = raw
                .iter()
                .map(|&(x, y, size, class, score)| Candidate {
                    bbox: Box2::new(x, y, x + size, y + size),
                    class,
                    score: f32::from(score) / 20.0,
                })
                .collect();
            let kept = suppress(&candidates, threshold, usize::MAX);
            let overlaps = |a: usize, b: usize| {
                candidates[a].class == candidates[b].class && candidates[a].bbox.iou(&candidates[b].bbox) > threshold
            };
            for (position, &a) in kept.iter().enumerate() {
                prop_assert!(kept[..position].iter().all(|&b| !overlaps(a, b) && candidates[b].score >= candidates[a].score));
            }
            for index in 0..candidates.len() {
                prop_assert!(
                    kept.contains(&index)
                        || kept.iter().any(|&k| overlaps(k, index) && candidates[k].score >= candidates[index].score)
                );
            }
        }
    }
}
