//! `distill run`: a whole experiment, label -> train -> export -> evaluate.

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
};

use clap::Args;

use super::{
    Outcome, WorkFailed,
    label::LabelDisplay,
    train::{ExperimentArgs, TrainEnd, stop_on_interrupt, targets_folder, train_stage, write_run_files},
};
use crate::distill::{
    config::{Experiment, TargetSource},
    stage::StageBook,
    targets::{LabelError, LabelJob, LabelSource, label},
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
    match train_stage(&experiment, &args.experiment, &mut book, &stop)? {
        TrainEnd::Finished { lost_data: lost, .. } => lost_data |= lost,
        TrainEnd::Interrupted => return Ok(Outcome::Done),
    }
    Ok(if lost_data { Outcome::DataLost } else { Outcome::Done })
}

fn header(stage: &str) {
    println!("== {stage}");
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
                println!("  {}: {} boxes, {} of them with a score of at least 0.3", class.class, class.boxes, class.confident);
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

fn run_label(
    job: &LabelJob,
    stop: &AtomicBool,
) -> Result<crate::distill::targets::LabelSummary, LabelError> {
    let mut display = LabelDisplay::new();
    let result = label(job, &mut |progress| {
        display.show(progress);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    display.finish();
    result
}
