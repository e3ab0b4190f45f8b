//! Whether what is found still resembles what was found when the model was validated: a student out of its domain is noticed.
//!
//! Three figures of each frame are held against the [`ScoreProfile`] in the bundle: whether the frame is empty, how many detections it
//! has, and its best score. For each the z statistic of two samples tells by how many standard errors the mean has moved
//! ([`Moments::standard_errors`]). Frames of a video resemble each other, so that n of them tell less than n independent ones; the
//! correlation time in the profile (Sokal 1997) says by how much. Without it every quiet minute would be a drift.
//!
//! A mean counts as moved only as far as it has in both of two windows (as alerts on service levels do: Beyer et al. 2018, "The Site
//! Reliability Workbook", chapter 5): the newest [`RECENT`] frames, so that what is over is soon forgotten, and a window that forgets
//! slowly, so that what is short is no drift.

use std::collections::VecDeque;

use r2r::diagnostic_msgs::msg::{DiagnosticStatus, KeyValue};

use super::{WARN, pair, status};
use crate::{
    metrics::{FrameScores, Moments, SCORE_BINS, ScoreProfile, histogram},
    node::onlooker::{Frame, ModelIdentity, Onlooker},
};

/// Frames of the short window, and frames before which nothing is said.
const RECENT: usize = 300;
/// A mean that moved by less is no drift, however sure it is that it moved: a tenth of the frames, of a score, of a detection a frame.
const RELEVANT: f64 = 0.1;

/// What the parameters say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::node) struct DriftRule {
    /// Standard errors from where on it is a warning; 0 for never.
    pub(in crate::node) warn: f64,
    /// Whether the thresholds are the bundle's own: what others let through cannot be compared.
    pub(in crate::node) has_own_thresholds: bool,
}

/// How drift is watched for.
pub(in crate::node) struct DriftOptions {
    /// Asks for the rule as it is now.
    pub(in crate::node) rule: Box<dyn Fn() -> DriftRule + Send>,
    /// Frames after which the slow window has forgotten 63 % of what it knew.
    pub(in crate::node) window: f64,
}

/// Watches for drift.
pub(in crate::node) struct Drift {
    options: DriftOptions,
    profile: Option<ScoreProfile>,
    frames: u64,
    recent: VecDeque<FrameScores>,
    empty: Fading,
    detections: Fading,
    best_score: Fading,
}

/// A mean in which older values weigh less and less.
#[derive(Debug, Clone, Copy, Default)]
struct Fading {
    sum: f64,
    weights: f64,
    squared_weights: f64,
}

impl Fading {
    fn add(&mut self, value: f64, window: f64) {
        let kept = (-1.0 / window.max(1.0)).exp();
        self.sum = kept * self.sum + value;
        self.weights = kept * self.weights + 1.0;
        self.squared_weights = kept * kept * self.squared_weights + 1.0;
    }

    fn mean(&self) -> f64 {
        if self.weights > 0.0 { self.sum / self.weights } else { 0.0 }
    }

    /// How many values of equal weight would tell as much (Kish 1965, "Survey Sampling").
    fn values(&self) -> f64 {
        if self.squared_weights > 0.0 { self.weights * self.weights / self.squared_weights } else { 0.0 }
    }
}

/// How far one figure has moved.
struct Shift {
    key: &'static str,
    words: &'static str,
    expected: f64,
    /// The mean of the short window; nothing where no frame has the figure.
    recent: Option<f64>,
    /// Standard errors, as far as both windows agree.
    standard_errors: f64,
}

impl Shift {
    /// Whether it is large enough to mean something.
    fn is_relevant(&self) -> bool {
        self.recent.is_some_and(|recent| (recent - self.expected).abs() >= RELEVANT)
    }
}

impl Drift {
    /// Nothing seen yet, and no model.
    pub(in crate::node) fn new(options: DriftOptions) -> Self {
        Self {
            options,
            profile: None,
            frames: 0,
            recent: VecDeque::with_capacity(RECENT),
            empty: Fading::default(),
            detections: Fading::default(),
            best_score: Fading::default(),
        }
    }

    fn add(&mut self, frame: FrameScores) {
        let window = self.options.window;
        self.frames += 1;
        self.empty.add(frame.empty(), window);
        self.detections.add(frame.detections as f64, window);
        if let Some(best) = frame.best {
            self.best_score.add(f64::from(best), window);
        }
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(frame);
    }

