//! What options of `distill quantize` can be set to, by name.

use clap::ValueEnum;

use crate::distill::compress::quantize::{RangeMethod, WeightRange};

/// See [`RangeMethod`].
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Method {
    Auto,
    Minmax,
    Percentile,
    Entropy,
    Mse,
}

impl Method {
    /// The methods that are tried.
    pub fn methods(self) -> Vec<RangeMethod> {
        let is_wanted = |method: &RangeMethod| match self {
            Self::Auto => true,
            Self::Minmax => matches!(method, RangeMethod::MinMax),
            Self::Percentile => matches!(method, RangeMethod::Percentile(_)),
            Self::Entropy => matches!(method, RangeMethod::Entropy),
            Self::Mse => matches!(method, RangeMethod::Mse),
        };
        RangeMethod::ALL.into_iter().filter(is_wanted).collect()
    }
}

/// See [`WeightRange`].
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Weights {
    /// int8, a little more than seven bits of it: right on every board, and the fast one on x86 without VNNI
    Clear,
    /// int8, all eight bits: for x86 with VNNI and Arm with dot products; on other processors it can ruin the student
    Full,
    /// uint8, all eight bits: right on every board and a little more accurate than clear, but slower on x86
    Unsigned,
}

impl Weights {
    /// The same for the library.
    pub fn range(self) -> WeightRange {
        match self {
            Self::Clear => WeightRange::Clear,
            Self::Full => WeightRange::Full,
            Self::Unsigned => WeightRange::Unsigned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_called_as_in_experiments_and_ladders() {
        for weights in Weights::value_variants() {
            let value = weights.to_possible_value().unwrap();
            assert_eq!(value.get_name(), weights.range().name());
        }
    }
}
