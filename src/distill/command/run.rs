//! `distill run`: a whole experiment, label -> audit -> train -> export -> evaluate -> report.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::Context;
use burn::tensor::Device;
use clap::Args;

use super::{
    Outcome, WorkFailed,
    audit::audit_stage,
    evaluate::{evaluate_shown, tell_losses},
    forgetting::forgetting_stage,
    gate::gate_stage,
    generations::train_generations,
    label::LabelDisplay,
    report::{default_page, write_report},
    run_lidar::run_lidar,
    samples::add_image_samples,
    score_profile::add_image_profile,
    test_figures::add_test_figures,
    train::{ExperimentArgs, TrainEnd, is_lidar_file, stop_on_interrupt, train_stage, write_run_files},
};
use crate::{
    distill::{
        config::{DataConfig, Experiment, TargetSource},
        digest::file_sha256,
        durable,
        evaluate::{
            EvaluateError, EvaluateJob, EvaluationReport, bundle_path, detections_path, judging_folder, targets_folder,
        },
        export::export,
        report::ReportOptions,
        stage::{StageBook, content_sha256, hash_of, input_hash},
        targets::{LabelError, LabelJob, LabelSource, LabelSummary, TargetSet, label},
        teacher::TeacherConfig,
        train::trained_student,
    },
    model::bundle::{BundleMetadata, DataSource, Provenance, TeacherSource},
};

/// What a run's page shows, beside the experiment.
const SHOWN: [&str; 8] = [
    "report.json",
    "audit.json",
    "train/metrics.jsonl",
    "generations.json",
    "gate.json",
    "forgetting.json",
    "ablation.json",
    "../../ablation.json",
];

/// Run a whole experiment: label -> audit -> train -> export -> evaluate -> report.
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
/// Watch the training from elsewhere by the figures of each epoch, or with TensorBoard (see `distill train --help`):
///
///   tail -f runs/my/train/metrics.jsonl
///   distill run my.yaml --set train.tensorboard=true
///   tensorboard --logdir runs/my/train/events
///
/// Teach a finished run's student something new, classes too, without its forgetting what it does already (`distillation.retain`);
/// old and new student are then compared on the old run's test block:
///
///   distill run new_task.yaml --set 'distillation.retain={run: runs/indoor_person}'
///
/// List the old recordings in `data` too, where you still have them: what no image shows cannot be rehearsed.
///
/// Let a cut student learn again (see `distill prune --help`). Where it then loses more on the validation block than its `gate` allows, it is
/// refused with exit code 1: the table of what was cut is printed, and there is no student.onnx. More may be lost, or all:
///
///   distill run runs/my_60/distil.yaml
///   distill run runs/my_60/distil.yaml --set gate.budget=2.5
///   distill run runs/my_60/distil.yaml --set gate.force=true
///
/// A lidar student: an experiment whose YAML says `task: lidar` runs label -> train -> export -> evaluate -> report, with labels out of
/// truth, of another lidar student, or of teachers that look at a camera beside the lidar:
///
///   distill run config/distill/legs.yaml
///   distill run config/distill/lidar_warehouse_camera.yaml --set train.epochs=20
///
/// Its output folder holds labels/ (one Parquet file a recording), train/, student.onnx, report.json, gallery/ (the sweeps on which the
/// student is most wrong, seen from above) and report.html.
/// The score from which a point is of a class is chosen on the validation block and written into the bundle, unless the experiment
/// says it:
///
///   distill run config/distill/legs.yaml --set class_thresholds.leg=0.5
///
/// Nothing is trained anew for another threshold; the student is exported and judged again.
///
/// In the output folder: targets/ (soft targets), audit.json (what each teacher is worth, see `distill audit`), train/ (checkpoint,
/// metrics.jsonl, weights), student.onnx (the bundle for the robot, two validation frames inside for its self-test there), report.json
/// (figures on the test block), detections.json (the boxes that each model found there), report.html (figures and boxes as a page to look
/// at), forgetting.json (what was forgotten of a retained run), gate.json (what a cut student lost), config.yaml, versions.json.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct RunArgs {
    #[command(flatten)]
    experiment: ExperimentArgs,
}

