//! The labelling of a lidar experiment's recordings.

use std::{
    io::IsTerminal,
    ops::ControlFlow,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Context;
use indicatif::ProgressBar;

use super::{WorkFailed, run::file_name};
use crate::distill::{
    lidar::{
        LidarExperiment,
        labels::{
            LABELLING, LabelContext, LabelSource, LabelledRecording, LidarData, LidarLabelError, label_recording,
            read_labels, write_labels,
        },
    },
    stage::{StageBook, hash_of, input_hash},
    teacher::TeacherConfig,
};

/// The labelled recordings of an experiment.
pub(super) struct Labelled {
    /// In the order of the experiment's `data`.
    pub recordings: Vec<LabelledRecording>,
    /// Over all that decided them.
    pub hash: String,
}

impl Labelled {
    /// Whether part of the recordings could not be read.
    pub fn has_lost_data(&self) -> bool {
        self.recordings.iter().any(|recording| !recording.loss.is_empty())
    }
}

/// Labels what is not labelled yet; nothing when it was stopped. Recordings that are finished stay so.
pub(super) fn label_stage(
    experiment: &LidarExperiment,
    book: &mut StageBook,
    stop: &AtomicBool,
) -> anyhow::Result<Option<Labelled>> {
    let context =
        LabelContext { classes: &experiment.classes, teachers: &experiment.teachers, fusion: experiment.fusion };
    let (mut recordings, mut hashes) = (Vec::new(), Vec::new());
    for (index, data) in experiment.data.iter().enumerate() {
        let name = file_name(&data.path);
        let path = experiment.output.join("labels").join(format!("{index:02}_{name}.parquet"));
        let (stage, hash) = (format!("label {index}"), label_hash(experiment, data)?);
        let unwritten = |error: std::io::Error| WorkFailed(format!("{}: {error}", path.display()));
        let kept = if book.is_done(&stage, &hash, &path) { read_labels(&path).ok() } else { None };
        let recording = match kept {
            Some(recording) => {
                outln!("label: {name} done already, {}", path.display());
                recording
            }
            None => {
                book.begin(&stage, &hash).map_err(unwritten)?;
                let recording = match label_shown(data, &context, stop) {
                    Ok(recording) => recording,
                    Err(LidarLabelError::Stopped) => {
                        outln!("stopped; the recordings that are labelled are kept, the same command goes on");
                        return Ok(None);
                    }
                    Err(error) => return Err(error.into()),
                };
                write_labels(&path, &recording).map_err(|error| WorkFailed(error.to_string()))?;
                book.finish(&stage, &hash, !recording.loss.is_empty()).map_err(unwritten)?;
                recording
            }
        };
        tell_labels(&name, &recording);
        recordings.push(recording);
        hashes.push(hash);
    }
    Ok(Some(Labelled { recordings, hash: hash_of(&hashes) }))
}

/// A hash over all that decides a recording's labels.
fn label_hash(experiment: &LidarExperiment, data: &LidarData) -> anyhow::Result<String> {
    let asks_teachers = data.labels.iter().any(|source| matches!(source, LabelSource::Camera(_)));
    let teachers: &[TeacherConfig] = if asks_teachers { &experiment.teachers } else { &[] };
    let models = teachers.iter().flat_map(TeacherConfig::paths).map(PathBuf::as_path);
    let inputs = data.paths().chain(models).map(|path| input_hash(path).with_context(|| path.display().to_string()));
    let deciding = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "inputs": inputs.collect::<anyhow::Result<Vec<_>>>()?,
        "classes": experiment.classes,
        "topic": data.topic,
        "labels": data.labels,
        "carry_over": data.carry_over,
        "follow": data.follow,
        "truth": data.truth,
        "teachers": teachers,
        "fusion": asks_teachers.then_some(experiment.fusion),
    });
    Ok(hash_of(&with_labelling(deciding, LABELLING)))
}

/// What decides labels, with the version of what labelling does. Version 1 is left out, see [`LABELLING`].
fn with_labelling(mut deciding: serde_json::Value, version: u32) -> serde_json::Value {
    if version > 1 {
        deciding["labelling"] = version.into();
    }
    deciding
}

/// Labels a recording with a bar, until it is done or told to stop.
fn label_shown(
    data: &LidarData,
    context: &LabelContext<'_>,
    stop: &AtomicBool,
) -> Result<LabelledRecording, LidarLabelError> {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
    bar.enable_steady_tick(Duration::from_millis(200));
    let result = label_recording(data, context, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    result
}

/// Tells what came of a recording's labelling.
fn tell_labels(name: &str, recording: &LabelledRecording) {
    let facts = &recording.facts;
    outln!("{name}: {} sweeps, {} of them without any label", facts.sweeps, facts.without_labels);
    for (count, what) in [
        (facts.without_image, "no image near enough in time"),
        (facts.without_transform, "no transforms that tell where they lie to the camera"),
        (facts.without_truth, "no truth to judge by"),
    ] {
        if count > 0 {
            outln!("  {count} sweeps have {what}");
        }
    }
    for source in &facts.sources {
        let classes: Vec<String> = source
            .classes
            .iter()
            .map(|class| format!("{} {} points of {} objects", class.class, class.points, class.objects))
            .collect();
        outln!("  {}: {}, background {} points", source.name, classes.join(", "), source.background);
    }
    if let Some(carried) = &facts.carried_over {
        outln!(
            "  carried over from other sweeps: {} points of classes, {} of background; {} labels that other sweeps contradict are dropped",
            carried.of_class,
            carried.background,
            carried.dropped
        );
    }
    if let Some(followed) = &facts.followed {
        outln!(
            "  followed to other sweeps: {} points of {} objects; {} points more of those that were labelled",
            followed.points,
            followed.objects,
            followed.filled
        );
    }
    if let Some(calibration) = &facts.calibration
        && calibration.is_suspect
    {
        let source = facts.calibration_source.as_ref().map_or_else(String::new, |source| format!(", {source}"));
        errln!("warning: {name}{source}: {calibration}");
    }
    if !recording.loss.is_empty() {
        outln!("lost: {}", recording.loss);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_of_the_labelling_is_another_hash_and_the_first_is_none() {
        let deciding = || serde_json::json!({"classes": ["person"], "follow": null});
        let hash = |version| hash_of(&with_labelling(deciding(), version));
        assert_eq!(hash(1), hash_of(&deciding()));
        assert!(hash(2) != hash(1) && hash(3) != hash(2));
    }
}
