//! Average precision of object centres, as 2-D lidar detectors are judged (DROW, Beyer et al. 2016): a detection is right when it
//! lies within a distance of a centre that no better detection has found. Precision is read off at COCO's 101 recalls.

use serde::{Deserialize, Serialize};

use super::{
    mean,
    pairing::Verdict,
    precision::{RECALL_POINTS, precision_at_recalls},
};

/// An object that is really there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CenterTruth {
    /// Index of its class.
    pub class: usize,
    /// Its middle in metres; only x and y count.
    pub center: [f32; 3],
    /// It need not be found, and who finds it is not wrong: it cannot be seen, say.
    pub ignored: bool,
}

/// An object that a detector claims.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredCenter {
    /// Index of its class.
    pub class: usize,
    /// Confidence; only the order counts.
    pub score: f32,
    /// Its middle in metres; only x and y count.
    pub center: [f32; 3],
}

impl ScoredCenter {
    fn is_finite(&self) -> bool {
        self.score.is_finite() && self.center[..2].iter().all(|value| value.is_finite())
    }
}

/// Judges the detections of one sweep at a distance in metres and says of each, in their order, what became of it: the best score
/// chooses first, and takes the nearest centre of its class that is still free. Detections whose score or centre is not a finite
/// number are [`Verdict::Ignored`].
pub fn judge_centers(truths: &[CenterTruth], found: &[ScoredCenter], distance: f32) -> Vec<Verdict> {
    let mut order: Vec<usize> = (0..found.len()).filter(|&index| found[index].is_finite()).collect();
    order.sort_by(|&a, &b| found[b].score.total_cmp(&found[a].score));
    let mut taken = vec![false; truths.len()];
    let mut verdicts = vec![Verdict::Ignored; found.len()];
    for index in order {
        let claim = &found[index];
        let near = (0..truths.len())
            .filter(|&place| truths[place].class == claim.class && (!taken[place] || truths[place].ignored))
            .map(|place| (place, planar_distance(claim.center, truths[place].center)))
            .filter(|(_, gap)| *gap <= distance);
        // What is to be found goes before what need not be.
        let best = near.min_by(|(a, at), (b, bt)| truths[*a].ignored.cmp(&truths[*b].ignored).then(at.total_cmp(bt)));
        verdicts[index] = match best {
            None => Verdict::FalseAlarm,
            Some((place, _)) if truths[place].ignored => Verdict::Ignored,
            Some((place, _)) => {
                taken[place] = true;
                Verdict::Hit(place)
            }
        };
    }
    verdicts
}

/// The figures of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassCenterAp {
    /// Name of the class.
    pub class: String,
    /// Objects that were to be found.
    pub truths: usize,
    /// Average precision; `None` when the data holds no object of the class.
    pub ap: Option<f64>,
    /// Precision at the recalls 0.00, 0.01, ... 1.00.
    pub precision: Vec<f64>,
    /// The best F1 score over all thresholds, and the score that gives it.
    pub best_f1: Option<BestF1>,
    /// Mean distance of the right detections from their centres, in metres.
    pub mean_distance: Option<f64>,
}

/// The threshold at which precision and recall are best together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BestF1 {
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Detections of this score and above.
    pub score: f32,
    /// Share of these that are right.
    pub precision: f64,
    /// Share of the objects that these find.
    pub recall: f64,
}

/// Average precision of centres over the classes that occur in the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CenterAp {
    /// Greatest distance of a right detection, in metres.
    pub distance: f32,
    /// Mean over the classes; `None` without any truth.
    pub ap: Option<f64>,
    /// Each class by itself.
    pub per_class: Vec<ClassCenterAp>,
    /// Sweeps seen.
    pub sweeps: usize,
}

#[derive(Debug, Clone, Copy)]
struct Judged {
    score: f32,
    verdict: Option<bool>,
    distance: f32,
}

/// Collects sweeps one by one, then gives the figures.
#[derive(Debug, Clone)]
pub struct CenterApAccumulator {
    classes: Vec<String>,
    distance: f32,
    judged: Vec<Vec<Judged>>,
    truths: Vec<usize>,
    sweeps: usize,
}

impl CenterApAccumulator {
    /// An empty accumulator for classes of these names; detections within `distance` metres are right.
    pub fn new(classes: &[String], distance: f32) -> Self {
        let count = classes.len();
        Self { classes: classes.to_vec(), distance, judged: vec![Vec::new(); count], truths: vec![0; count], sweeps: 0 }
    }

    /// Judges the detections of one sweep. Classes outside the known ones are passed over, and so are detections whose score or
    /// centre is not a finite number.
    pub fn add_sweep(&mut self, truths: &[CenterTruth], found: &[ScoredCenter]) {
        self.sweeps += 1;
        for truth in truths.iter().filter(|truth| !truth.ignored) {
            if let Some(count) = self.truths.get_mut(truth.class) {
                *count += 1;
            }
        }
        for (claim, verdict) in found.iter().zip(judge_centers(truths, found, self.distance)) {
            let Some(judged) = self.judged.get_mut(claim.class).filter(|_| claim.is_finite()) else { continue };
            let (verdict, distance) = match verdict {
                Verdict::Hit(place) => (Some(true), planar_distance(claim.center, truths[place].center)),
                Verdict::Ignored => (None, 0.0),
                Verdict::FalseAlarm => (Some(false), 0.0),
            };
            judged.push(Judged { score: claim.score, verdict, distance });
        }
    }

    /// The figures over everything added so far.
    pub fn finish(&self) -> CenterAp {
        let per_class: Vec<ClassCenterAp> = (0..self.classes.len()).map(|class| self.class(class)).collect();
        let ap = mean(per_class.iter().filter_map(|class| class.ap));
        CenterAp { distance: self.distance, ap, per_class, sweeps: self.sweeps }
    }

