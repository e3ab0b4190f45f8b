//! `distill quantize`: a finished student in int8 or float16.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::ProgressBar;

use super::{
    Outcome, WorkFailed,
    evaluate::split_by_time,
    quantize_aware::{Aware, check_train, epoch_count, train_aware},
    quantize_lidar::quantize_lidar,
    quantize_values::{Method, Weights},
    score_profile::add_image_profile,
};
use crate::{
    distill::{
        bag::TruthSource,
        compress::prune::PruneReport,
        compress::quantize::{
            Budget, Judge, NetworkInput, QuantizeError, QuantizeJob, QuantizeOptions, Quantized, dump_inputs,
            frames::{CameraFrames, FrameLimits},
            halve,
            judge::CameraJudge,
            quantize, renew_samples,
        },
        config::{Experiment, TrainConfig},
        durable,
        evaluate::{EvaluateJob, EvaluatedRecording, EvaluationTruth, bundle_path},
        split::{Block, SplitConfig},
    },
    model::{
        Detector, ModelSpec, SessionOptions,
        bundle::{BundleError, BundleMetadata, BundleSpec, Task, metadata_of},
    },
};

/// Make a finished student smaller and faster: int8 (QDQ, for every runtime) or float16.
///
/// A run's student, calibrated on its training block and judged on its validation block; the test block stays untouched:
///
///   distill quantize runs/indoor_person --out runs/indoor_person/student_int8.onnx
///   distill evaluate --model runs/indoor_person/student_int8.onnx --teacher runs/indoor_person/student.onnx \
///       --data my_bag --targets runs/indoor_person/targets --block test
///
/// A bundle alone needs recordings; they are cut in time as `distill evaluate` cuts them:
///
///   distill quantize student.onnx --data my_bag --out student_int8.onnx
///   distill quantize student.onnx --data my_bag --labels /truth/detections_2d --out student_int8.onnx
///
/// Every way of finding ranges is tried, then equalised layers and corrected biases; what loses least is taken. The table tells what
/// each layer loses by itself. Where the whole loses more than the budget, the layers that hurt stay in float32, as few as will do:
///
///   distill quantize runs/my --out small.onnx --budget 0.5 --agreement 0.98
///   distill quantize runs/my --out small.onnx --keep-float first,last
///
/// What then still loses too much is refused (exit code 1), and written only with --force; likewise a student that `distill prune` has
/// cut, until it has learnt again. A student that loses too much, or should keep
/// all layers in int8, is first trained on as int8 hardware computes, in the loop with its teachers and held to what it said before; that
/// training is a run of its own beside --out, here in runs/my/student_int8_aware/, which the same command takes up again:
///
///   distill quantize runs/my --out runs/my/student_int8.onnx --train 10
///
/// Weights are held so that CPUs without VNNI (most x86 before 2019, many after) do not cut sums off, which ruins int8 students there;
/// that costs almost a bit of them. All eight bits are kept by signed weights for boards that have VNNI or Arm's dot products, and by
/// unsigned ones on every board, which are slower on x86. `distill bench` on the board tells by how much:
///
///   distill quantize runs/my --out student_full.onnx --weights full
///   distill quantize runs/my --out student_unsigned.onnx --weights unsigned
///
/// For GPUs:
///
///   distill quantize runs/my --out student_fp16.onnx --fp16
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct QuantizeArgs {
    /// The output folder of a `distill run`, or a bundle.
    #[arg(value_name = "RUN_OR_MODEL")]
    model: PathBuf,
    /// A recording to calibrate on and to judge by; may be given several times. By default those of the run.
    #[arg(long, value_name = "BAG_OR_FOLDER")]
    pub(super) data: Vec<PathBuf>,
    /// The topic of the camera or lidar, where --data has several.
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// Truth for --data, so that average precision counts too: a COCO `instances` JSON, or a topic of vision_msgs/msg/Detection2DArray.
    #[arg(long, value_name = "COCO.json|TOPIC", requires = "data")]
    pub(super) labels: Option<String>,
    /// The bundle to write.
    #[arg(long, value_name = "FILE.onnx", required_unless_present = "dump_calibration")]
    out: Option<PathBuf>,
    /// Train a run's camera student on for so many epochs as int8 hardware computes, before it is quantised.
    #[arg(long, value_name = "EPOCHS", requires = "out", conflicts_with_all = ["data", "fp16"], value_parser = epoch_count)]
    train: Option<usize>,
    /// How the range of each tensor is found; auto tries all and takes what loses least.
    #[arg(long, value_enum, default_value = "auto", conflicts_with = "fp16")]
    method: Method,
    /// Layers that stay in float32, by the names in the table; `first` and `last` are names too.
    #[arg(long, value_name = "LAYER", value_delimiter = ',', conflicts_with = "fp16")]
    keep_float: Vec<String>,
    /// How many more layers may stay in float32 to meet the budget; half of them by default, 0 for none.
    #[arg(long, value_name = "LAYERS", conflicts_with = "fp16")]
    max_float: Option<usize>,
    /// Points of AP50 that may be lost on the validation block, where there is truth.
    #[arg(long, value_name = "POINTS", default_value_t = 1.0)]
    budget: f64,
    /// The least F1 of agreement with the float32 student's detections on the validation block.
    #[arg(long, value_name = "F1", default_value_t = 0.97)]
    agreement: f64,
    /// The form of weights; with --train they are trained in it. Default: clear, or what the run was trained with.
    #[arg(long, value_enum, conflicts_with = "fp16")]
    weights: Option<Weights>,
    /// Write float16 instead of int8.
    #[arg(long)]
    fp16: bool,
    /// Frames of the training block to calibrate on.
    #[arg(long, value_name = "N", default_value_t = FrameLimits::default().calibration, value_parser = frame_count)]
    frames: usize,
    /// Frames of the validation block to judge by.
    #[arg(long, value_name = "N", default_value_t = FrameLimits::default().validation, value_parser = frame_count)]
    validation_frames: usize,
    /// Write the network's inputs to this folder as NumPy files (calibration.npy, validation.npy), for other quantisers.
    #[arg(long, value_name = "FOLDER")]
    dump_calibration: Option<PathBuf>,
    /// Write all figures as JSON to this file.
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Write the bundle although it loses more than the budget.
    #[arg(long)]
    force: bool,
}

