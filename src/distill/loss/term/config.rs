//! What the YAML says of a term.

use serde::{Deserialize, Serialize};

use super::WeightSchedule;
use crate::distill::{loss::FocalWeights, student::AnchorPoint};

/// What is compared, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TermKind {
    /// Features, after an adapter: mean squared error (FitNets, Romero et al. 2015).
    Hint,
    /// Where the features are strong, whatever the channels (attention transfer, Zagoruyko and Komodakis 2017).
    Attention,
    /// Features, after an adapter: each channel as a distribution over the cells (CWD, Shu et al. 2021).
    ChannelWise,
    /// Features, after an adapter: weighted by objects and by the teacher's attention (FGD, Yang et al. 2022).
    Focal,
    /// Several pairs of features, after adapters, normalised (patient distillation, Sun et al. 2019).
    Patient,
    /// The direction of the features, after an adapter (DistilBERT, Sanh et al. 2019).
    Cosine,
    /// How features turn into later features, after adapters: two pairs, the earlier first (FSP, Yim et al. 2017).
    Flow,
    /// Which images or boxes of the batch are alike (similarity-preserving distillation, Tung and Mori 2019).
    Similarity,
    /// How far images or boxes of the batch are from each other (RKD-D, Park et al. 2019).
    RelationDistance,
    /// The angles between images or boxes of the batch (RKD-A, Park et al. 2019).
    RelationAngle,
    /// Class logits of a teacher with the student's head and classes (Hinton et al. 2015).
    Logits,
    /// Box distributions of a teacher with the student's head (localization distillation, Zheng et al. 2022).
    Localization,
}

impl TermKind {
    /// Its name in the YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Attention => "attention",
            Self::ChannelWise => "channel_wise",
            Self::Focal => "focal",
            Self::Patient => "patient",
            Self::Cosine => "cosine",
            Self::Flow => "flow",
            Self::Similarity => "similarity",
            Self::RelationDistance => "relation_distance",
            Self::RelationAngle => "relation_angle",
            Self::Logits => "logits",
            Self::Localization => "localization",
        }
    }

    /// Whether the student's features are given the teacher's channels first.
    pub(super) fn is_adapted(self) -> bool {
        matches!(self, Self::Hint | Self::ChannelWise | Self::Focal | Self::Patient | Self::Cosine | Self::Flow)
    }

    /// Whether both sides must have equal channels.
    pub(super) fn is_response(self) -> bool {
        matches!(self, Self::Logits | Self::Localization)
    }

    /// Whether things of the batch are compared with each other.
    pub(super) fn is_relation(self) -> bool {
        matches!(self, Self::Similarity | Self::RelationDistance | Self::RelationAngle)
    }
}

/// A tensor of the teacher and the student's anchor point that is compared with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Name of the tensor in the teacher's ONNX file; `distill teacher MODEL.onnx --tensors` lists them.
    pub tensor: String,
    /// The student's anchor point.
    pub student: AnchorPoint,
}

/// Which layers of the teacher the stages of the student's backbone are paired with (Sun et al. 2019). Where the teacher is
/// a bundle that names its stages by the anchor points, each is paired with its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The teacher's last layers.
    Last,
    /// Every n-th layer of the teacher.
    Skip,
}

/// What relations are between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relating {
    /// The images of the batch, each pooled as a whole.
    #[default]
    Images,
    /// The boxes of the batch, each pooled over its cells.
    Boxes,
}

/// One named term of the loss: what of a teacher the student is to imitate, and how much that counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermConfig {
    /// What it is called in logs and reports; without, the kind's name.
    #[serde(default)]
    pub name: Option<String>,
    /// What is compared, and how.
    pub kind: TermKind,
    /// The teacher's name; may be left out when there is one teacher only.
    #[serde(default)]
    pub teacher: Option<String>,
    /// What is compared with what.
    #[serde(default)]
    pub pairs: Vec<Pair>,
    /// In place of pairs, for `patient`: how layers are paired.
    #[serde(default)]
    pub strategy: Option<Strategy>,
    /// Its weight in the sum. Default 1.
    #[serde(default = "one")]
    pub weight: f32,
    /// When it counts. Default: always.
    #[serde(default)]
    pub schedule: WeightSchedule,
    /// Softens the distributions of `channel_wise`, `focal`, `logits` and `localization`. Defaults 1, 0.5, 2 and 10.
    #[serde(default)]
    pub temperature: Option<f32>,
    /// What relations are between. Default `images`.
    #[serde(default)]
    pub relating: Relating,
    /// Weights of the parts of `focal`. Defaults: those of its authors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub focal: Option<FocalWeights>,
}

