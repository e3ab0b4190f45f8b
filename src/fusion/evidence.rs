//! What two sensors together say of an object's class.

/// Nobody is surer than this: two that are certain of different classes would leave nothing.
const SUREST: f32 = 0.999;

/// Combines two claims of a class with their scores by Dempster's rule for simple support functions (Shafer, "A Mathematical Theory
/// of Evidence", 1976, chapter 4).
///
/// Two that agree give `1 - (1 - a)(1 - b)`, the noisy-or: the score is wrong only when both are. Two that disagree give the surer
/// one's class (of two that are equally sure the lower one) with `a (1 - b) / (1 - a b)`, less than its own score by what the other
/// one says against it. No prior is needed, and the order of two claims does not matter.
pub(super) fn combine(first: (usize, f32), second: (usize, f32)) -> (usize, f32) {
    let is_second_surer = second.1 > first.1 || (second.1 == first.1 && second.0 < first.0);
    let (a, b) = if is_second_surer { (second, first) } else { (first, second) };
    let (surer, other) = (a.1.clamp(0.0, SUREST), b.1.clamp(0.0, SUREST));
    if a.0 == b.0 {
        (a.0, 1.0 - (1.0 - surer) * (1.0 - other))
    } else {
        (a.0, surer * (1.0 - other) / (1.0 - surer * other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_makes_surer_and_disagreement_less_sure() {
        let (class, score) = combine((1, 0.6), (1, 0.5));
        assert_eq!(class, 1);
        assert!((score - 0.8).abs() < 1e-6);
        let (class, score) = combine((0, 0.5), (1, 0.8));
        assert_eq!(class, 1);
        assert!((score - 0.8 * 0.5 / 0.6).abs() < 1e-6);
        assert_eq!(combine((0, 0.5), (1, 0.8)), combine((1, 0.8), (0, 0.5)));
        assert_eq!(combine((0, 0.5), (1, 0.5)), combine((1, 0.5), (0, 0.5)));
        assert!(combine((0, 1.0), (1, 1.0)).1.is_finite());
    }
}
