//! `distill evaluate`: what models are worth on a recording.

use std::{
    io::IsTerminal,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Outcome, WorkFailed, train::refuse_lidar};
use crate::distill::{
    bag::{Frames, TruthSource},
    durable,
    evaluate::{
        EvaluateError, EvaluateJob, EvaluatedModel, EvaluatedRecording, EvaluationReport, EvaluationTruth, Role,
        evaluate,
    },
    split::{Block, Split, SplitConfig},
    targets::{FrameTargets, TargetSet},
    teacher::{Teacher, TeacherConfig},
};

/// Measure models on a recording: COCO AP, size, work and single-thread latency, side by side.
///
///   distill evaluate --model student.onnx --data my_bag --labels /truth/detections_2d
///   distill evaluate --model student.onnx --data photos --labels instances.json --json
///
/// Without --labels and --targets nothing is judged, but size, work and latency are told, and --detections writes what was found:
///
///   distill evaluate --model student.onnx --data my_bag --detections found.json
///
/// Next to the teachers, against their fused boxes on the test block (the last 25 % of the time, after a gap):
///
///   distill evaluate --model runs/x/student.onnx --teacher yolox_nano_416.onnx --data my_bag \
///       --targets runs/x/targets --block test
///
/// Several recordings are judged as one:
///
///   distill evaluate --model student.onnx --data monday --data tuesday --labels /truth/detections_2d
///
/// Lidar students are judged by `distill run` of their experiment (`task: lidar`), which keeps the figures in report.json.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct EvaluateArgs {
    /// A model to judge (a bundle, or any ONNX detector that tells enough of itself); may be given several times.
    #[arg(long, required = true, value_name = "MODEL.onnx")]
    model: Vec<PathBuf>,
    /// A model to compare with; may be given several times.
    #[arg(long, value_name = "MODEL.onnx")]
    teacher: Vec<PathBuf>,
    /// A bag or a folder of images; may be given several times.
    #[arg(long, required = true, value_name = "BAG_OR_FOLDER")]
    data: Vec<PathBuf>,
    /// The camera topic, where a bag has several.
    #[arg(long)]
    topic: Option<String>,
    /// The truth: a COCO `instances` JSON, or the bag's topic of vision_msgs/msg/Detection2DArray.
    #[arg(long, value_name = "COCO.json|TOPIC", conflicts_with = "targets")]
    labels: Option<String>,
    /// The truth: soft targets that `distill label` made of the recordings.
    #[arg(long, value_name = "FOLDER")]
    targets: Option<PathBuf>,
    /// Soft targets of at least this score must be found; weaker ones may be.
    #[arg(long, default_value_t = 0.4)]
    target_score: f32,
    /// Classes to judge; by default those of the first model, or of the soft targets.
    #[arg(long, value_delimiter = ',')]
    classes: Vec<String>,
    /// Judge one block of the time alone.
    #[arg(long)]
    block: Option<BlockName>,
    /// Share of the time that is the validation block.
    #[arg(long, default_value_t = 0.1)]
    validation: f64,
    /// Share of the time, at its end, that is the test block.
    #[arg(long, default_value_t = 0.25)]
    test: f64,
    /// Seconds left out before the validation and the test block.
    #[arg(long, default_value_t = 2.0)]
    gap_seconds: f64,
    /// Stop after this many frames.
    #[arg(long)]
    max_frames: Option<usize>,
    /// Rounds of the latency measurement.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    latency_rounds: u32,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Write what each model finds at its own threshold, frame by frame, to this file.
    #[arg(long, value_name = "FILE.json")]
    detections: Option<PathBuf>,
}

/// See [`Block`].
#[derive(Debug, Clone, Copy, ValueEnum)]
enum BlockName {
    Train,
    Validation,
    Test,
}

impl From<BlockName> for Block {
    fn from(name: BlockName) -> Self {
        match name {
            BlockName::Train => Self::Train,
            BlockName::Validation => Self::Validation,
            BlockName::Test => Self::Test,
        }
    }
}

/// Evaluates and prints.
pub fn run(args: EvaluateArgs) -> anyhow::Result<Outcome> {
    refuse_lidar(args.model.iter().chain(&args.teacher).chain(&args.data))?;
    let targets = args.targets.as_deref().map(TargetSet::read).transpose()?;
    let classes = classes(&args, targets.as_ref())?;
    let recordings = args.data.iter().map(|data| recording(data, &args, targets.as_ref())).collect::<Result<_, _>>()?;
    let part = |role: Role| move |path: &PathBuf| EvaluatedModel { config: TeacherConfig::new(path), role };
    let students = args.model.iter().map(part(Role::Student));
    let job = EvaluateJob {
        recordings,
        classes,
        models: students.chain(args.teacher.iter().map(part(Role::Teacher))).collect(),
        target_score: args.target_score,
        max_frames: args.max_frames,
        latency_rounds: args.latency_rounds as usize,
        keep_detections: args.detections.is_some(),
        allow_unjudged: args.labels.is_none() && args.targets.is_none(),
    };
    let found = evaluate_shown(&job, &AtomicBool::new(false))?;
    let report = found.without_detections();
    if let Some(path) = &args.detections {
        let json = serde_json::to_vec(&found)?;
        durable::write_bytes(path, &json).map_err(|error| WorkFailed(format!("{}: {error}", path.display())))?;
    }
    if args.json {
        outln!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        out!("{}", report.to_text());
    }
    tell_losses(&report);
    Ok(if report.lost_data { Outcome::DataLost } else { Outcome::Done })
}