/// Runs the stages one after the other.
pub fn run(args: RunArgs) -> anyhow::Result<Outcome> {
    if is_lidar_file(&args.experiment.config) {
        return run_lidar(&args.experiment);
    }
    let Some(experiment) = args.experiment.load()? else { return Ok(Outcome::Done) };
    let stop = stop_on_interrupt()?;
    let mut book = StageBook::open(&experiment.output);
    let failed = |error: std::io::Error| WorkFailed(format!("{}: {error}", experiment.output.display()));
    if has_changed(&experiment.output, &experiment.to_yaml()?) {
        // The figures that are there are of other settings until they are made again.
        book.begin("evaluate", "").map_err(failed)?;
    }
    write_run_files(&experiment.output, &experiment.to_yaml()?)?;
    let (trained, mut lost_data) = match make_student(&experiment, &args.experiment, &mut book, &stop)? {
        TrainEnd::Finished { hash, lost_data } => (hash, lost_data),
        TrainEnd::Interrupted => return Ok(Outcome::Done),
    };
    header("evaluate");
    let is_judged = match evaluate_stage(&experiment, &trained, &mut book, &stop)? {
        EvaluateEnd::Judged { lost_data: lost } => {
            lost_data |= lost;
            true
        }
        EvaluateEnd::Unjudged => false,
        EvaluateEnd::Interrupted => return Ok(Outcome::Done),
    };
    lost_data |= forgetting_stage(&experiment, &trained, &mut book, &stop)?;
    if is_judged && !stop.load(Ordering::Relaxed) {
        header("report");
        report_stage(&experiment.output, &experiment.to_yaml()?, &SHOWN, &mut book)?;
    }
    Ok(if lost_data { Outcome::DataLost } else { Outcome::Done })
}

/// Makes the student of an experiment and its bundle, as far as that was not done already: label -> audit -> train -> gate -> export.
pub(super) fn make_student(
    experiment: &Experiment,
    args: &ExperimentArgs,
    book: &mut StageBook,
    stop: &AtomicBool,
) -> anyhow::Result<TrainEnd> {
    let mut lost_data = false;
    if experiment.targets == TargetSource::Teachers {
        header("label");
        match label_stage(experiment, stop)? {
            Some(lost) => lost_data |= lost,
            None => return Ok(TrainEnd::Interrupted),
        }
        header("audit");
        audit_stage(experiment, book)?;
    }
    header("train");
    let has_generations = experiment.distillation.generations.count > 0;
    let end = if has_generations {
        train_generations(experiment, args, book, stop)?
    } else {
        train_stage(experiment, args, book, stop)?
    };
    let TrainEnd::Finished { hash, lost_data: lost } = end else { return Ok(TrainEnd::Interrupted) };
    if !gate_stage(experiment, &hash, book, stop)? {
        return Ok(TrainEnd::Interrupted);
    }
    if !has_generations {
        header("export");
        export_stage(experiment, &hash, book)?;
    }
    Ok(TrainEnd::Finished { hash, lost_data: lost_data | lost })
}

/// Whether a run's folder holds results of another experiment than this one.
pub(super) fn has_changed(output: &Path, experiment: &str) -> bool {
    std::fs::read_to_string(output.join("config.yaml")).is_ok_and(|before| before != experiment)
}

/// Says which stage begins.
pub(super) fn header(stage: &str) {
    outln!("== {stage}");
}

/// Writes the trained student as a bundle, unless that was done already.
pub(super) fn export_stage(experiment: &Experiment, trained: &str, book: &mut StageBook) -> anyhow::Result<()> {
    let bundle = bundle_path(&experiment.output);
    if book.is_done("export", trained, &bundle) {
        outln!("export: done already, {}", bundle.display());
        return Ok(());
    }
    let config = experiment.student_config();
    let student = trained_student(experiment, &Device::flex())?;
    let paths: Vec<&Path> = experiment.data.iter().map(|data| data.path.as_path()).collect();
    let origin = provenance(&experiment.teachers, &paths, &experiment.written, experiment.seed)?;
    let metadata = BundleMetadata { provenance: origin, ..BundleMetadata::new(config.model_spec()) };
    let written = export(&student, &metadata, &bundle).map_err(|error| WorkFailed(error.to_string()))?;
    add_image_samples(experiment, &bundle);
    add_image_profile(experiment, &bundle);
    finish_export(&bundle, written.parameters, written.macs, trained, book)
}

