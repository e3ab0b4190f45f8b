//! The middle of some values and how far they lie apart.

use serde::{Deserialize, Serialize};

/// The quartiles of some values. Unlike mean and deviation they bear a few values that are far off, which times always have.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quartiles {
    /// A quarter of the values is no greater.
    pub lower: f64,
    /// Half of them is no greater.
    pub median: f64,
    /// Three quarters of them are no greater.
    pub upper: f64,
}

impl Quartiles {
    /// The quartiles, linear between neighbours (Hyndman and Fan 1996, definition 7); `None` of no values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let last = values.len().checked_sub(1)?;
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * last as f64;
            let below = place.floor() as usize;
            let above = (below + 1).min(last);
            sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
        };
        Some(Self { lower: at(0.25), median: at(0.5), upper: at(0.75) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours_and_bear_a_value_that_is_far_off() {
        let of = |values: &[f64]| Quartiles::of(values).map(|found| (found.lower, found.median, found.upper));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0]), Some((3.0, 3.0, 3.0)));
        assert_eq!(of(&[2.0, 1.0]), Some((1.25, 1.5, 1.75)));
        assert_eq!(of(&[4.0, 1.0, 1e9, 2.0, 3.0]), Some((2.0, 3.0, 4.0)));
    }
}
