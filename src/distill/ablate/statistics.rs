//! Mean, spread and paired differences over seeds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A difference is told only when it is larger than this many of its standard errors.
pub(super) const ERRORS_TO_TELL: f64 = 2.0;

/// A figure over the seeds of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (divided by count - 1); none of a single value.
    pub deviation: Option<f64>,
    /// Seeds that have the figure.
    pub count: usize,
}

impl Spread {
    /// Mean and deviation of some values; nothing of nothing.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (count > 1).then(|| (squares / (count - 1) as f64).sqrt());
        Some(Self { mean, deviation, count })
    }
}

/// How a variant differs from the baseline, seed by seed: what a seed does to both cancels out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Mean of the differences variant - baseline.
    pub mean: f64,
    /// Standard error of that mean; none of a single pair.
    pub standard_error: Option<f64>,
    /// Seeds that both have.
    pub pairs: usize,
}

impl Difference {
    /// Mean and standard error of some differences; nothing of nothing.
    pub fn of(differences: &[f64]) -> Option<Self> {
        let Spread { mean, deviation, count } = Spread::of(differences)?;
        Some(Self { mean, standard_error: deviation.map(|deviation| deviation / (count as f64).sqrt()), pairs: count })
    }

    /// What the difference of a figure that should be high says.
    pub fn verdict(&self) -> Verdict {
        match self.standard_error {
            None => Verdict::OneSeed,
            Some(error) if self.mean > ERRORS_TO_TELL * error => Verdict::Helps,
            Some(error) if self.mean < -ERRORS_TO_TELL * error => Verdict::Hurts,
            Some(_) => Verdict::NoDifference,
        }
    }
}

impl fmt::Display for Difference {
    /// `+0.050 ± 0.006`, without the error where there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.3}", self.mean)?;
        self.standard_error.map_or(Ok(()), |error| write!(f, " ± {error:.3}"))
    }
}

/// What a comparison with the baseline says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Better by more than two standard errors.
    Helps,
    /// Worse by more than two standard errors.
    Hurts,
    /// Within two standard errors.
    NoDifference,
    /// A single pair of runs: it says nothing about chance.
    OneSeed,
    /// It is the baseline.
    Baseline,
    /// There is no baseline, or not both have figures.
    Unknown,
}

impl Verdict {
    /// The verdict in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Helps => "helps",
            Self::Hurts => "hurts",
            Self::NoDifference => "no difference seen",
            Self::OneSeed => "one seed tells nothing",
            Self::Baseline => "baseline",
            Self::Unknown => "-",
        }
    }
}

/// How probable it is that Student's t with `degrees` (at least 1) degrees of freedom lies beyond `-t` or `t`: how often a
/// difference of `t` standard errors is seen where there is none (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).
pub fn chance_beyond(t: f64, degrees: usize) -> f64 {
    let degrees = degrees.max(1);
    let angle = (t.abs() / (degrees as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let odd = !degrees.is_multiple_of(2);
    // Powers of the cosine up to degrees - 2, every other one.
    let mut power = usize::from(odd);
    let mut term = if odd { cosine } else { 1.0 };
    let mut sum = 0.0;
    while power + 2 <= degrees {
        sum += term;
        term *= cosine * cosine * (power + 1) as f64 / (power + 2) as f64;
        power += 2;
    }
    let within = if odd { std::f64::consts::FRAC_2_PI * (angle + sine * sum) } else { sine * sum };
    (1.0 - within).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_sample_deviation() {
        let spread = Spread::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!((spread.mean, spread.count), (5.0, 8));
        assert!((spread.deviation.unwrap() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(Spread::of(&[3.0]), Some(Spread { mean: 3.0, deviation: None, count: 1 }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn verdicts_need_two_standard_errors() {
        let verdict = |differences: &[f64]| Difference::of(differences).unwrap().verdict();
        // Mean 2, deviation 1, standard error 1 / sqrt(3).
        let difference = Difference::of(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((difference.mean, difference.pairs), (2.0, 3));
        assert!((difference.standard_error.unwrap() - 1.0 / 3.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(difference.verdict(), Verdict::Helps);
        assert_eq!(verdict(&[-1.0, -2.0, -3.0]), Verdict::Hurts);
        assert_eq!(verdict(&[0.0, 1.0, 2.0]), Verdict::NoDifference, "1 is less than 2 / sqrt(3)");
        assert_eq!(verdict(&[0.0, 0.0]), Verdict::NoDifference);
        assert_eq!(verdict(&[0.5]), Verdict::OneSeed);
        assert_eq!(
            [difference.to_string(), Difference::of(&[-0.5]).unwrap().to_string()],
            ["+2.000 ± 0.577", "-0.500"]
        );
        assert_eq!(Difference::of(&[]), None);
    }

    #[test]
    fn chances_are_those_of_the_published_tables() {
        // Two-sided critical values of Student's t at 5 %.
        for (degrees, t) in [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (7, 2.365), (30, 2.042)] {
            assert!((chance_beyond(t, degrees) - 0.05).abs() < 1e-4, "{degrees}");
        }
        assert!((chance_beyond(1.0, 1) - 0.5).abs() < 1e-12);
        assert_eq!(chance_beyond(0.0, 5), 1.0);
    }
}
