//! How a detector's scores are spread over frames of the kind that it was made for. The bundle keeps it, so that a robot notices when what
//! its sensor shows is of another kind.

use serde::{Deserialize, Serialize};

/// Bins of equal width over the scores 0 to 1.
pub const SCORE_BINS: usize = 10;

/// Autocorrelation is summed up over lags of so many correlation times (Sokal 1997, "Monte Carlo Methods in Statistical Mechanics",
/// section 3).
const SOKAL_WINDOW: f64 = 5.0;

/// What a detector found in one frame.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FrameScores {
    /// How many objects.
    pub detections: usize,
    /// The best of their scores; nothing in an empty frame.
    pub best: Option<f32>,
}

impl FrameScores {
    /// A frame whose objects have these scores.
    pub fn of(scores: impl IntoIterator<Item = f32>) -> Self {
        let mut frame = Self::default();
        for score in scores {
            frame.detections += 1;
            frame.best = Some(frame.best.map_or(score, |best| best.max(score)));
        }
        frame
    }

    /// 1 for an empty frame, else 0.
    pub fn empty(&self) -> f64 {
        if self.best.is_none() { 1.0 } else { 0.0 }
    }
}

/// Mean and spread of a figure over frames that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Moments {
    /// Frames that have the figure.
    pub frames: u64,
    /// Their mean.
    pub mean: f64,
    /// Their variance. Frames that were all alike do not prove that the next one will be: it is never less than what one other frame in
    /// `n + 2` would bring (Laplace's rule of succession).
    pub variance: f64,
    /// The integrated autocorrelation time in frames, 1 where frames know nothing of each other: so many frames of a video tell as much
    /// of its mean as one frame that was taken by itself would.
    pub correlation: f64,
}

impl Moments {
    /// Of values in the order of time; `step` is by how much one frame may well differ from another.
    pub fn of(values: &[f64], step: f64) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let spread = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        let one_in = 1.0 / (count + 2.0);
        let variance = spread.max(step * step * one_in * (1.0 - one_in));
        Self { frames: values.len() as u64, mean, variance, correlation: correlation_time(values, mean, spread) }
    }

    /// By how many standard errors another mean lies above this one (below: negative): the z statistic of two samples that share this
    /// one's variance and correlation. The other mean is over so many frames. 0 where one of them is over none.
    ///
    /// The standard error is `sqrt(variance * correlation * (1 / own frames + 1 / other frames))`.
    pub fn standard_errors(&self, other: f64, frames: f64) -> f64 {
        if self.frames == 0 || frames <= 0.0 || self.variance <= 0.0 {
            return 0.0;
        }
        let share = 1.0 / self.frames as f64 + 1.0 / frames;
        (other - self.mean) / (self.variance * self.correlation.max(1.0) * share).sqrt()
    }
}

/// `1 + 2 * (sum of the autocorrelations)`, up to the first lag that is [`SOKAL_WINDOW`] times the sum so far: beyond, noise is summed up.
fn correlation_time(values: &[f64], mean: f64, variance: f64) -> f64 {
    let mut time = 1.0;
    if variance <= 0.0 {
        return time;
    }
    for lag in 1..values.len() {
        let products = values.iter().zip(&values[lag..]).map(|(early, late)| (early - mean) * (late - mean));
        time += 2.0 * products.sum::<f64>() / (values.len() as f64 * variance);
        if lag as f64 >= SOKAL_WINDOW * time {
            break;
        }
    }
    time.max(1.0)
}

/// What a detector finds, at the thresholds of its bundle, in frames that it was not trained on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ScoreProfile {
    /// Frames looked at.
    pub frames: u64,
    /// 1 for each frame without any detection, 0 for others: the mean is their share.
    pub empty: Moments,
    /// Detections in a frame.
    pub detections: Moments,
    /// The best score of each frame that has one.
    pub best_score: Moments,
    /// These frames by their best score: from 0.0 to 0.1, and so on.
    pub best_scores: [u64; SCORE_BINS],
}

impl ScoreProfile {
    /// The name under which a bundle's figures hold it.
    pub const KEY: &str = "score_profile";

    /// The profile of frames in the order of time; `None` without any.
    pub fn of(frames: &[FrameScores]) -> Option<Self> {
        if frames.is_empty() {
            return None;
        }
        let each = |figure: fn(&FrameScores) -> f64| frames.iter().map(figure).collect::<Vec<f64>>();
        let best: Vec<f32> = frames.iter().filter_map(|frame| frame.best).collect();
        Some(Self {
            frames: frames.len() as u64,
            empty: Moments::of(&each(FrameScores::empty), 1.0),
            detections: Moments::of(&each(|frame| frame.detections as f64), 1.0),
            best_score: Moments::of(&best.iter().map(|&score| f64::from(score)).collect::<Vec<f64>>(), 0.1),
            best_scores: histogram(best),
        })
    }

    /// The profile in a bundle's figures; `None` in bundles of earlier versions, and of models that were made elsewhere.
    pub fn of_figures(figures: &serde_json::Map<String, serde_json::Value>) -> Option<Self> {
        serde_json::from_value(figures.get(Self::KEY)?.clone()).ok()
    }

    /// Puts the profile into a bundle's figures.
    pub fn put_into(&self, figures: &mut serde_json::Map<String, serde_json::Value>) {
        // Numbers alone: there is nothing that JSON could not hold.
        if let Ok(value) = serde_json::to_value(self) {
            figures.insert(Self::KEY.to_owned(), value);
        }
    }