/// Most frames that are held in memory at once.
const MOST_FRAMES: usize = 10_000;

/// A number of frames on the command line.
pub(super) fn frame_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=MOST_FRAMES).contains(&count) => Ok(count),
        _ => Err(format!("must be a number from 1 to {MOST_FRAMES}")),
    }
}

/// The float bundle and where its experiment is.
pub(super) struct Source {
    /// The bundle's file.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// The run's `config.yaml`, where its data are to be used.
    pub config: Option<PathBuf>,
}

impl Source {
    /// Opens a run's folder or a bundle; `has_data` where recordings are named for it.
    fn open(model: &Path, has_data: bool) -> anyhow::Result<Self> {
        let is_run = model.is_dir();
        let path = if is_run { bundle_path(model) } else { model.to_owned() };
        let config = (is_run && !has_data).then(|| model.join("config.yaml"));
        if config.is_none() && !has_data {
            bail!(
                "{} is a bundle alone: name recordings to calibrate on with --data, or a run's folder",
                path.display()
            );
        }
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path, bytes, config })
    }

    /// What it is called in messages.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// What it tells of itself.
    fn metadata<S: BundleSpec>(&self) -> anyhow::Result<BundleMetadata<S>> {
        let metadata = metadata_of::<S>(&self.bytes).with_context(|| self.name())?;
        metadata.ok_or(BundleError::Missing).with_context(|| self.name())
    }

    /// How it is run.
    pub fn spec<S: BundleSpec>(&self) -> anyhow::Result<S> {
        Ok(self.metadata::<S>()?.spec)
    }

    fn task(&self) -> anyhow::Result<Task> {
        match metadata_of::<ModelSpec>(&self.bytes) {
            Ok(Some(_)) => Ok(Task::CameraDetection),
            Ok(None) => Err(BundleError::Missing).with_context(|| self.name()),
            Err(BundleError::Task { found, .. }) => Ok(found),
            Err(error) => Err(error).with_context(|| self.name()),
        }
    }
}

