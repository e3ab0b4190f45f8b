//! What stands out in an audit, in words, and the trust that follows from it.

use serde::{Deserialize, Serialize};

use super::{ClassAudit, Dependence, DependenceBin, Factor, JudgedBy, RecordingDrift, TeacherAudit, Trend};

/// Fewer boxes or objects than this say nothing.
pub(super) const ENOUGH: usize = 20;
/// A share under this stands out.
const LOW_SHARE: f64 = 0.5;
/// A bin whose share lies so far under the teacher's own stands out.
const DROP: f64 = 0.2;
/// An expected calibration error above this stands out.
const HIGH_ECE: f64 = 0.15;
/// A share of a true class that is called something else stands out above this.
const CONFUSED: f64 = 0.1;
/// A trend of less than so many standard errors is chance.
const CERTAIN: f64 = 4.0;
/// A trend of scores out of fewer slices of the time is chance.
const ENOUGH_SLICES: usize = 10;
/// A change of the mean score over a recording that matters.
const SCORE_CHANGE: f64 = 0.1;
/// A change of the boxes in a frame that matters, as a share of their mean.
const COUNT_CHANGE: f64 = 0.5;
/// A smaller step of trust is not worth another labelling.
const TRUST_STEP: f32 = 0.1;

/// Something that stands out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The teacher.
    pub teacher: String,
    /// The class, where it is about one.
    pub class: Option<String>,
    /// What kind of thing.
    pub kind: FindingKind,
    /// The whole sentence, teacher and class named.
    pub text: String,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Its boxes are not confirmed by the other teachers.
    Unconfirmed,
    /// It misses what the others agree on.
    Missed,
    /// Nobody can judge it: no other teacher knows the class and there is no truth.
    Unjudged,
    /// Its boxes are not true.
    Untrue,
    /// It misses what is really there.
    Blind,
    /// It takes one class for another.
    Confused,
    /// Its scores promise too much or too little.
    Uncalibrated,
    /// It changes over a recording's time.
    Drifting,
    /// It is worth less under some conditions.
    Dependent,
    /// Its trust should be another.
    Trust,
}

/// What stands out about each teacher.
pub(super) fn findings(teachers: &[TeacherAudit], classes: &[String], judged_by: JudgedBy) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, teacher) in teachers.iter().enumerate() {
        let mut about = About { teacher, findings: &mut findings };
        about.trust();
        for class in &teacher.classes {
            about.class(class);
        }
        about.confusions(classes);
        about.calibration(judged_by);
        about.drifts(teachers, index);
        about.dependences();
    }
    findings
}

/// Collects what is to be said about one teacher.
struct About<'a> {
    teacher: &'a TeacherAudit,
    findings: &'a mut Vec<Finding>,
}