    fn class(&self, class: usize) -> ClassCenterAp {
        let mut judged = self.judged[class].clone();
        judged.sort_by(|a, b| b.score.total_cmp(&a.score));
        let truths = self.truths[class];
        let precision = match truths {
            0 => Vec::new(),
            _ => precision_at_recalls(judged.iter().map(|claim| claim.verdict), truths).to_vec(),
        };
        let right = judged.iter().filter(|claim| claim.verdict == Some(true)).map(|claim| f64::from(claim.distance));
        ClassCenterAp {
            class: self.classes[class].clone(),
            truths,
            ap: (truths > 0).then(|| precision.iter().sum::<f64>() / RECALL_POINTS as f64),
            precision,
            best_f1: best_f1(&judged, truths),
            mean_distance: mean(right),
        }
    }
}

/// The best threshold; `judged` in descending order of score.
fn best_f1(judged: &[Judged], truths: usize) -> Option<BestF1> {
    let (mut hits, mut claims) = (0.0_f64, 0.0_f64);
    let mut best: Option<BestF1> = None;
    for (index, claim) in judged.iter().enumerate() {
        claims += f64::from(u8::from(claim.verdict.is_some()));
        hits += f64::from(u8::from(claim.verdict == Some(true)));
        // A threshold cannot part detections of one score.
        if judged.get(index + 1).is_some_and(|next| next.score == claim.score) || hits == 0.0 || truths == 0 {
            continue;
        }
        let f1 = 2.0 * hits / (claims + truths as f64);
        if best.is_none_or(|best| f1 > best.f1) {
            let (precision, recall) = (hits / claims, hits / truths as f64);
            best = Some(BestF1 { f1, score: claim.score, precision, recall });
        }
    }
    best
}

fn planar_distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(x: f32) -> CenterTruth {
        CenterTruth { class: 0, center: [x, 0.0, 0.0], ignored: false }
    }

    fn claim(x: f32, score: f32) -> ScoredCenter {
        ScoredCenter { class: 0, score, center: [x, 0.0, 5.0] }
    }

    fn figures(truths: &[CenterTruth], found: &[ScoredCenter]) -> ClassCenterAp {
        let mut ap = CenterApAccumulator::new(&["leg".to_owned()], 0.5);
        ap.add_sweep(truths, found);
        ap.finish().per_class.remove(0)
    }

    #[test]
    fn what_lies_within_the_distance_is_right_whatever_its_height() {
        let near = figures(&[truth(1.0)], &[claim(1.4, 0.9)]);
        assert!((near.ap.unwrap() - 1.0).abs() < 1e-9);
        assert!((near.mean_distance.unwrap() - 0.4).abs() < 1e-6);
        assert_eq!(figures(&[truth(1.0)], &[claim(1.6, 0.9)]).ap, Some(0.0));
    }

    #[test]
    fn one_object_is_found_once_and_the_best_score_chooses_first() {
        let twice = figures(&[truth(0.0)], &[claim(0.1, 0.8), claim(0.2, 0.9)]);
        assert!((twice.mean_distance.unwrap() - 0.2).abs() < 1e-6);
        let f1 = twice.best_f1.unwrap();
        assert_eq!((f1.score, f1.precision, f1.recall), (0.9, 1.0, 1.0));
        // The better detection takes the nearest, so that both find theirs.
        let both = figures(&[truth(0.0), truth(0.4)], &[claim(0.35, 0.9), claim(0.1, 0.8)]);
        assert!((both.ap.unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_false_alarm_above_the_hit_halves_precision() {
        let value = figures(&[truth(0.0)], &[claim(3.0, 0.9), claim(0.0, 0.8)]);
        assert!((value.ap.unwrap() - 0.5).abs() < 1e-9);
        assert!((value.best_f1.unwrap().f1 - 2.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn what_need_not_be_found_excuses_who_finds_it() {
        let hidden = CenterTruth { ignored: true, ..truth(3.0) };
        let value = figures(&[truth(0.0), hidden], &[claim(3.0, 0.9), claim(3.1, 0.85), claim(0.0, 0.8)]);
        assert_eq!((value.truths, value.ap.map(|ap| (ap * 1e6).round())), (1, Some(1e6)));
        // A neighbour that is to be found goes first.
        let value = figures(&[truth(3.3), hidden], &[claim(3.0, 0.9)]);
        assert!((value.ap.unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn verdicts_stand_in_the_order_of_the_detections() {
        let hidden = CenterTruth { ignored: true, ..truth(9.0) };
        let other = ScoredCenter { class: 1, ..claim(0.0, 0.99) };
        let nan = ScoredCenter { score: f32::NAN, ..claim(0.0, 0.0) };
        let found = [claim(0.3, 0.5), claim(0.1, 0.9), other, claim(9.1, 0.7), nan];
        let verdicts = judge_centers(&[truth(0.0), hidden], &found, 0.5);
        let alarm = Verdict::FalseAlarm;
        assert_eq!(verdicts, [alarm, Verdict::Hit(0), alarm, Verdict::Ignored, Verdict::Ignored]);
    }

    #[test]
    fn without_truth_there_is_no_figure_and_wrong_numbers_are_passed_over() {
        assert_eq!(figures(&[], &[claim(0.0, 0.9)]).ap, None);
        let nan = ScoredCenter { center: [f32::NAN, 0.0, 0.0], ..claim(0.0, 0.9) };
        assert!((figures(&[truth(0.0)], &[nan, claim(0.0, 0.8)]).ap.unwrap() - 1.0).abs() < 1e-9);
    }
}
