//! Which values of a tensor its eight bits are spent on.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::histogram::{BINS, Histogram};
use super::scale::{Affine, STEPS};

/// Least and greatest value that is told apart; what lies outside is taken for these.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The least value.
    pub min: f32,
    /// The greatest value.
    pub max: f32,
}

impl Range {
    /// No value yet; [`Range::widen`] takes values in.
    pub const NONE: Self = Self { min: f32::INFINITY, max: f32::NEG_INFINITY };

    /// Takes values in; what is not finite is passed over.
    pub fn widen(&mut self, values: &[f32]) {
        for &value in values.iter().filter(|value| value.is_finite()) {
            self.min = self.min.min(value);
            self.max = self.max.max(value);
        }
    }

    /// What was taken in; 0 alone where no finite value was.
    #[must_use]
    pub fn known(self) -> Self {
        if self.min <= self.max { self } else { Self { min: 0.0, max: 0.0 } }
    }
}

/// How a range is found from the values that calibration frames give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeMethod {
    /// From the least to the greatest value.
    MinMax,
    /// So many percent of the values, those at the ends cut off.
    Percentile(f64),
    /// The range whose 256 steps tell most of the distribution: least Kullback-Leibler divergence, as TensorRT calibrates (Migacz,
    /// "8-bit Inference with TensorRT", GTC 2017).
    Entropy,
    /// The range whose rounding and cutting errors have the least mean square (Banner et al., "Post training 4-bit quantization",
    /// NeurIPS 2019, by search).
    Mse,
}

impl RangeMethod {
    /// All that are tried where none is named.
    pub const ALL: [Self; 5] =
        [Self::MinMax, Self::Percentile(99.9), Self::Percentile(99.99), Self::Entropy, Self::Mse];

    /// The range of a tensor.
    pub(in crate::distill) fn range(self, seen: &Histogram) -> Range {
        match self {
            Self::MinMax => seen.range,
            Self::Percentile(percent) => percentile(seen, percent / 100.0),
            Self::Entropy => entropy(seen),
            Self::Mse => least_squares(seen),
        }
    }
}

impl fmt::Display for RangeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMax => f.write_str("minmax"),
            Self::Percentile(percent) => write!(f, "percentile {percent}"),
            Self::Entropy => f.write_str("entropy"),
            Self::Mse => f.write_str("mse"),
        }
    }
}

/// The middle `share` of the values; behind a ReLU the lower end is 0 and stays.
fn percentile(seen: &Histogram, share: f64) -> Range {
    if seen.range.min >= 0.0 {
        return Range { min: seen.range.min, max: seen.quantile(share).min(seen.range.max) };
    }
    let cut = (1.0 - share) / 2.0;
    Range { min: seen.quantile(cut).max(seen.range.min), max: seen.quantile(1.0 - cut).min(seen.range.max) }
}

/// Shares of the whole range that the search for least squares tries.
const SHRINKS: usize = 48;

/// The range of the least mean squared error: first the upper end is drawn in, then the lower.
fn least_squares(seen: &Histogram) -> Range {
    let shares = || (0..SHRINKS).map(|step| 1.0 - step as f32 / SHRINKS as f32 * 0.9);
    let mut best = (squared_error(seen, seen.range), seen.range);
    for is_upper in [true, false] {
        let whole = best.1;
        for share in shares().skip(1) {
            let candidate = match is_upper {
                true if whole.max > 0.0 => Range { max: whole.max * share, ..whole },
                false if whole.min < 0.0 => Range { min: whole.min * share, ..whole },
                _ => break,
            };
            let error = squared_error(seen, candidate);
            if error < best.0 {
                best = (error, candidate);
            }
        }
    }
    best.1
}

/// Sum of squared errors when the counted values are rounded within a range.
fn squared_error(seen: &Histogram, range: Range) -> f64 {
    let affine = Affine::of(range);
    let error = |(bin, &count): (usize, &u64)| {
        let value = seen.middle(bin);
        let gap = value - f64::from(affine.round_trip(value as f32));
        gap * gap * count as f64
    };
    seen.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(error).sum()
}

/// Bins between two thresholds that the search for least divergence tries.
const THRESHOLD_STEP: usize = 16;
/// Share of the values that a threshold may cut off. The divergence alone takes nearly everything away from tensors whose values lie
/// far from 0, such as the logits of a background: what is cut off stands in one bin on either side, and looks alike.
const MOST_CUT: f64 = 0.001;

