//! An axis: from values to places, and the round numbers along it.

/// Ticks that a linear axis aims for.
const TICKS: f64 = 5.0;
/// A logarithmic axis spans at least this factor, so that it has some ticks and dots do not stand at its ends.
const LEAST_FACTOR: f64 = 8.0;

/// An axis with its label.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::distill::report) struct Axis {
    label: String,
    low: f64,
    high: f64,
    /// Distance of the ticks; none on a logarithmic axis.
    step: Option<f64>,
}

impl Axis {
    /// A linear axis over `low..high`, widened to round numbers.
    pub fn linear(label: &str, low: f64, high: f64) -> Self {
        let span = if high > low { high - low } else { low.abs().max(1.0) };
        let step = round_step(span / TICKS);
        let low = (low / step + 1e-9).floor() * step;
        let high = ((high / step - 1e-9).ceil() * step).max(low + step);
        Self { label: label.to_owned(), low, high, step: Some(step) }
    }

    /// A linear axis from 0 to the largest of the values.
    pub fn from_zero(label: &str, values: impl Iterator<Item = f64>) -> Self {
        let high = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        Self::linear(label, 0.0, high)
    }

    /// A linear axis over shares: from a little below the lowest value to 1.
    pub fn shares(label: &str, values: impl Iterator<Item = f64>) -> Self {
        let low = values.filter(|value| value.is_finite()).fold(1.0, f64::min);
        Self::linear(label, (low - 0.25 * (1.0 - low) - 0.02).max(0.0), 1.0)
    }

    /// A logarithmic axis over the values above 0, with room around them.
    pub fn logarithmic(label: &str, values: impl Iterator<Item = f64>) -> Self {
        let usable = values.filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) = usable.fold((f64::INFINITY, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low <= high { (low, high) } else { (1.0, 1.0) };
        let room = (LEAST_FACTOR * low / high).sqrt().max(1.4);
        Self { label: label.to_owned(), low: low / room, high: high * room, step: None }
    }

    /// What it says of itself.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Where a value stands, 0 at the axis' start and 1 at its end; what is outside stands at the nearer end.
    pub fn position(&self, value: f64) -> f64 {
        let place = match self.step {
            Some(_) => (value - self.low) / (self.high - self.low),
            None => (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln(),
        };
        place.clamp(0.0, 1.0)
    }

    /// The round numbers along it, with their texts.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        match self.step {
            Some(step) => {
                let count = ((self.high - self.low) / step).round() as usize;
                let value = |number: usize| {
                    let value = self.low + number as f64 * step;
                    // 0.1 + 0.2 - 0.3 is not 0, but shall read like it.
                    if value.abs() < step / 1e6 { 0.0 } else { value }
                };
                (0..=count).map(value).map(|value| (value, fixed(value, step))).collect()
            }
            None => {
                let powers = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
                let values = powers.flat_map(|power| [1.0_f64, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
                let inside = values.filter(|value| (self.low..=self.high).contains(value));
                inside.map(|value| (value, fixed(value, value))).collect()
            }
        }
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let digit = [1.0_f64, 2.0, 5.0].into_iter().find(|digit| digit * power >= least * (1.0 - 1e-9)).unwrap_or(10.0);
    digit * power
}

/// A number with as many decimals as its neighbours at a distance of `step` need to be told apart.
fn fixed(value: f64, step: f64) -> String {
    let decimals = (-(step * (1.0 + 1e-9)).log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn linear_ticks_are_round_and_hold_all_values() {
        let axis = Axis::from_zero("loss", [0.31, 2.7, f64::NAN].into_iter());
        assert_eq!(texts(&axis), ["0", "1", "2", "3"]);
        assert!(axis.position(2.7) < 1.0 && axis.position(0.0) == 0.0);
        assert_eq!(texts(&Axis::linear("share", 0.0, 1.0)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        let rates = Axis::from_zero("learning rate", [0.003, 0.00006].into_iter());
        assert_eq!(texts(&rates), ["0.000", "0.001", "0.002", "0.003"]);
    }

    #[test]
    fn shares_end_at_one_and_show_small_differences() {
        let axis = Axis::shares("AP50", [0.988, 1.0].into_iter());
        let ticks = axis.ticks();
        assert!((ticks.last().unwrap().0 - 1.0).abs() < 1e-9, "{ticks:?}");
        assert!(ticks[0].0 > 0.9 && axis.position(0.988) < 0.9, "{ticks:?}");
        assert_eq!(Axis::shares("AP50", [0.0].into_iter()).ticks()[0].0, 0.0);
    }

    #[test]
    fn factors_are_equally_far_on_a_logarithmic_axis() {
        let axis = Axis::logarithmic("ms", [2.0, 20.0].into_iter());
        let [two, six, twenty] = [2.0, 40f64.sqrt(), 20.0].map(|value| axis.position(value));
        assert!(((six - two) - (twenty - six)).abs() < 1e-9 && two > 0.0 && twenty < 1.0);
        assert_eq!(texts(&axis), ["2", "5", "10", "20"]);
        assert!(texts(&Axis::logarithmic("M", [0.3].into_iter())).len() >= 2);
        assert!(!texts(&Axis::logarithmic("nothing", std::iter::empty())).is_empty());
    }

    #[test]
    fn a_single_value_has_an_axis() {
        for value in [0.0, 5.0, -3.0, 1e-12] {
            let axis = Axis::linear("x", value, value);
            assert!(axis.position(value).is_finite() && axis.ticks().len() >= 2, "{axis:?}");
        }
    }
}
