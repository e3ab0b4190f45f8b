//! Precision over recall, as COCO's reference implementation draws it.

/// Recalls at which precision is read off: 0.00, 0.01, ... 1.00.
pub(super) const RECALL_POINTS: usize = 101;

/// The precision envelope at the recalls 0.00, 0.01, ... 1.00. `verdicts` are those of the claims in descending order of score: right,
/// wrong, or none for a claim that counts neither for nor against. `truths`, what is to be found, is above 0.
pub(super) fn precision_at_recalls(
    verdicts: impl Iterator<Item = Option<bool>>,
    truths: usize,
) -> [f64; RECALL_POINTS] {
    let (mut recalls, mut precisions) = (Vec::new(), Vec::new());
    let (mut hits, mut misses) = (0.0_f64, 0.0_f64);
    for verdict in verdicts {
        match verdict {
            Some(true) => hits += 1.0,
            Some(false) => misses += 1.0,
            None => {}
        }
        recalls.push(hits / truths as f64);
        precisions.push(hits / (hits + misses + f64::EPSILON));
    }
    for index in (1..precisions.len()).rev() {
        if precisions[index] > precisions[index - 1] {
            precisions[index - 1] = precisions[index];
        }
    }
    std::array::from_fn(|point| {
        let recall = if point == RECALL_POINTS - 1 { 1.0 } else { point as f64 * 0.01 };
        let place = recalls.partition_point(|&reached| reached < recall);
        precisions.get(place).copied().unwrap_or(0.0)
    })
}