/// Quantises, prints, writes.
pub fn run(args: QuantizeArgs) -> anyhow::Result<Outcome> {
    if !(args.budget >= 0.0 && args.budget.is_finite()) {
        bail!("--budget {}: must be points of AP50, 0 or more", args.budget);
    }
    if !(0.0..=1.0).contains(&args.agreement) {
        bail!("--agreement {}: must be an F1 from 0 to 1", args.agreement);
    }
    if args.train.is_some() {
        check_train(&args.model)?;
    }
    let source = Source::open(&args.model, !args.data.is_empty())?;
    check_recovered(&args, &source)?;
    let mut lost_data = false;
    let losses = match (source.task()?, args.train.zip(args.out.as_deref())) {
        (Task::CameraDetection, Some((epochs, out))) => {
            let (origin, weights) = (source.metadata::<ModelSpec>()?.provenance, args.weights.map(Weights::range));
            let Some(Aware { output, lost_data: lost }) = train_aware(&args.model, &origin, out, epochs, weights)?
            else {
                return Ok(Outcome::Done);
            };
            lost_data = lost;
            quantize_camera(&args, &Source::open(&output, false)?, Some(&source))?
        }
        (Task::CameraDetection, None) => quantize_camera(&args, &source, None)?,
        (Task::LidarDetection, Some(_)) => bail!("--train is for camera students; leave it out for {}", source.name()),
        (Task::LidarDetection, None) => quantize_lidar(&args, &source)?,
    };
    for loss in &losses {
        errln!("warning: part of the recording could not be read: {loss}");
    }
    Ok(if losses.is_empty() && !lost_data { Outcome::Done } else { Outcome::DataLost })
}

/// Refuses a student that `distill prune` has cut and nobody has taught since, where the cut has cost more than the budget: beside itself
/// its int8 form would lose nothing.
fn check_recovered(args: &QuantizeArgs, source: &Source) -> anyhow::Result<()> {
    let Some(folder) = source.path.parent() else { return Ok(()) };
    let Some(cut) = PruneReport::read(folder) else { return Ok(()) };
    let loss = match cut.lost_points() {
        Some(lost) if lost <= args.budget => return Ok(()),
        Some(lost) => format!("has lost {lost:.2} points of AP50 where {:.2} are allowed", args.budget),
        None => "has nothing to tell what it has lost".to_owned(),
    };
    let folder = folder.display();
    if args.force {
        errln!("warning: --force: {folder}: this student was cut, has not learnt again and {loss}");
        return Ok(());
    }
    let refused = format!(
        "{folder}: this student was cut, has not learnt again and {loss}: run `distill run {folder}/distil.yaml` and take {folder}/distilled, \
         or give --force"
    );
    Err(WorkFailed(refused).into())
}

/// How many frames are looked at.
pub(super) fn limits(args: &QuantizeArgs) -> FrameLimits {
    FrameLimits { calibration: args.frames, validation: args.validation_frames }
}

/// Quantises a camera bundle, which came of training an `earlier` one on, where there is one; says what of the recordings could not be
/// read.
fn quantize_camera(args: &QuantizeArgs, source: &Source, earlier: Option<&Source>) -> anyhow::Result<Vec<String>> {
    let spec: ModelSpec = source.spec()?;
    let experiment = source.config.as_ref().map(|config| Experiment::load(config, &[])).transpose()?;
    let job = match &experiment {
        Some(experiment) => EvaluateJob { allow_unjudged: true, ..EvaluateJob::of_validation(experiment)? },
        None => data_job(args, &spec)?,
    };
    let frames = CameraFrames::read(&job, &spec.input, limits(args))?;
    let inputs = Inputs {
        calibration: &frames.calibration,
        validation: &frames.validation,
        shape: [3, spec.input.height, spec.input.width],
    };
    let judge = || {
        let judge = CameraJudge::new(&source.bytes, &source.name(), &frames.validation, &frames.judged)?;
        match earlier {
            Some(earlier) => judge.beside(&earlier.bytes),
            None => Ok(judge),
        }
    };
    let trained = experiment.as_ref().map(|experiment| &experiment.train).filter(|train| train.quantize_aware);
    let renew = |bundle: Vec<u8>| {
        let mut detector = Detector::from_bytes(&bundle, &source.name(), &SessionOptions::default())?;
        renew_samples(&source.path, bundle, &mut detector)
    };
    if let Some(out) = work::<ModelSpec, _>(args, source, inputs, judge, &renew, trained)?
        && let Some(experiment) = &experiment
    {
        add_image_profile(experiment, out);
    }
    Ok(frames.losses)
}

