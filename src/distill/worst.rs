//! What a gallery shows of all that was compared: the worst, but not one bad moment over and over.

/// So many are shown.
const SHOWN: usize = 12;
/// So many are shown even when nothing is wrong with them.
const LEAST_SHOWN: usize = 3;
/// What is so far apart in time, in nanoseconds, is not one moment.
pub(in crate::distill) const NANOSECONDS_APART: u64 = 1_000_000_000;

/// A frame or a sweep that a student was compared with the truth on.
pub(in crate::distill) trait Compared {
    /// How wrong the student is; 0 when it is right.
    fn disagreement(&self) -> f32;
    /// Objects that are to be found.
    fn objects(&self) -> usize;
    /// Whether it shows another moment than `other`.
    fn is_apart(&self, other: &Self) -> bool;
}

/// What to show, worst first, none too near to a worse one. Where little is wrong, some that are right and have objects fill up.
pub(in crate::distill) fn worst<T: Compared>(mut compared: Vec<T>) -> Vec<T> {
    compared.sort_by(|a, b| b.disagreement().total_cmp(&a.disagreement()).then(b.objects().cmp(&a.objects())));
    let mut shown: Vec<T> = Vec::new();
    for one in compared {
        let enough = if one.disagreement() > 0.0 { SHOWN } else { LEAST_SHOWN };
        if shown.len() < enough && shown.iter().all(|other| one.is_apart(other)) {
            shown.push(one);
        }
    }
    shown
}

/// At most so many of them, evenly spread.
pub(in crate::distill) fn spread<T: Clone>(all: &[T], most: usize) -> Vec<T> {
    let count = all.len().min(most);
    (0..count).map(|number| all[number * all.len() / count].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_spread_over_many() {
        let all: Vec<u32> = (0..1000).collect();
        let some = spread(&all, 150);
        assert_eq!((some.len(), some[0]), (150, 0));
        assert!(some[149] > 980 && some.windows(2).all(|pair| pair[1] > pair[0]));
        assert_eq!(spread(&all[..3], 150), [0, 1, 2]);
        assert!(spread(&all[..0], 150).is_empty());
    }
}