fn one() -> f32 {
    1.0
}

impl TermConfig {
    /// What it is called.
    pub fn display_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.kind.name().to_owned())
    }

    /// The place of its teacher among the experiment's; the first where it names none, for there is one then.
    pub fn teacher_place(&self, teachers: &[String]) -> usize {
        self.teacher.as_ref().and_then(|name| teachers.iter().position(|known| known == name)).unwrap_or(0)
    }

    pub(super) fn temperature(&self) -> f32 {
        self.temperature.unwrap_or(match self.kind {
            TermKind::Focal => 0.5,
            TermKind::Logits => 2.0,
            TermKind::Localization => 10.0,
            _ => 1.0,
        })
    }

    /// What is wrong with it, with the field's name; `teachers` are the experiment's.
    pub fn complaint(&self, teachers: &[String]) -> Option<(&'static str, String)> {
        let known = || teachers.join(", ");
        match &self.teacher {
            None if teachers.len() != 1 => return Some(("teacher", format!("name one of the teachers: {}", known()))),
            Some(name) if !teachers.contains(name) => {
                return Some(("teacher", format!("there is no teacher `{name}`; there are {}", known())));
            }
            _ => {}
        }
        let taken = ["class", "giou", "distribution"];
        let name = self.display_name();
        if name.starts_with("truth_") || name.starts_with("retain_") || taken.contains(&name.as_str()) {
            return Some(("name", format!("`{name}` is the name of a term of predictions; give another one")));
        }
        if !(self.weight.is_finite() && self.weight >= 0.0) {
            return Some(("weight", format!("{} must be a number >= 0", self.weight)));
        }
        if self.temperature.is_some_and(|temperature| !(0.1..=100.0).contains(&temperature)) {
            return Some(("temperature", "must be in 0.1..100".into()));
        }
        if let Some(complaint) = self.schedule.complaint() {
            return Some(("schedule", complaint));
        }
        if let Some(FocalWeights { foreground, background, attention }) = self.focal {
            if self.kind != TermKind::Focal {
                return Some(("focal", "goes with `kind: focal`".into()));
            }
            if ![foreground, background, attention].iter().all(|weight| weight.is_finite() && *weight >= 0.0) {
                return Some((
                    "focal",
                    format!(
                        "foreground {foreground}, background {background}, attention {attention} must be numbers >= 0"
                    ),
                ));
            }
        }
        let lister = "`distill teacher MODEL.onnx --tensors` lists a teacher's tensors";
        match (self.kind, self.strategy, self.pairs.len()) {
            (TermKind::Patient, Some(_), 0) => None,
            (_, Some(_), _) => Some(("strategy", "goes with `kind: patient` and without `pairs`".into())),
            (_, None, 0) => Some(("pairs", format!("needs `- {{tensor: NAME, student: neck_16}}`; {lister}"))),
            (TermKind::Flow, None, count) if count != 2 => {
                Some(("pairs", format!("flow needs two pairs, an earlier and a later layer, not {count}")))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(term: &str) -> Option<(&'static str, String)> {
        serde_yaml::from_str::<TermConfig>(term).unwrap().complaint(&["teacher".into()])
    }

    #[test]
    fn weights_of_focal_are_its_own_and_no_less_than_nothing() {
        let pairs = "pairs: [{tensor: x, student: neck_16}]";
        assert_eq!(complaint(&format!("{{kind: focal, focal: {{attention: 0}}, {pairs}}}")), None);
        for wrong in
            ["kind: focal, focal: {background: -1}", "kind: focal, focal: {foreground: .nan}", "kind: hint, focal: {}"]
        {
            assert_eq!(complaint(&format!("{{{wrong}, {pairs}}}")).map(|(field, _)| field), Some("focal"), "{wrong}");
        }
        let term = format!("{{kind: focal, focal: {{attention: 0}}, {pairs}}}");
        let weights = serde_yaml::from_str::<TermConfig>(&term).unwrap().focal;
        assert_eq!(weights, Some(FocalWeights { attention: 0.0, ..FocalWeights::default() }));
    }
}