impl About<'_> {
    fn tell(&mut self, class: Option<&str>, kind: FindingKind, words: &str) {
        let teacher = self.teacher.name.clone();
        let text = match class {
            Some(class) => format!("{teacher}: {class}: {words}"),
            None => format!("{teacher}: {words}"),
        };
        self.findings.push(Finding { teacher, class: class.map(str::to_owned), kind, text });
    }

    fn trust(&mut self) {
        let teacher = self.teacher;
        let (trust, Some(proposed)) = (teacher.trust, teacher.proposed_trust) else { return };
        if (proposed - trust).abs() >= TRUST_STEP {
            self.tell(None, FindingKind::Trust, &format!("trust {trust:.2} -> {proposed:.2} proposed"));
        }
    }

    fn class(&mut self, class: &ClassAudit) {
        let name = Some(class.class.as_str());
        let low = |share: Option<f64>, of: usize| share.filter(|share| of >= ENOUGH && *share < LOW_SHARE);
        if let Some(share) = low(class.precision, class.confident) {
            let words = format!("only {} of the boxes that it stands by are true", percent(share));
            self.tell(name, FindingKind::Untrue, &words);
        }
        if let Some(share) = low(class.recall, class.truths) {
            let words = format!("finds only {} of the {} that are there", percent(share), class.truths);
            self.tell(name, FindingKind::Blind, &words);
        }
        if let Some(share) = low(class.agreement, class.confident) {
            let words = format!("only {} of its boxes are confirmed by others", percent(share));
            self.tell(name, FindingKind::Unconfirmed, &words);
        }
        if let Some(share) = low(class.agreed_recall, class.agreed) {
            let words = format!("finds only {} of the {} that the others agree on", percent(share), class.agreed);
            self.tell(name, FindingKind::Missed, &words);
        }
        if class.others == 0 && class.precision.is_none() && class.detections > 0 {
            let words = "no other teacher knows it and there is no truth: nobody can judge its boxes";
            self.tell(name, FindingKind::Unjudged, words);
        }
    }

    fn confusions(&mut self, classes: &[String]) {
        let teacher = self.teacher;
        let Some(truth) = &teacher.truth else { return };
        for (row, class) in truth.confusion.iter().zip(classes) {
            let all: u64 = row.iter().sum();
            for (count, called) in row.iter().zip(classes) {
                let share = *count as f64 / all.max(1) as f64;
                if called != class && all >= ENOUGH as u64 && share > CONFUSED {
                    let words = format!("{} of the true ones are called {called}", percent(share));
                    self.tell(Some(class), FindingKind::Confused, &words);
                }
            }
        }
    }

    fn calibration(&mut self, judged_by: JudgedBy) {
        let teacher = self.teacher;
        let calibration = &teacher.calibration;
        let (Some(ece), Some(over)) = (calibration.ece, calibration.overconfidence) else { return };
        if ece <= HIGH_ECE || calibration.counted < ENOUGH {
            return;
        }
        let what = match judged_by {
            JudgedBy::Truth => "are true",
            JudgedBy::Agreement => "are confirmed",
        };
        let direction = if over > 0.0 { "more" } else { "less" };
        let words = format!(
            "its scores promise {direction} than they keep: {ece:.2} off on average from the share of boxes that {what}"
        );
        self.tell(None, FindingKind::Uncalibrated, &words);
    }

    /// Changes over the time of each recording, class by class where it knows several. What meets a class meets all boxes of that recording
    /// as well, and is told once.
    fn drifts(&mut self, teachers: &[TeacherAudit], index: usize) {
        let teacher = self.teacher;
        let others = || teachers.iter().enumerate().filter(move |(other, _)| *other != index).map(|(_, other)| other);
        for whole in &teacher.drift {
            let score = |drifts: &[RecordingDrift]| in_recording(drifts, whole.source)?.score;
            let before = self.findings.len();
            if teacher.classes.len() > 1 {
                for class in &teacher.classes {
                    let Some(own) = in_recording(&class.drift, whole.source) else { continue };
                    let of_others: Vec<Trend> = others()
                        .filter_map(|other| other.classes.iter().find(|of_other| of_other.class == class.class))
                        .filter_map(|of_other| score(&of_other.drift))
                        .collect();
                    self.drift(Some(&class.class), own, &of_others);
                }
            }
            if self.findings.len() == before {
                let of_others: Vec<Trend> = others().filter_map(|other| score(&other.drift)).collect();
                self.drift(None, whole, &of_others);
            }
        }
    }

    /// `drift` is the teacher's in a recording, of a class or of all, and `others` are how the scores of the other teachers change there.
    fn drift(&mut self, class: Option<&str>, drift: &RecordingDrift, others: &[Trend]) {
        let many = self.teacher.drift.len() > 1;
        let place = if many { format!(" of recording {}", drift.source + 1) } else { String::new() };
        let frames: usize = drift.slices.iter().map(|slice| slice.frames).sum();
        let boxes: f64 = drift.slices.iter().map(|slice| slice.boxes_per_frame * slice.frames as f64).sum();
        let scored = drift.slices.iter().filter(|slice| slice.mean_score.is_some()).count();
        if boxes < ENOUGH as f64 {
            return;
        }
        if let Some(trend) = drift.score
            && scored >= ENOUGH_SLICES
            && trend.change.abs() >= SCORE_CHANGE
            && trend.standard_errors() >= CERTAIN
            // What half as strong meets another teacher too is the scene's doing.
            && !others.iter().any(|other| other.change * trend.change.signum() >= trend.change.abs() / 2.0)
        {
            let words = format!(
                "its mean score changes by {:+.2} from the beginning to the end{place}, and no other teacher's does",
                trend.change
            );
            self.tell(class, FindingKind::Drifting, &words);
        }
        if let Some(trend) = drift.excess
            && trend.change.abs() >= COUNT_CHANGE * boxes / frames as f64
            && trend.standard_errors() >= CERTAIN
        {
            let words = format!(
                "its boxes in a frame change by {:+.1} from the beginning to the end{place}, beside those of the others",
                trend.change
            );
            self.tell(class, FindingKind::Drifting, &words);
        }
    }

    /// Conditions, class by class where it knows several. What meets a class meets all boxes as well, and is told once.
    fn dependences(&mut self) {
        let teacher = self.teacher;
        for whole in &teacher.dependence {
            let before = self.findings.len();
            if teacher.classes.len() > 1 {
                for class in &teacher.classes {
                    if let Some(of_class) = class.dependence.iter().find(|of_class| of_class.factor == whole.factor) {
                        // Among the bins of many classes some are low by chance.
                        self.dependence(Some(&class.class), of_class, CERTAIN);
                    }
                }
            }
            if self.findings.len() == before {
                self.dependence(None, whole, 0.0);
            }
        }
    }

    /// `dependence` is the teacher's, of a class or of all; a bin must be so many standard errors too low.
    fn dependence(&mut self, class: Option<&str>, dependence: &Dependence, certain: f64) {
        let bins = &dependence.bins;
        // Where one of two others fails, half confirm: that is not this teacher's fault.
        if let Some((bin, share, all)) = worst(bins, |bin| bin.boxes, |bin| bin.agreement, LOW_SHARE, certain) {
            let (place, share, all) = (place(dependence.factor, bin), percent(share), percent(all));
            let words = format!("{place} only {share} of its boxes are confirmed by others, of all {all}");
            self.tell(class, FindingKind::Dependent, &words);
        }
        if let Some((bin, share, all)) = worst(bins, |bin| bin.truths, |bin| bin.recall, 1.0, certain) {
            let (place, share, all) = (place(dependence.factor, bin), percent(share), percent(all));
            let words = format!("{place} it finds only {share} of what is there, of all {all}");
            self.tell(class, FindingKind::Dependent, &words);
        }
    }
}