    fn shifts(&self, profile: &ScoreProfile) -> [Shift; 3] {
        let frames = self.recent.len() as f64;
        let sum = |figure: fn(&FrameScores) -> f64| self.recent.iter().map(figure).sum::<f64>();
        let scored = self.recent.iter().filter(|frame| frame.best.is_some()).count() as f64;
        let mean = |sum: f64, count: f64| (count > 0.0).then(|| sum / count);
        let best = sum(|frame| frame.best.map_or(0.0, f64::from));
        [
            (
                "empty_share",
                "share of empty frames",
                &profile.empty,
                mean(sum(FrameScores::empty), frames),
                frames,
                &self.empty,
            ),
            (
                "detections_per_frame",
                "detections a frame",
                &profile.detections,
                mean(sum(|frame| frame.detections as f64), frames),
                frames,
                &self.detections,
            ),
            ("best_score", "best score of a frame", &profile.best_score, mean(best, scored), scored, &self.best_score),
        ]
        .map(|(key, words, known, recent, count, slow)| Shift {
            key,
            words,
            expected: known.mean,
            recent,
            standard_errors: agreed(known, recent.unwrap_or(known.mean), count, slow),
        })
    }
}

/// The smaller of the two shifts where they go the same way, else none.
fn agreed(known: &Moments, recent: f64, frames: f64, slow: &Fading) -> f64 {
    let short = known.standard_errors(recent, frames);
    let long = known.standard_errors(slow.mean(), slow.values());
    if short * long <= 0.0 {
        0.0
    } else if short.abs() < long.abs() {
        short
    } else {
        long
    }
}

impl Onlooker for Drift {
    fn look(&mut self, frame: &Frame<'_>) {
        self.add(FrameScores::of(frame.sightings.iter().map(|sighting| sighting.score)));
    }

    fn status(&mut self, node: &str) -> Option<DiagnosticStatus> {
        let rule = (self.options.rule)();
        let name = format!("{node}: drift");
        let mut values = vec![pair("frames", &self.frames.to_string()), pair("drift_warn", &rule.warn.to_string())];
        let well =
            |text: &str, values: Vec<KeyValue>| Some(status(name.clone(), Vec::new(), || text.to_owned(), values));
        let Some(profile) = &self.profile else {
            let text = "not watched: the model's bundle has no score profile; `distill run` writes one when it exports";
            return well(text, values);
        };
        if !rule.has_own_thresholds {
            return well("not watched: parameters put the bundle's own thresholds aside", values);
        }
        if self.recent.len() < RECENT {
            return well(&format!("not judged yet: {} of {RECENT} frames seen", self.recent.len()), values);
        }
        let shifts = self.shifts(profile);
        let relevant = || shifts.iter().filter(|shift| shift.is_relevant());
        let most = relevant().map(|shift| shift.standard_errors.abs()).fold(0.0, f64::max);
        values.push(pair("drift", &format!("{most:.2}")));
        for shift in &shifts {
            let mut add =
                |what: &str, value: f64| values.push(pair(&format!("{}{what}", shift.key), &format!("{value:.3}")));
            if let Some(recent) = shift.recent {
                add("", recent);
            }
            add("_expected", shift.expected);
            add("_shift", shift.standard_errors);
        }
        let bins: [u64; SCORE_BINS] = histogram(self.recent.iter().filter_map(|frame| frame.best));
        if let Some(index) = profile.stability_index(&bins) {
            values.push(pair("best_score_psi", &format!("{index:.3}")));
        }
        let moved: Vec<String> = relevant()
            .filter(|shift| rule.warn > 0.0 && shift.standard_errors.abs() >= rule.warn)
            .map(|shift| {
                let recent = shift.recent.unwrap_or(shift.expected);
                let (words, expected, errors) = (shift.words, shift.expected, shift.standard_errors);
                format!("{words} {recent:.2} instead of {expected:.2} ({errors:+.1} standard errors)")
            })
            .collect();
        let findings = match moved.is_empty() {
            true => Vec::new(),
            false => vec![(
                WARN,
                format!(
                    "what is found differs from the frames that the model was validated on: {}; either nothing of its classes is \
                     here, or the sensor, its mount, the light or the place is new to it (drift_warn is {}); record and distill anew",
                    moved.join(", "),
                    rule.warn
                ),
            )],
        };
        Some(status(name, findings, || format!("as when it was validated, within {most:.1} standard errors"), values))
    }