/// Evaluates with a bar, until it is done or told to stop.
pub(super) fn evaluate_shown(job: &EvaluateJob, stop: &AtomicBool) -> Result<EvaluationReport, EvaluateError> {
    let bar = progress_bar();
    let result = evaluate(job, &mut |frames| {
        bar.set_position(frames as u64);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    result
}

/// Says on stderr what of the recordings could not be read.
pub(super) fn tell_losses(report: &EvaluationReport) {
    for loss in &report.losses {
        errln!("warning: part of the recording could not be read: {loss}");
    }
    if report.undecodable > 0 {
        errln!("warning: part of the recording could not be read: {} frames are not decodable", report.undecodable);
    }
}

/// A bar for a number of frames that is not known beforehand; hidden where nobody looks.
fn progress_bar() -> ProgressBar {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
    bar.with_style(
        ProgressStyle::with_template("evaluate {spinner} {pos} frames, {per_sec}, {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    )
}

fn classes(args: &EvaluateArgs, targets: Option<&TargetSet>) -> anyhow::Result<Vec<String>> {
    if let Some(set) = targets {
        if !args.classes.is_empty() && args.classes != set.classes {
            bail!(
                "--classes {} are not the classes of the soft targets ({})",
                args.classes.join(","),
                set.classes.join(",")
            );
        }
        return Ok(set.classes.clone());
    }
    if !args.classes.is_empty() {
        return Ok(args.classes.clone());
    }
    let first = args.model.first().context("no --model is given")?;
    Ok(Teacher::load_detector(&TeacherConfig::new(first))?.spec().classes.clone())
}

/// What of a recording is judged, and by what.
fn recording(data: &Path, args: &EvaluateArgs, targets: Option<&TargetSet>) -> anyhow::Result<EvaluatedRecording> {
    let truth = match (&args.labels, targets) {
        (_, Some(set)) => {
            let teachers = set.teachers.iter().map(|teacher| teacher.name.clone()).collect();
            EvaluationTruth::Targets { frames: targets_of(set, data, args)?, teachers }
        }
        (Some(labels), None) if labels.ends_with(".json") => {
            if args.data.len() > 1 {
                bail!(
                    "--labels {labels} is of one recording, and --data names {}: judge one at a time",
                    args.data.len()
                );
            }
            EvaluationTruth::Labels(TruthSource::Coco(PathBuf::from(labels)))
        }
        (Some(labels), None) => EvaluationTruth::Labels(TruthSource::Topic(labels.clone())),
        // A folder of images brings its own COCO file.
        (None, None) => EvaluationTruth::Labels(TruthSource::None),
    };
    let block = args.block.map(|block| Ok::<_, anyhow::Error>((split(data, args)?, Block::from(block)))).transpose()?;
    Ok(EvaluatedRecording { path: data.to_owned(), topic: args.topic.clone(), truth, block })
}

/// The targets of a recording that is evaluated.
fn targets_of(set: &TargetSet, data: &Path, args: &EvaluateArgs) -> anyhow::Result<Vec<FrameTargets>> {
    let wanted = std::fs::canonicalize(data).with_context(|| data.display().to_string())?;
    let same = |path: &str| std::fs::canonicalize(path).is_ok_and(|path| path == wanted);
    let source = match set.sources.iter().position(|source| same(&source.path)) {
        Some(source) => source,
        // A recording that was moved since.
        None if set.sources.len() == 1 && args.data.len() == 1 => 0,
        None => {
            let known: Vec<&str> = set.sources.iter().map(|source| source.path.as_str()).collect();
            bail!("the soft targets are of {}, not of {}", known.join(", "), data.display())
        }
    };
    Ok(set.frames.iter().filter(|frame| frame.source as usize == source).cloned().collect())
}

fn split(data: &Path, args: &EvaluateArgs) -> anyhow::Result<Split> {
    let config = SplitConfig { validation: args.validation, test: args.test, gap_seconds: args.gap_seconds };
    split_by_time(data, args.topic.as_deref(), &config)
}

/// The blocks of a recording that belongs to no experiment.
pub(super) fn split_by_time(data: &Path, topic: Option<&str>, config: &SplitConfig) -> anyhow::Result<Split> {
    let stamps = Frames::open(data, topic, TruthSource::None)?.stamp_range()?;
    let (first, last) = stamps.with_context(|| format!("{} holds no frames", data.display()))?;
    Ok(Split::by_time(config, first, last)?)
}