/// The validation blocks of recordings that belong to no experiment.
fn data_job(args: &QuantizeArgs, spec: &ModelSpec) -> anyhow::Result<EvaluateJob> {
    let truth = match &args.labels {
        Some(labels) if labels.ends_with(".json") => TruthSource::Coco(PathBuf::from(labels)),
        Some(labels) => TruthSource::Topic(labels.clone()),
        None => TruthSource::None,
    };
    let mut recordings = Vec::new();
    for path in &args.data {
        let split = split_by_time(path, args.topic.as_deref(), &SplitConfig::default())?;
        recordings.push(EvaluatedRecording {
            path: path.clone(),
            topic: args.topic.clone(),
            truth: EvaluationTruth::Labels(truth.clone()),
            block: Some((split, Block::Validation)),
        });
    }
    Ok(EvaluateJob {
        recordings,
        classes: spec.classes.clone(),
        models: Vec::new(),
        target_score: 0.0,
        max_frames: None,
        latency_rounds: 0,
        keep_detections: false,
        allow_unjudged: true,
    })
}

/// What the network is given, `[channels, height, width]` each.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    /// Of the training block.
    pub calibration: &'a [NetworkInput],
    /// Of the validation block.
    pub validation: &'a [NetworkInput],
    /// Channels, height, width.
    pub shape: [usize; 3],
}

/// Makes a bundle's bytes ones whose recorded samples it answers itself.
pub(super) type Renew<'a> = dyn Fn(Vec<u8>) -> Result<Vec<u8>, QuantizeError> + 'a;

/// Quantises, prints, and writes what is worth it; says where, or nothing where only inputs were asked for. `trained` is how the float
/// bundle was trained as int8 hardware computes, if it was.
pub(super) fn work<'a, S: BundleSpec, J: Judge>(
    args: &'a QuantizeArgs,
    source: &Source,
    inputs: Inputs<'_>,
    judge: impl FnOnce() -> Result<J, QuantizeError>,
    renew: &Renew<'_>,
    trained: Option<&TrainConfig>,
) -> anyhow::Result<Option<&'a Path>> {
    if let Some(folder) = &args.dump_calibration {
        for (name, values) in [("calibration.npy", inputs.calibration), ("validation.npy", inputs.validation)] {
            let path = folder.join(name);
            dump_inputs(&path, values, inputs.shape).map_err(|error| unwritten(&path, &error))?;
            outln!("{}: {} inputs", path.display(), values.len());
        }
    }
    let Some(out) = &args.out else { return Ok(None) };
    let (asked, trained_with) = (args.weights.map(Weights::range), trained.map(|train| train.quantize_weights));
    if let (Some(asked), Some(with)) = (asked, trained_with)
        && asked != with
    {
        errln!(
            "warning: the run was trained with {with} weights, --weights {asked} rounds otherwise than what was trained"
        );
    }
    let options = QuantizeOptions {
        methods: args.method.methods(),
        weights: asked.or(trained_with).unwrap_or_default(),
        keep_float: args.keep_float.clone(),
        max_float: args.max_float,
        budget: Budget { ap50: args.budget / 100.0, agreement: args.agreement },
    };
    let job = QuantizeJob {
        path: &source.path,
        calibration: inputs.calibration,
        validation: inputs.validation,
        options: &options,
    };
    let mut judge = judge()?;
    let bar = progress_bar();
    let result = if args.fp16 {
        halve(&job, &mut judge)
    } else {
        quantize(&job, &mut judge, &mut |what| bar.set_message(what.to_owned()))
    };
    bar.finish_and_clear();
    let Quantized { model, report, excess } = result?;
    let report = report.after_training(trained.map(|train| train.epochs));
    out!("{}", report.to_text());
    if let Some(path) = &args.report {
        durable::write_bytes(path, &serde_json::to_vec_pretty(&report)?).map_err(|error| unwritten(path, &error))?;
    }
    if let Some(loss) = excess {
        if !args.force {
            return Err(WorkFailed(QuantizeError::Budget { loss }.to_string()).into());
        }
        errln!("warning: written because of --force: {loss}");
    }
    let bundle = renew(report.bundle::<S>(&source.path, &model)?)?;
    durable::write_bytes(out, &bundle).map_err(|error| unwritten(out, &error))?;
    outln!("quantize: {}, {:.1} kB", out.display(), bundle.len() as f64 / 1e3);
    Ok(Some(out.as_path()))
}

/// A file that could not be written, with the exit code that it deserves.
pub(super) fn unwritten(path: &Path, error: &std::io::Error) -> WorkFailed {
    WorkFailed(format!("{}: {error}", path.display()))
}

/// Shows what is being done; hidden where nobody looks.
pub(super) fn progress_bar() -> ProgressBar {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