    /// The population stability index of other frames' best scores against these (Siddiqi 2006, "Credit Risk Scorecards"; the symmetric
    /// Kullback-Leibler divergence of the two histograms): 0 for the same spread; from 0.25 on one calls samples of independent
    /// members different. Half a frame is added to each bin, so that empty ones have a logarithm. `None` where one side has no scores.
    pub fn stability_index(&self, others: &[u64; SCORE_BINS]) -> Option<f64> {
        let share = |bins: &[u64; SCORE_BINS], bin: usize| {
            let all = bins.iter().sum::<u64>() as f64 + 0.5 * SCORE_BINS as f64;
            (bins[bin] as f64 + 0.5) / all
        };
        let is_empty = |bins: &[u64; SCORE_BINS]| bins.iter().all(|&count| count == 0);
        if is_empty(&self.best_scores) || is_empty(others) {
            return None;
        }
        let terms = (0..SCORE_BINS).map(|bin| {
            let (own, other) = (share(&self.best_scores, bin), share(others, bin));
            (other - own) * (other / own).ln()
        });
        Some(terms.sum())
    }
}

/// Scores by tenths; those outside of 0 to 1 go to the nearest.
pub fn histogram(scores: impl IntoIterator<Item = f32>) -> [u64; SCORE_BINS] {
    let mut bins = [0; SCORE_BINS];
    for score in scores {
        // The cast takes what is below 0, and what is no number, to 0.
        bins[((f64::from(score) * SCORE_BINS as f64) as usize).min(SCORE_BINS - 1)] += 1;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(scores: &[&[f32]]) -> Vec<FrameScores> {
        scores.iter().map(|scores| FrameScores::of(scores.iter().copied())).collect()
    }

    #[test]
    fn a_profile_tells_what_was_found_and_survives_the_bundle() {
        let profile = ScoreProfile::of(&frames(&[&[], &[0.42, 0.85], &[0.95], &[]])).unwrap();
        assert_eq!((profile.frames, profile.empty.mean, profile.detections.mean), (4, 0.5, 0.75));
        assert!((profile.detections.variance - 0.6875).abs() < 1e-9, "{profile:?}");
        assert_eq!(profile.best_score.frames, 2);
        assert!((profile.best_score.mean - 0.9).abs() < 1e-6);
        assert_eq!(profile.best_scores, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        let mut figures = serde_json::Map::new();
        assert_eq!(ScoreProfile::of_figures(&figures), None);
        profile.put_into(&mut figures);
        let text = serde_json::to_string(&figures).unwrap();
        assert_eq!(ScoreProfile::of_figures(&serde_json::from_str(&text).unwrap()), Some(profile));
        assert_eq!(ScoreProfile::of(&[]), None);
    }

    #[test]
    fn frames_that_resemble_each_other_count_for_less() {
        // Bits of a multiplicative hash, each held for so many frames.
        let held = |frames: u64| {
            let bit = |place: u64| (place.wrapping_mul(2_654_435_761) & 0xffff_ffff) >> 13 & 1;
            Moments::of(&(0..2000).map(|frame| bit(frame / frames) as f64).collect::<Vec<_>>(), 1.0)
        };
        let (alone, video) = (held(1), held(20));
        assert!((alone.mean - 0.5).abs() < 0.01 && (alone.variance - 0.25).abs() < 0.01, "{alone:?}");
        assert!((1.0..2.0).contains(&alone.correlation), "{alone:?}");
        assert!((14.0..22.0).contains(&video.correlation), "{video:?}");
        let off = |moments: &Moments| moments.standard_errors(1.0, 2000.0);
        assert!((25.0..35.0).contains(&off(&alone)) && (6.0..9.0).contains(&off(&video)), "{video:?}");
        assert!((video.standard_errors(0.0, 2000.0) + off(&video)).abs() < 0.5, "the other way it is below");
        assert_eq!(alone.standard_errors(1.0, 0.0), 0.0);
        assert_eq!(Moments::default().standard_errors(1.0, 10.0), 0.0);
    }

    #[test]
    fn what_never_varied_may_still_do_so() {
        let always = Moments::of(&[0.0; 98], 1.0);
        assert!((always.variance - 0.0099).abs() < 1e-6 && always.correlation == 1.0, "{always:?}");
        // One empty frame in a hundred is no surprise, only empty ones are.
        assert!(always.standard_errors(0.01, 100.0) < 1.0 && always.standard_errors(1.0, 100.0) > 50.0);
    }

    #[test]
    fn the_stability_index_is_of_the_books() {
        let mut profile = ScoreProfile::of(&frames(&[&[0.55]])).unwrap();
        profile.best_scores = [0, 0, 0, 0, 0, 500_000, 500_000, 0, 0, 0];
        let index = |others| profile.stability_index(&others).unwrap();
        assert!(index([0, 0, 0, 0, 0, 500, 500, 0, 0, 0]).abs() < 0.1);
        // (0.8 - 0.5) ln (0.8 / 0.5) + (0.2 - 0.5) ln (0.2 / 0.5)
        assert!((index([0, 0, 0, 0, 0, 800_000, 200_000, 0, 0, 0]) - 0.4159).abs() < 1e-3);
        assert!(index([1000, 0, 0, 0, 0, 0, 0, 0, 0, 0]) > 3.0);
        assert_eq!(profile.stability_index(&[0; SCORE_BINS]), None);
        assert_eq!(histogram([0.0, 1.0, 7.0, -1.0, f32::NAN]), [3, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    }
}
