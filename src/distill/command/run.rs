//! `distill run`: a whole experiment, label -> train -> export -> evaluate.

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::Context;
use burn::tensor::Device;
use clap::Args;

use super::{
    Outcome, WorkFailed,
    label::LabelDisplay,
    train::{
        ExperimentArgs, TrainEnd, stop_on_interrupt, targets_folder, train_stage, trained_weights, write_run_files,
    },
};
use crate::{
    distill::{
        config::{Experiment, TargetSource},
        digest::file_sha256,
        export::export,
        stage::{StageBook, content_sha256},
        student::CameraStudent,
        targets::{LabelError, LabelJob, LabelSource, LabelSummary, label},
    },
    model::bundle::{BundleMetadata, DataSource, Provenance, TeacherSource},
};

/// Run a whole experiment: label -> train -> export -> evaluate.
///
///   distill run config/distill/indoor_person.yaml
///
/// Stages whose inputs have not changed are skipped; after Ctrl-C or a power cut the same command with --resume goes on:
///
///   distill run config/distill/indoor_person.yaml --resume
///
/// See what an experiment comes to with all defaults, or change single values:
///
///   distill run my.yaml --print-config
///   distill run my.yaml --set student.size=small --set output=runs/small
///
/// In the output folder: targets/ (soft targets), train/ (checkpoint, metrics), student.onnx (the bundle for the robot),
/// report.json (figures on the test block), config.yaml, versions.json.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct RunArgs {
    #[command(flatten)]
    experiment: ExperimentArgs,
}

/// Runs the stages one after the other.
pub fn run(args: RunArgs) -> anyhow::Result<Outcome> {
    let Some(experiment) = args.experiment.load()? else { return Ok(Outcome::Done) };
    let stop = stop_on_interrupt()?;
    write_run_files(&experiment)?;
    let mut book = StageBook::open(&experiment.output);
    let mut lost_data = false;
    if experiment.targets == TargetSource::Teachers {
        header("label");
        match label_stage(&experiment, &stop)? {
            Some(lost) => lost_data |= lost,
            None => return Ok(Outcome::Done),
        }
    }
    header("train");
    let trained = match train_stage(&experiment, &args.experiment, &mut book, &stop)? {
        TrainEnd::Finished { hash, lost_data: lost } => {
            lost_data |= lost;
            hash
        }
        TrainEnd::Interrupted => return Ok(Outcome::Done),
    };
    header("export");
    export_stage(&experiment, &trained, &mut book)?;
    Ok(if lost_data { Outcome::DataLost } else { Outcome::Done })
}

fn header(stage: &str) {
    println!("== {stage}");
}

/// Writes the trained student as a bundle, unless that was done already.
fn export_stage(experiment: &Experiment, trained: &str, book: &mut StageBook) -> anyhow::Result<()> {
    let bundle = bundle_path(experiment);
    if book.is_done("export", trained, &bundle) {
        println!("export: done already, {}", bundle.display());
        return Ok(());
    }
    let config = experiment.student_config();
    let student = CameraStudent::new(&config, experiment.seed, &Device::flex())?.load(&trained_weights(experiment))?;
    let metadata = BundleMetadata { provenance: provenance(experiment)?, ..BundleMetadata::new(config.model_spec()) };
    let written = export(&student, &metadata, &bundle).map_err(|error| WorkFailed(error.to_string()))?;
    let failed = |error: std::io::Error| WorkFailed(format!("{}: {error}", bundle.display()));
    let bytes = std::fs::metadata(&bundle).map_err(failed)?.len();
    book.finish("export", trained).map_err(failed)?;
    println!(
        "export: {}, {:.2} MB, {:.3} M parameters, {:.1} M multiply-accumulates",
        bundle.display(),
        bytes as f64 / 1e6,
        written.parameters as f64 / 1e6,
        written.macs as f64 / 1e6
    );
    Ok(())
}

/// Where the student comes from: teachers and recordings with their hashes, and the whole experiment.
fn provenance(experiment: &Experiment) -> anyhow::Result<Provenance> {
    let teachers = experiment
        .teachers
        .iter()
        .map(|teacher| {
            let sha256 = file_sha256(&teacher.model).with_context(|| teacher.model.display().to_string())?;
            Ok(TeacherSource { name: teacher.display_name(), sha256 })
        })
        .collect::<anyhow::Result<_>>()?;
    let data = experiment
        .data
        .iter()
        .map(|data| {
            let sha256 = content_sha256(&data.path).with_context(|| data.path.display().to_string())?;
            Ok(DataSource { path: data.path.display().to_string(), sha256 })
        })
        .collect::<anyhow::Result<_>>()?;
    let own = BundleMetadata::new(experiment.student_config().model_spec()).provenance;
    Ok(Provenance { teachers, data, config: experiment.to_yaml()?, seed: experiment.seed, ..own })
}

/// The bundle of an experiment.
fn bundle_path(experiment: &Experiment) -> PathBuf {
    experiment.output.join("student.onnx")
}

/// Labels what is not labelled yet; says whether part of the recordings could not be read, or nothing when it was stopped.
fn label_stage(experiment: &Experiment, stop: &AtomicBool) -> anyhow::Result<Option<bool>> {
    let sources =
        experiment.data.iter().map(|data| LabelSource { path: data.path.clone(), topic: data.topic.clone() }).collect();
    let mut job = LabelJob {
        options: experiment.fusion,
        threads: experiment.threads,
        ..LabelJob::new(sources, experiment.teachers.clone(), experiment.classes.clone(), targets_folder(experiment))
    };
    let mut labelled = run_label(&job, stop);
    if let Err(LabelError::OtherLabelling(folder)) = &labelled {
        println!("label: {} holds the targets of other teachers, settings or data; labelling anew", folder.display());
        job.restart = true;
        labelled = run_label(&job, stop);
    }
    match labelled {
        Ok(summary) => {
            println!(
                "label: {} frames ({} labelled earlier), targets in {}",
                summary.frames,
                summary.kept_frames,
                job.output.display()
            );
            for class in &summary.classes {
                println!(
                    "  {}: {} boxes, {} of them with a score of at least 0.3",
                    class.class, class.boxes, class.confident
                );
            }
            for latency in &summary.latencies {
                println!("  {}: median {:.1} ms a frame on one core", latency.teacher, latency.median_ms);
            }
            Ok(Some(summary.lost_data()))
        }
        Err(LabelError::Stopped) => {
            println!("stopped; the finished parts are kept, the same command goes on");
            Ok(None)
        }
        Err(error) if error.is_work_failure() => Err(WorkFailed(error.to_string()).into()),
        Err(error) => Err(error.into()),
    }
}

fn run_label(job: &LabelJob, stop: &AtomicBool) -> Result<LabelSummary, LabelError> {
    let mut display = LabelDisplay::new();
    let result = label(job, &mut |progress| {
        display.show(progress);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    display.finish();
    result
}