    fn model_changed(&mut self, bundle: &ModelIdentity) {
        self.profile = ScoreProfile::of_figures(&bundle.figures);
        self.frames = 0;
        self.recent.clear();
        (self.empty, self.detections, self.best_score) = (Fading::default(), Fading::default(), Fading::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::diagnostics::OK;

    /// Frames with a person of score 0.8 but for every fifth, which is empty; each held for three frames.
    fn usual(frame: usize) -> FrameScores {
        if (frame / 3).is_multiple_of(5) {
            FrameScores::default()
        } else {
            FrameScores::of([0.775 + 0.01 * (frame / 3 % 5) as f32])
        }
    }

    fn drift(rule: DriftRule) -> Drift {
        Drift::new(DriftOptions { rule: Box::new(move || rule), window: 1000.0 })
    }

    fn model(with_profile: bool) -> ModelIdentity {
        let mut figures = serde_json::Map::new();
        if with_profile {
            ScoreProfile::of(&(0..600).map(usual).collect::<Vec<_>>()).unwrap().put_into(&mut figures);
        }
        ModelIdentity {
            path: "m.onnx".into(),
            sha256: String::new(),
            bundle_version: Some(1),
            figures,
            classes: vec!["person".into()],
            provider: "cpu",
            parameters: 1,
        }
    }

    const RULE: DriftRule = DriftRule { warn: 6.0, has_own_thresholds: true };

    fn told(drift: &mut Drift) -> (u8, String) {
        let status = drift.status("/camera_detector").unwrap();
        assert_eq!(status.name, "/camera_detector: drift");
        (status.level, status.message)
    }

    fn see(drift: &mut Drift, frames: usize, frame: impl Fn(usize) -> FrameScores) {
        for number in 0..frames {
            drift.add(frame(number));
        }
    }

    #[test]
    fn the_usual_is_no_drift_and_black_frames_are() {
        let mut drift = drift(RULE);
        drift.model_changed(&model(true));
        see(&mut drift, 299, |_| FrameScores::default());
        let (level, message) = told(&mut drift);
        assert!(level == OK && message.contains("299 of 300"), "{message}");
        drift.add(FrameScores::default());
        let (level, message) = told(&mut drift);
        assert!(level == WARN && message.contains("share of empty frames 1.00 instead of 0.20 (+"), "{message}");
        drift.model_changed(&model(true));
        see(&mut drift, 3000, usual);
        let (level, message) = told(&mut drift);
        assert_eq!(level, OK, "{message}");
    }

    #[test]
    fn lower_scores_and_more_detections_are_drift_too() {
        let mut drift = drift(RULE);
        drift.model_changed(&model(true));
        let unsure = |frame| FrameScores { best: usual(frame).best.map(|score| score - 0.4), ..usual(frame) };
        see(&mut drift, 1000, unsure);
        let (level, message) = told(&mut drift);
        assert!(level == WARN && message.contains("best score of a frame 0.40 instead of 0.80 (-"), "{message}");
        assert!(!message.contains("empty frames"), "{message}");
        drift.model_changed(&model(true));
        see(&mut drift, 1000, |_| FrameScores::of([0.8; 12]));
        let (level, message) = told(&mut drift);
        assert!(level == WARN && message.contains("detections a frame 12.00 instead of 0.80 (+"), "{message}");
        drift.model_changed(&model(true));
        see(&mut drift, 1000, |frame| FrameScores {
            best: usual(frame).best.map(|score| score - 0.05),
            ..usual(frame)
        });
        assert_eq!(told(&mut drift).0, OK, "a difference that is sure, but small");
    }

    #[test]
    fn what_is_short_is_no_drift_and_what_is_over_is_forgotten() {
        let mut drift = drift(RULE);
        drift.model_changed(&model(true));
        see(&mut drift, 5000, usual);
        see(&mut drift, 60, |_| FrameScores::default());
        assert_eq!(told(&mut drift).0, OK, "nobody for two seconds");
        see(&mut drift, 5000, |_| FrameScores::default());
        assert_eq!(told(&mut drift).0, WARN);
        see(&mut drift, RECENT, usual);
        assert_eq!(told(&mut drift).0, OK, "it is over, though the slow window does not know yet");
    }

    #[test]
    fn what_cannot_be_compared_is_not_warned_of() {
        for (rule, with_profile, words) in [
            (RULE, false, "no score profile"),
            (DriftRule { has_own_thresholds: false, ..RULE }, true, "thresholds"),
            (DriftRule { warn: 0.0, ..RULE }, true, "as when it was validated"),
        ] {
            let mut drift = drift(rule);
            drift.model_changed(&model(with_profile));
            see(&mut drift, 1000, |_| FrameScores::default());
            let (level, message) = told(&mut drift);
            assert!(level == OK && message.contains(words), "{message}");
        }
    }

    #[test]
    fn the_slow_window_weighs_as_many_values_as_it_remembers() {
        let mut fading = Fading::default();
        for _ in 0..10 {
            fading.add(2.0, 1000.0);
        }
        assert!((fading.values() - 10.0).abs() < 0.1 && (fading.mean() - 2.0).abs() < 1e-9);
        for _ in 0..100_000 {
            fading.add(1.0, 1000.0);
        }
        assert!((fading.values() - 2000.0).abs() < 2.0 && (fading.mean() - 1.0).abs() < 1e-6, "{fading:?}");
    }
}