/// The range of the least divergence between the values and what is left of them. Where values have both signs their magnitudes decide,
/// with half of the steps for each side.
fn entropy(seen: &Histogram) -> Range {
    let has_both_signs = seen.range.min < 0.0;
    let levels = if has_both_signs { STEPS / 2 } else { STEPS };
    let (mut counts, greatest) = seen.magnitudes();
    // Behind a ReLU half of all values are 0, which every range holds exactly: they would outweigh all others.
    counts[0] = counts[1];
    let mut best = (f64::INFINITY, BINS);
    let mut threshold = levels;
    while threshold <= BINS {
        let divergence = divergence(&counts, threshold, levels);
        if divergence < best.0 {
            best = (divergence, threshold);
        }
        threshold += THRESHOLD_STEP;
    }
    let limit = greatest * best.1 as f32 / BINS as f32;
    Range { min: seen.range.min.max(-limit), max: seen.range.max.min(limit) }
}

/// Kullback-Leibler divergence of the counts up to `threshold`, those beyond taken for the last bin, from the same counts shared out
/// evenly within each of `levels` steps.
fn divergence(counts: &[f64], threshold: usize, levels: usize) -> f64 {
    let kept = &counts[..threshold];
    let beyond: f64 = counts[threshold..].iter().sum();
    let kept_total: f64 = kept.iter().sum();
    let total = kept_total + beyond;
    if kept_total <= 0.0 || beyond > MOST_CUT * total {
        return f64::INFINITY;
    }
    let mut sum = 0.0;
    for level in 0..levels {
        let (start, end) = (level * threshold / levels, (level + 1) * threshold / levels);
        let step = &kept[start..end];
        let filled = step.iter().filter(|count| **count > 0.0).count();
        let mean = step.iter().sum::<f64>() / filled.max(1) as f64;
        for (offset, &count) in step.iter().enumerate() {
            let is_last = start + offset + 1 == threshold;
            let p = (count + if is_last { beyond } else { 0.0 }) / total;
            // What only the cut-off values have put there has nothing on the other side; the least that is finite stands for it.
            let q = if count > 0.0 { mean / kept_total } else { f64::EPSILON };
            if p > 0.0 {
                sum += p * (p / q).ln();
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::compress::quantize::graph::tests::noise;

    fn seen(values: &[f32]) -> Histogram {
        let mut range = Range::NONE;
        range.widen(values);
        let mut histogram = Histogram::new(range);
        histogram.add(values);
        histogram
    }

    /// A bell of values within about 3, and a lone one far away.
    fn outlier() -> Histogram {
        let mut values: Vec<f32> = noise(60_000, 7).chunks(6).map(|six| six.iter().sum()).collect();
        values.push(60.0);
        seen(&values)
    }

    #[test]
    fn a_lone_value_far_away_is_cut_off_by_what_counts() {
        let histogram = outlier();
        assert_eq!(RangeMethod::MinMax.range(&histogram).max, 60.0);
        for method in [RangeMethod::Percentile(99.9), RangeMethod::Entropy] {
            let range = method.range(&histogram);
            assert!(range.max > 1.0 && range.max < 30.0, "{method}: {range:?}");
            assert!(range.min < -1.0 && range.min >= histogram.range.min, "{method}: {range:?}");
        }
    }

    #[test]
    fn values_far_from_zero_are_not_cut_off() {
        let background: Vec<f32> = noise(20_000, 5).iter().map(|value| value - 6.0).chain([3.0]).collect();
        let range = RangeMethod::Entropy.range(&seen(&background));
        assert!(range.min < -6.5, "{range:?}");
    }

    #[test]
    fn least_squares_is_no_worse_than_the_others() {
        let histogram = outlier();
        let error = |method: RangeMethod| squared_error(&histogram, method.range(&histogram));
        for method in RangeMethod::ALL {
            assert!(error(RangeMethod::Mse) <= 1.02 * error(method), "{method}");
        }
    }

    #[test]
    fn even_values_keep_their_whole_range() {
        let histogram = seen(&noise(50_000, 3).iter().map(|value| value.abs()).collect::<Vec<_>>());
        for method in RangeMethod::ALL {
            let range = method.range(&histogram);
            assert!(range.max > 0.9 && range.min < 0.01, "{method}: {range:?}");
        }
    }

    #[test]
    fn a_tensor_that_is_always_zero_has_a_range() {
        let histogram = seen(&[0.0; 64]);
        for method in RangeMethod::ALL {
            let range = method.range(&histogram);
            assert!(range.min <= range.max && range.max.abs() < 1e-6, "{method}: {range:?}");
        }
    }
}
