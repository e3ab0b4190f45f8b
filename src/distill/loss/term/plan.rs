//! From what the YAML says to what is computed: which tensors of which teachers are needed, and which adapters.

use super::{TermConfig, TermKind};
use crate::distill::student::{AnchorPoint, StudentConfig};

/// A tensor of a teacher, wanted at the cells of one of the student's maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintRequest {
    /// Index of the teacher.
    pub teacher: usize,
    /// The tensor's name.
    pub tensor: String,
    /// Rows of the student's map.
    pub rows: usize,
    /// Columns of the student's map.
    pub columns: usize,
}

/// A pair of a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlannedPair {
    pub hint: usize,
    pub anchor: AnchorPoint,
    pub adapter: Option<usize>,
}

/// A term, ready to be computed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlannedTerm {
    pub config: TermConfig,
    pub name: String,
    pub pairs: Vec<PlannedPair>,
}

/// All terms of an experiment that look into teachers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TermPlan {
    pub(super) terms: Vec<PlannedTerm>,
    hints: Vec<HintRequest>,
    /// For each adapter the anchor point that it begins at and the hint that it leads to.
    adapters: Vec<(AnchorPoint, usize)>,
}

/// A tensor that does not fit the student.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the term `{term}` compares `{tensor}` of {found} channels with {anchor} of {expected}: `{kind}` needs a teacher with the student's own head and classes; use `hint` or `channel_wise` for others"
)]
pub struct MisfitError {
    term: String,
    kind: &'static str,
    tensor: String,
    anchor: AnchorPoint,
    found: usize,
    expected: usize,
}

impl TermPlan {
    /// Plans terms that were checked ([`TermConfig::complaint`]) and whose strategies were made into pairs.
    pub fn new(terms: &[TermConfig], teachers: &[String], student: &StudentConfig) -> Self {
        let mut plan = Self::default();
        for config in terms {
            let teacher = config.teacher_place(teachers);
            let mut pairs = Vec::with_capacity(config.pairs.len());
            for pair in &config.pairs {
                let (rows, columns) = pair.student.grid(student);
                let tensor = pair.tensor.clone();
                let hint = plan.hint(HintRequest { teacher, tensor, rows, columns });
                let adapter = config.kind.is_adapted().then(|| {
                    plan.adapters.push((pair.student, hint));
                    plan.adapters.len() - 1
                });
                pairs.push(PlannedPair { hint, anchor: pair.student, adapter });
            }
            let name = plan.free_name(config.display_name());
            plan.terms.push(PlannedTerm { config: config.clone(), name, pairs });
        }
        plan
    }

    /// The number of a hint, a new one when nobody wanted it before.
    fn hint(&mut self, request: HintRequest) -> usize {
        if let Some(known) = self.hints.iter().position(|hint| *hint == request) {
            return known;
        }
        self.hints.push(request);
        self.hints.len() - 1
    }

    fn free_name(&self, name: String) -> String {
        let taken = |name: &str| self.terms.iter().any(|term| term.name == name);
        if !taken(&name) {
            return name;
        }
        (2..).map(|number| format!("{name}_{number}")).find(|name| !taken(name)).unwrap_or(name)
    }

    /// What is wanted of the teachers for each image.
    pub fn hints(&self) -> &[HintRequest] {
        &self.hints
    }

    /// Whether some term compares images or boxes of a batch with each other, so that it cannot be cut.
    pub fn needs_whole_batch(&self) -> bool {
        self.terms.iter().any(|term| term.config.kind.is_relation())
    }

    /// The student's anchor points that are looked at.
    pub fn anchors(&self) -> Vec<AnchorPoint> {
        let mut anchors: Vec<AnchorPoint> =
            self.terms.iter().flat_map(|term| term.pairs.iter().map(|pair| pair.anchor)).collect();
        anchors.sort_unstable();
        anchors.dedup();
        anchors
    }

    /// Channels from and to of each adapter, when the hints have so many.
    pub fn adapter_channels(&self, student: &StudentConfig, hint_channels: &[usize]) -> Vec<[usize; 2]> {
        self.adapters.iter().map(|&(anchor, hint)| [anchor.channels(student), hint_channels[hint]]).collect()
    }

    /// Checks that tensors that must fit the student's outputs do.
    ///
    /// # Errors
    /// Names the first that does not.
    pub fn check_channels(&self, student: &StudentConfig, hint_channels: &[usize]) -> Result<(), MisfitError> {
        for term in self.terms.iter().filter(|term| term.config.kind.is_response()) {
            for pair in &term.pairs {
                let expected = match term.config.kind {
                    TermKind::Logits => student.classes.len(),
                    _ => 4 * student.bins,
                };
                let (found, own) = (hint_channels[pair.hint], pair.anchor.channels(student));
                if found != expected || own != expected {
                    return Err(MisfitError {
                        term: term.name.clone(),
                        kind: term.config.kind.name(),
                        tensor: self.hints[pair.hint].tensor.clone(),
                        anchor: pair.anchor,
                        found,
                        expected,
                    });
                }
            }
        }
        Ok(())
    }
}
