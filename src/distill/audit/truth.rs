//! The recordings' own truth, and what teachers are worth against it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{AuditError, AuditOptions, evidence::scored_boxes};
use crate::{
    distill::{
        bag::{Frames, TruthSource},
        config::Experiment,
        evaluate::judged_truth,
        split::Block,
        targets::TargetSet,
        train::{split_of, truth_source},
    },
    metrics::{ApAccumulator, ClassAp, Demand, ScoredBox, TruthBox, Verdict, judge_image},
};

/// Truth boxes by recording and place of the frame in it; frames that nothing is known of are left out.
pub type TruthFrames = HashMap<(u32, u64), Vec<TruthBox>>;

/// What a teacher is worth against truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthFigures {
    /// AP at IoU 0.50:0.95 over the classes that the teacher knows. Its boxes end at the score threshold of the labelling, which is
    /// higher than that of `distill evaluate`.
    pub ap: Option<f64>,
    /// At IoU 0.50.
    pub ap50: Option<f64>,
    /// At IoU 0.75.
    pub ap75: Option<f64>,
    /// Each class that the teacher knows.
    pub per_class: Vec<ClassAp>,
    /// Boxes that the teacher stands by: a row per true class and a last one for the background, a column per class that it calls it
    /// and a last one for what it misses. Places are matched whatever the class. Classes that it does not know are missed.
    pub confusion: Vec<Vec<u64>>,
}

/// Reads the truth of an experiment's recordings for the frames that were labelled; images are not decoded. Trust may be chosen by an
/// audit, so the truth of test blocks is not looked at. `None` when there is no other.
///
/// # Errors
/// A recording cannot be read, or the targets were made of other data or classes.
pub fn read_truth(experiment: &Experiment, targets: &TargetSet) -> Result<Option<TruthFrames>, AuditError> {
    if targets.classes != experiment.classes {
        let (labelled, wanted) = (targets.classes.join(", "), experiment.classes.join(", "));
        return Err(AuditError::Classes { labelled, wanted });
    }
    let stamps: HashMap<(u32, u64), i64> =
        targets.frames.iter().map(|frame| ((frame.source, frame.index), frame.stamp)).collect();
    let mut truth = TruthFrames::new();
    for (source, data) in (0u32..).zip(&experiment.data) {
        let labels = truth_source(data);
        if labels == TruthSource::None || data.block == Some(Block::Test) {
            continue;
        }
        let split = split_of(data, experiment)?;
        for frame in Frames::open(&data.path, data.topic.as_deref(), labels)? {
            let frame = frame?;
            let place = (source, frame.index);
            let (Some(boxes), Some(&labelled)) = (&frame.truth, stamps.get(&place)) else { continue };
            if labelled != frame.stamp {
                let (path, index, stamp) = (data.path.clone(), frame.index, frame.stamp);
                return Err(AuditError::OtherData { path, index, stamp, labelled });
            }
            if split.block_of(frame.stamp) != Some(Block::Test) {
                truth.insert(place, judged_truth(boxes, &experiment.classes));
            }
        }
    }
    Ok((!truth.is_empty()).then_some(truth))
}

/// A teacher's average precision and confusions on the frames with truth; `None` without such frames.
pub(super) fn figures(
    targets: &TargetSet,
    truth: &TruthFrames,
    teacher: usize,
    knows: &[bool],
    options: AuditOptions,
) -> Option<TruthFigures> {
    let classes = &targets.classes;
    let mut precision = ApAccumulator::new(classes);
    let mut confusion = vec![vec![0; classes.len() + 1]; classes.len() + 1];
    let mut frames = 0;
    for frame in &targets.frames {
        let Some(truth) = truth.get(&(frame.source, frame.index)) else { continue };
        frames += 1;
        let mut said = scored_boxes(frame, teacher, classes.len());
        precision.add_image(truth, &said);
        said.retain(|found| found.score >= options.confident_score);
        count_confusions(truth, &said, options.iou, &mut confusion);
    }
    if frames == 0 {
        return None;
    }
    let per_class: Vec<ClassAp> = precision
        .finish()
        .per_class
        .into_iter()
        .zip(knows)
        .filter(|(_, knows)| **knows)
        .map(|(class, _)| class)
        .collect();
    let over_classes = |figure: fn(&ClassAp) -> Option<f64>| super::evidence::mean(per_class.iter().filter_map(figure));
    Some(TruthFigures {
        ap: over_classes(|class| class.ap),
        ap50: over_classes(|class| class.ap50),
        ap75: over_classes(|class| class.ap75),
        per_class,
        confusion,
    })
}

/// Adds one frame to the matrix of true against called classes; the last row and column are the background.
fn count_confusions(truth: &[TruthBox], said: &[ScoredBox], iou: f64, confusion: &mut [Vec<u64>]) {
    let background = confusion.len().saturating_sub(1);
    let places: Vec<TruthBox> = truth.iter().map(|object| TruthBox { class: 0, ..object.clone() }).collect();
    let claims: Vec<ScoredBox> = said.iter().map(|claim| ScoredBox { class: 0, ..claim.clone() }).collect();
    let mut missed: Vec<bool> = places.iter().map(|object| object.demand == Demand::Required).collect();
    let mut count = |row: usize, column: usize| {
        if let Some(count) = confusion.get_mut(row).and_then(|row| row.get_mut(column)) {
            *count += 1;
        }
    };
    for (claim, found) in said.iter().zip(judge_image(&places, &claims, iou)) {
        match found {
            Verdict::Hit(object) => {
                missed[object] = false;
                count(truth[object].class, claim.class);
            }
            Verdict::FalseAlarm => count(background, claim.class),
            Verdict::Ignored => {}
        }
    }
    for (object, _) in truth.iter().zip(missed).filter(|(_, missed)| *missed) {
        count(object.class, background);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Box2;

    #[test]
    fn confusions_have_a_row_and_a_column_for_the_background() {
        let at = |x: f32| Box2::new(x, 0.0, x + 10.0, 10.0);
        let truth = |x: f32, class, demand| TruthBox { bbox: at(x), class, demand };
        let claim = |x: f32, class, score| ScoredBox { bbox: at(x), class, score };
        let truth = [
            truth(0.0, 0, Demand::Required),
            truth(50.0, 1, Demand::Required),
            truth(100.0, 1, Demand::Required),
            truth(150.0, 0, Demand::Crowd),
        ];
        let said = [claim(1.0, 0, 0.9), claim(51.0, 0, 0.8), claim(300.0, 1, 0.7), claim(151.0, 0, 0.6)];
        let mut confusion = vec![vec![0; 3]; 3];
        count_confusions(&truth, &said, 0.5, &mut confusion);
        // One right, one taken for the other class, one missed, one invented; the crowd counts for nothing.
        assert_eq!(confusion, [[1, 0, 0], [1, 0, 1], [0, 1, 0]]);
    }
}