/// Notes that a bundle was written, and tells its size.
pub(super) fn finish_export(
    bundle: &Path,
    parameters: u64,
    macs: u64,
    trained: &str,
    book: &mut StageBook,
) -> anyhow::Result<()> {
    let failed = |error: std::io::Error| WorkFailed(format!("{}: {error}", bundle.display()));
    let bytes = std::fs::metadata(bundle).map_err(failed)?.len();
    // The new file lacks the figures that the evaluation puts into it.
    book.forget("evaluate");
    book.finish("export", trained, false).map_err(failed)?;
    outln!(
        "export: {}, {:.2} MB, {:.3} M parameters, {:.1} M multiply-accumulates",
        bundle.display(),
        bytes as f64 / 1e6,
        parameters as f64 / 1e6,
        macs as f64 / 1e6
    );
    Ok(())
}

/// Where a student comes from: teachers and recordings with their hashes, and the whole experiment as it was written.
pub(super) fn provenance(
    teachers: &[TeacherConfig],
    data: &[&Path],
    written: &str,
    seed: u64,
) -> anyhow::Result<Provenance> {
    let teachers = teachers
        .iter()
        .map(|teacher| {
            let sha256 = file_sha256(&teacher.model).with_context(|| teacher.model.display().to_string())?;
            Ok(TeacherSource { name: teacher.display_name(), sha256 })
        })
        .collect::<anyhow::Result<_>>()?;
    let data = data
        .iter()
        .map(|path| {
            let sha256 = content_sha256(path).with_context(|| path.display().to_string())?;
            Ok(DataSource { name: file_name(path), sha256 })
        })
        .collect::<anyhow::Result<_>>()?;
    let crate_version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(Provenance { teachers, data, config: written.to_owned(), seed, crate_version, ..Provenance::default() })
}

/// A recording's name wherever it lies.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// How the evaluation ended.
enum EvaluateEnd {
    /// The figures are in `report.json`.
    Judged {
        /// Whether part of the recordings could not be read.
        lost_data: bool,
    },
    /// There is nothing to judge by.
    Unjudged,
    /// It was stopped.
    Interrupted,
}

/// Judges the student next to its teachers on the test block, writes `report.json`, and puts the student's figures into its bundle,
/// unless that was done already.
fn evaluate_stage(
    experiment: &Experiment,
    trained: &str,
    book: &mut StageBook,
    stop: &AtomicBool,
) -> anyhow::Result<EvaluateEnd> {
    let hash = evaluate_hash(experiment, trained)?;
    let (path, detections) = (report_path(experiment), detections_path(&experiment.output));
    let failed = |error: std::io::Error| WorkFailed(format!("{}: {error}", path.display()));
    if book.is_done("evaluate", &hash, &path)
        && let Some(report) = EvaluationReport::read(&path)
    {
        out!("{}", report.to_text());
        tell_losses(&report);
        outln!("evaluate: done already, {}", path.display());
        return Ok(EvaluateEnd::Judged { lost_data: report.lost_data });
    }
    book.begin("evaluate", &hash).map_err(failed)?;
    let job = EvaluateJob { keep_detections: true, ..EvaluateJob::of_experiment(experiment)? };
    let found = match evaluate_shown(&job, stop) {
        Ok(found) => found,
        Err(EvaluateError::Stopped) => {
            outln!("stopped; the same command goes on");
            return Ok(EvaluateEnd::Interrupted);
        }
        Err(EvaluateError::NoTruth { .. }) => {
            // Those of an earlier student would be taken for this one's.
            for old in [&path, &detections, &default_page(&experiment.output)] {
                durable::remove_file(old).map_err(failed)?;
            }
            outln!("evaluate: there is no test block with truth to judge by (split.test, data[].block); no report");
            return Ok(EvaluateEnd::Unjudged);
        }
        Err(error) => return Err(error.into()),
    };
    let report = found.without_detections();
    out!("{}", report.to_text());
    tell_losses(&report);
    durable::write_bytes(&detections, &serde_json::to_vec(&found)?)
        .map_err(|error| WorkFailed(format!("{}: {error}", detections.display())))?;
    durable::write_bytes(&path, &serde_json::to_vec_pretty(&report)?).map_err(failed)?;
    outln!("evaluate: {}", path.display());
    if let Some(student) = report.student() {
        add_test_figures(&bundle_path(&experiment.output), &report, student)?;
    }
    book.finish("evaluate", &hash, report.lost_data).map_err(failed)?;
    Ok(EvaluateEnd::Judged { lost_data: report.lost_data })
}

