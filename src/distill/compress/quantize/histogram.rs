//! How often a tensor takes which values over the calibration frames.

use super::range::Range;

/// Bins of a histogram: fine against the 256 steps that a range is cut into, and few enough to try many ranges on.
pub(super) const BINS: usize = 2048;

/// Counts of values in bins of equal width between the least and the greatest.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::distill) struct Histogram {
    /// The least and the greatest value.
    pub range: Range,
    /// How many values lie in each bin.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Nothing counted yet, between two values.
    pub fn new(range: Range) -> Self {
        Self { range, counts: vec![0; BINS] }
    }

    /// The width of a bin; 0 where all values are the same.
    pub fn width(&self) -> f64 {
        (f64::from(self.range.max) - f64::from(self.range.min)) / BINS as f64
    }

    /// Counts values; those outside of the range go to the bins at its ends, those that are not finite nowhere.
    pub fn add(&mut self, values: &[f32]) {
        let (min, width) = (f64::from(self.range.min), self.width());
        let per_value = if width > 0.0 { 1.0 / width } else { 0.0 };
        for &value in values.iter().filter(|value| value.is_finite()) {
            // A cast takes what is below 0 for 0.
            let bin = ((f64::from(value) - min) * per_value) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The value in the middle of a bin.
    pub fn middle(&self, bin: usize) -> f64 {
        f64::from(self.range.min) + (bin as f64 + 0.5) * self.width()
    }

    /// The value below which this share of all lies, to the edge of a bin.
    pub fn quantile(&self, share: f64) -> f32 {
        let wanted = share.clamp(0.0, 1.0) * self.total() as f64;
        let mut below = 0.0;
        for (bin, &count) in self.counts.iter().enumerate() {
            below += count as f64;
            if below >= wanted {
                return (f64::from(self.range.min) + (bin + 1) as f64 * self.width()) as f32;
            }
        }
        self.range.max
    }

    /// Counts of magnitudes in bins of equal width from 0 to the greatest magnitude, and that magnitude.
    pub fn magnitudes(&self) -> (Vec<f64>, f32) {
        let greatest = self.range.min.abs().max(self.range.max.abs());
        let mut counts = vec![0.0; BINS];
        if greatest > 0.0 {
            for (bin, &count) in self.counts.iter().enumerate() {
                let place = (self.middle(bin).abs() / f64::from(greatest) * BINS as f64) as usize;
                counts[place.min(BINS - 1)] += count as f64;
            }
        }
        (counts, greatest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_in_their_bins() {
        let mut histogram = Histogram::new(Range { min: -1.0, max: 1.0 });
        histogram.add(&[-1.0, -2.0, 0.0, 1.0, 5.0, f32::NAN]);
        assert_eq!((histogram.counts[0], histogram.counts[BINS / 2], histogram.counts[BINS - 1]), (2, 1, 2));
        assert_eq!(histogram.total(), 5);
        assert!((histogram.middle(BINS / 2)).abs() < histogram.width());
        // A bin of both signs is twice as wide as one of magnitudes; the middle of that above 0 is where the second of these begins.
        let (magnitudes, greatest) = histogram.magnitudes();
        assert_eq!((magnitudes[1], magnitudes[BINS - 1], greatest), (1.0, 4.0, 1.0));
        assert_eq!(magnitudes.iter().sum::<f64>(), 5.0);
    }

    #[test]
    fn quantiles_are_met_to_a_bin() {
        let mut histogram = Histogram::new(Range { min: 0.0, max: 100.0 });
        let values: Vec<f32> = (0..10_000).map(|number| number as f32 / 100.0).collect();
        histogram.add(&values);
        for share in [0.1, 0.5, 0.999] {
            let found = f64::from(histogram.quantile(share));
            assert!((found - 100.0 * share).abs() < 2.0 * histogram.width(), "{share}: {found}");
        }
        assert_eq!(Histogram::new(Range { min: 2.0, max: 2.0 }).quantile(0.5), 2.0);
    }
}