/// The bin with the lowest share and that of all bins together, when it lies far under it and under the ceiling, by so many standard
/// errors of a share (of as many in the bin) at least.
fn worst(
    bins: &[DependenceBin],
    count: fn(&DependenceBin) -> usize,
    share: fn(&DependenceBin) -> Option<f64>,
    ceiling: f64,
    certain: f64,
) -> Option<(&DependenceBin, f64, f64)> {
    let known: Vec<(&DependenceBin, f64)> = bins.iter().filter_map(|bin| Some((bin, share(bin)?))).collect();
    let weight: usize = known.iter().map(|(bin, _)| count(bin)).sum();
    let all = known.iter().map(|(bin, share)| count(bin) as f64 * share).sum::<f64>() / weight.max(1) as f64;
    let enough = known.into_iter().filter(|(bin, _)| count(bin) >= ENOUGH);
    let (bin, lowest) = enough.min_by(|a, b| a.1.total_cmp(&b.1))?;
    let error = (all * (1.0 - all) / count(bin) as f64).max(0.0).sqrt();
    (lowest < all - DROP.max(certain * error) && lowest < ceiling).then_some((bin, lowest, all))
}

/// How a teacher's boxes change over the time of this recording.
fn in_recording(drifts: &[RecordingDrift], source: usize) -> Option<&RecordingDrift> {
    drifts.iter().find(|drift| drift.source == source)
}

/// Where a bin is, as the beginning of a sentence.
fn place(factor: Factor, bin: &DependenceBin) -> String {
    let range = &bin.range;
    match factor {
        Factor::Brightness => format!("in pictures of a brightness from {range} (of 255)"),
        Factor::Blur => format!("in pictures of a sharpness from {range} (low is blurred)"),
        Factor::Size => format!("of a size from {range} of the picture's diagonal"),
        Factor::Position => format!("in the {range} of the picture"),
    }
}

/// A share for people.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}