/// Lays a run out as a page, unless that was done already of the same experiment and the same files, those that are `shown`.
pub(super) fn report_stage(
    output: &Path,
    experiment: &str,
    shown: &[&str],
    book: &mut StageBook,
) -> anyhow::Result<()> {
    let page = default_page(output);
    let inputs: Vec<Option<String>> = shown.iter().map(|name| input_hash(&output.join(name)).ok()).collect();
    let hash = hash_of(&(env!("CARGO_PKG_VERSION"), experiment, inputs));
    if book.is_done("report", &hash, &page) {
        outln!("report: done already, {}", page.display());
        return Ok(());
    }
    write_report(output, &page, ReportOptions::default(), &[])?;
    book.finish("report", &hash, false).map_err(|error| WorkFailed(format!("{}: {error}", page.display())))?;
    outln!("report: {}", page.display());
    Ok(())
}

/// The figures of an experiment.
fn report_path(experiment: &Experiment) -> PathBuf {
    experiment.output.join("report.json")
}

/// A hash over all that decides the report; `trained` stands for the student.
pub(super) fn evaluate_hash(experiment: &Experiment, trained: &str) -> anyhow::Result<String> {
    let targets = match experiment.targets {
        TargetSource::Teachers => Some(TargetSet::read(&judging_folder(experiment))?),
        TargetSource::Truth => None,
    };
    let targets = targets.map(|targets| (targets.config_hash, targets.frames.len()));
    let teachers: &[TeacherConfig] = if experiment.evaluate.teachers { &experiment.teachers } else { &[] };
    let inputs = experiment
        .data
        .iter()
        .flat_map(DataConfig::paths)
        .chain(teachers.iter().flat_map(TeacherConfig::paths))
        .map(|path| input_hash(path).with_context(|| path.display().to_string()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let Experiment { classes, data, split, evaluate, .. } = experiment;
    Ok(hash_of(&serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "trained": trained,
        "inputs": inputs,
        "targets": targets,
        "classes": classes,
        "data": data,
        "split": split,
        "evaluate": evaluate,
        "teachers": teachers,
    })))
}

/// Labels what is not labelled yet; says whether part of the recordings could not be read, or nothing when it was stopped. Where
/// all is labelled nothing is written, so that several runs may share finished targets.
pub(super) fn label_stage(experiment: &Experiment, stop: &AtomicBool) -> anyhow::Result<Option<bool>> {
    let sources = experiment
        .labelled_data()
        .map(|data| LabelSource { path: data.path.clone(), topic: data.topic.clone() })
        .collect();
    let mut job = LabelJob {
        options: experiment.fusion,
        threads: experiment.threads,
        ..LabelJob::new(sources, experiment.teachers.clone(), experiment.classes.clone(), targets_folder(experiment))
    };
    let mut labelled = run_label(&job, stop);
    if let Err(LabelError::OtherLabelling(folder)) = &labelled {
        outln!("label: {} holds the targets of other teachers, settings or data; labelling anew", folder.display());
        job.restart = true;
        labelled = run_label(&job, stop);
    }
    match labelled {
        Ok(summary) => {
            outln!(
                "label: {} frames ({} labelled earlier), targets in {}",
                summary.frames,
                summary.kept_frames,
                job.output.display()
            );
            for class in &summary.classes {
                outln!(
                    "  {}: {} boxes, {} of them with a score of at least 0.3",
                    class.class,
                    class.boxes,
                    class.confident
                );
            }
            for latency in &summary.latencies {
                outln!("  {}: median {:.1} ms a frame on one core", latency.teacher, latency.median_ms);
            }
            Ok(Some(summary.lost_data()))
        }
        Err(LabelError::Stopped) => {
            outln!("stopped; the finished parts are kept, the same command goes on");
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
