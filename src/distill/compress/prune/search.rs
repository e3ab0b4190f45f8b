//! From a trained student to a narrower one.

use burn::module::Module;
use onnx_ir::{Message, ModelProto};

use super::{
    PruneError,
    cost::{CostTable, Measure},
    cut::{Cutter, kept},
    importance::Importance,
    measure::{layer_times, race},
    report::{CutFigures, GroupReport},
};
use crate::distill::{
    export::{ExportFailed, count_macs, student_graph},
    student::{ByGroup, CameraStudent, Channels, Group, StudentConfig},
};

/// Tries to meet the time: what the table estimates and what the network then takes are not the same.
const TRIES: usize = 4;
/// How much more than the share that is to be kept still meets it, as a share of that: two measurements differ by as much.
pub(super) const TOLERANCE: f64 = 0.02;

/// What is to be cut.
#[derive(Debug, Clone, Copy)]
pub struct PruneJob<'a> {
    /// The trained student, for inference.
    pub student: &'a CameraStudent,
    /// What it is.
    pub config: &'a StudentConfig,
    /// How much each of its channels matters.
    pub importance: &'a Importance,
    /// The share that is to be kept.
    pub keep: f64,
    /// Of what.
    pub measure: Measure,
}

/// A cut student with what was found out.
#[derive(Debug)]
pub struct Pruned {
    /// The cut student, for inference.
    pub student: CameraStudent,
    /// What it is.
    pub config: StudentConfig,
    /// What the cut comes to.
    pub figures: CutFigures,
}

/// Cuts a student down to a share of its time, or of its multiply-accumulates; `tell` is told what is being done.
///
/// # Errors
/// The share cannot be had, or a network cannot be timed.
pub fn prune(job: &PruneJob<'_>, tell: &mut dyn FnMut(&str)) -> Result<Pruned, PruneError> {
    let StudentConfig { width, height, .. } = *job.config;
    let table = match job.measure {
        Measure::Time => layer_times(job.config, tell)?,
        Measure::Macs => CostTable::macs(job.config),
    };
    let before = student_graph(job.student, width, height)?;
    let mut cutter = Cutter::new(job.importance, &table);
    let mut aim = job.keep;
    let mut tried = 0;
    loop {
        tried += 1;
        let end = cutter.cut_to(aim, job.measure);
        // Later tries aim at less than was asked for, and all that could go is gone then.
        let is_last = end.is_err() || tried == TRIES;
        if tried == 1 {
            end?;
        }
        let channels = cutter.channels();
        tell(&format!("timing {channels}"));
        let (student, config) = cut_student(job, &channels)?;
        let after = student_graph(&student, width, height)?;
        let raced = race([&before, &after], [3, height, width])?;
        let is_met = raced.share <= job.keep * (1.0 + TOLERANCE);
        if job.measure == Measure::Time && !is_met && !is_last {
            // At least a step further, however little is missing.
            aim = cutter.share().min(aim) * (job.keep / raced.share).min(0.99);
            continue;
        }
        let costs = [count_macs(&before), count_macs(&after)];
        let figures = CutFigures {
            groups: groups(job, &channels),
            costs: table.layers().cloned().collect(),
            estimated_share: cutter.share(),
            measured_share: raced.share,
            latency_ms: raced.milliseconds,
            macs: costs.map(|cost| cost.macs.unwrap_or_default()),
            parameters: costs.map(|cost| cost.parameters),
            bytes: [size(&before)?, size(&after)?],
        };
        return Ok(Pruned { student, config, figures });
    }
}

/// The student with its most important channels alone, as many in each group.
///
/// # Errors
/// When the numbers do not fit the student.
pub fn cut_student(job: &PruneJob<'_>, channels: &Channels) -> Result<(CameraStudent, StudentConfig), PruneError> {
    let config = StudentConfig { channels: Some(*channels), ..job.config.clone() };
    let device = job.student.devices().into_iter().next().unwrap_or_default();
    let fresh = CameraStudent::new(&config, 1, &device)?;
    let student = fresh.inherit_channels(job.student, &kept(job.importance, channels))?;
    Ok((student, config))
}

fn groups(job: &PruneJob<'_>, channels: &Channels) -> Vec<GroupReport> {
    let kept: ByGroup<Vec<usize>> = kept(job.importance, channels);
    let of = |group: Group| {
        let importance = job.importance.get(group).clone();
        let after = *channels.get(group);
        GroupReport {
            group: group.to_string(),
            before: importance.len(),
            after,
            importance,
            kept: kept.get(group).clone(),
        }
    };
    Group::ALL.map(of).into()
}

fn size(model: &ModelProto) -> Result<u64, PruneError> {
    let bytes = model.write_to_bytes().map_err(|error| ExportFailed::Graph(error.to_string()))?;
    Ok(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{
        distill::{compress::prune::importance::by_scale, student::Size},
        model::has_runtime,
    };

    #[test]
    fn the_cut_student_is_physically_smaller_and_of_the_channels_told() {
        if !has_runtime() {
            return;
        }
        let config = StudentConfig::new(Size::Micro, vec!["a".into()], 96, 64);
        let student = CameraStudent::new(&config, 3, &Device::flex()).unwrap().valid();
        let importance = by_scale(&student).unwrap();
        let job =
            PruneJob { student: &student, config: &config, importance: &importance, keep: 0.5, measure: Measure::Macs };
        let pruned = prune(&job, &mut |_| {}).unwrap();
        let figures = &pruned.figures;
        let [before, after] = figures.macs;
        assert!(after as f64 <= 0.5 * before as f64 && figures.estimated_share <= 0.5, "{before} {after}");
        assert!(figures.parameters[1] < figures.parameters[0] && figures.bytes[1] < figures.bytes[0]);
        assert_eq!(figures.groups.len(), 12);
        let channels = pruned.config.group_channels();
        assert_eq!(figures.groups[0].after, channels.stem);
        assert!(figures.groups.iter().all(|group| group.kept.len() == group.after && group.after >= 4));
        // Another student of these numbers has as many weights.
        let fresh = CameraStudent::new(&pruned.config, 9, &Device::flex()).unwrap();
        assert_eq!(fresh.num_params(), pruned.student.num_params());
        let error = prune(&PruneJob { keep: 1e-4, ..job }, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("--keep 0.0001"), "{error}");
    }
}
