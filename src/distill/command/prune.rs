//! `distill prune`: a finished run's student with channels cut out, and the experiment in which it learns again.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, bail};
use burn::{module::Module, optim::GradientsParams, tensor::Device};
use clap::{Args, ValueEnum};

use super::{
    Outcome, WorkFailed,
    quantize::{frame_count, progress_bar, unwritten},
    samples::add_image_samples,
    train::{failed, is_lidar_file, learnt, print_gathered, use_threads, write_run_files},
};
use crate::{
    distill::{
        compress::prune::{
            Criterion, Importance, Measure, PruneError, PruneJob, PruneReport, Pruned, REPORT_FILE, Sensitivity,
            by_scale, by_weights, cut_experiment, default_epochs, prune, recovery,
        },
        config::{Experiment, absolute_path},
        durable,
        evaluate::bundle_path,
        export::export,
        student::{CameraStudent, StudentConfig},
        train::{Gathered, Validator, gather, gradients_on_frames, trained_student, weights_path},
    },
    metrics::ApSummary,
    model::{
        ModelSpec,
        bundle::{BundleMetadata, read_metadata},
    },
};

/// Cut channels out of a finished student, so that it is smaller and faster on any processor.
///
/// A run's student cut down to 60 % of its time in ONNX Runtime on this machine, then distilled anew with the uncut student among its
/// teachers:
///
///   distill prune runs/indoor_person --keep 0.6 --out runs/indoor_person_60
///   distill run runs/indoor_person_60/distil.yaml
///
/// The student to use is then runs/indoor_person_60/distilled/student.onnx. Smaller still, in rounds; each begins with the student of the
/// one before:
///
///   distill prune runs/indoor_person_60/distilled --keep 0.7 --out runs/indoor_person_42
///   distill run runs/indoor_person_42/distil.yaml
///
/// Which channels go: those that matter least for the time they take. How much one matters is told by the loss on frames of the training
/// block (taylor), by BatchNorm's scale (batch_norm) or by its weights (l1); what it takes is measured, layer for layer. Channels that
/// belong together go together: those of sums, of the neck, of depthwise convolutions.
///
///   distill prune runs/my --keep 0.5 --by l1 --out runs/my_half
///   distill prune runs/my --keep 0.5 --measure macs --out runs/my_half     # multiply-accumulates in place of this machine's time
///
/// A cut student has lost accuracy until it has learnt again. What it lost is told, by the validation block; the test block stays
/// untouched. Where it has learnt again and still loses more beside the uncut student than --budget allows, `distill run` refuses it with
/// the table of what was cut (exit code 1), and writes its bundle only when forced:
///
///   distill prune runs/my --keep 0.5 --out runs/my_half --budget 2
///   distill run runs/my_half/distil.yaml --set gate.force=true
///
/// In the output folder: config.yaml, train/best.bpk and student.onnx as in a run's folder, prune.json (all figures: importance, channels,
/// times of each layer) and distil.yaml.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct PruneArgs {
    /// The output folder of a finished `distill run` of a camera student.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The folder to write.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// The share of the time (see --measure) that is to be left.
    #[arg(long, visible_alias = "time", value_name = "SHARE", default_value_t = 0.6, value_parser = share)]
    keep: f64,
    /// What tells how much a channel matters.
    #[arg(long, value_enum, default_value = "taylor")]
    by: By,
    /// What --keep is a share of: time in ONNX Runtime on one thread of this machine, or multiply-accumulates.
    #[arg(long, value_enum, default_value = "time")]
    measure: MeasureName,
    /// Frames of the training block that importance is measured on (taylor).
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = frame_count)]
    frames: usize,
    /// Epochs of distil.yaml; by default a quarter of the run's, 5 at least.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    /// Points of AP50 that the student may have lost on the validation block, once it has learnt again. Default: what the run might, or 1.
    #[arg(long, value_name = "POINTS", value_parser = points)]
    budget: Option<f64>,
}

/// A share of what there is.
fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("must be a share between 0 and 1, for instance 0.6".to_owned()),
    }
}

/// Points of average precision.
fn points(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(points) if (0.0..=100.0).contains(&points) => Ok(points),
        _ => Err("must be points of AP50, 0 to 100".to_owned()),
    }
}

/// See [`Criterion`].
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum By {
    Taylor,
    BatchNorm,
    L1,
}

impl By {
    fn criterion(self) -> Criterion {
        match self {
            Self::Taylor => Criterion::Taylor,
            Self::BatchNorm => Criterion::BatchNorm,
            Self::L1 => Criterion::L1,
        }
    }
}

/// See [`Measure`].
#[derive(Debug, Clone, Copy, ValueEnum)]
enum MeasureName {
    Time,
    Macs,
}

impl MeasureName {
    fn measure(self) -> Measure {
        match self {
            Self::Time => Measure::Time,
            Self::Macs => Measure::Macs,
        }
    }
}

/// A finished run.
struct Run {
    experiment: Experiment,
    config: StudentConfig,
    /// Its best weights, for inference.
    student: CameraStudent,
    /// What its bundle says of itself.
    metadata: BundleMetadata,
}

impl Run {
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("config.yaml");
        if is_lidar_file(&file) {
            bail!(
                "{}: a lidar student; only those of cameras can be pruned. Train one with a smaller `student.width`",
                folder.display()
            );
        }
        let mut experiment = Experiment::load(&file, &[])
            .with_context(|| format!("{}: give the output folder of a finished `distill run`", folder.display()))?;
        // Where it lies now.
        experiment.output = absolute_path(folder).with_context(|| folder.display().to_string())?;
        let unfinished = || format!("{}: the run is not finished; `distill run` with its experiment", folder.display());
        if experiment.train.quantize_aware {
            bail!(
                "{}: its student was trained with `train.quantize_aware` and has no BatchNorm any more; prune the run that it was made \
                 of, and train the result with `train.quantize_aware`",
                folder.display()
            );
        }
        let config = experiment.student_config();
        let student = trained_student(&experiment, &Device::flex()).with_context(unfinished)?.valid();
        let metadata = read_metadata::<ModelSpec>(bundle_path(folder)).with_context(unfinished)?;
        let metadata = metadata.with_context(unfinished)?;
        Ok(Self { experiment, config, student, metadata })
    }

    /// How much each channel matters, and on how many frames that was measured.
    fn importance(&self, args: &PruneArgs, gathered: &Gathered) -> anyhow::Result<(Importance, usize)> {
        Ok(match args.by {
            By::BatchNorm => (by_scale(&self.student).map_err(worked)?, 0),
            By::L1 => (by_weights(&self.student).map_err(worked)?, 0),
            By::Taylor => {
                let folded = self.student.clone().fold();
                let mut sensitivity = Sensitivity::default();
                let see = |student: &CameraStudent, gradients: &GradientsParams| sensitivity.add(student, gradients);
                let frames = gradients_on_frames(&self.experiment, &gathered.train, args.frames, &folded, see);
                let frames = frames.map_err(failed)?;
                (sensitivity.finish().map_err(worked)?, frames)
            }
        })
    }

    /// Average precision on the validation block, before and after; none without frames.
    fn judge(&self, gathered: &Gathered, pruned: &Pruned) -> anyhow::Result<Option<[ApSummary; 2]>> {
        if gathered.validation.is_empty() {
            return Ok(None);
        }
        let Experiment { evaluate, train, .. } = &self.experiment;
        let validator = Validator::new(&gathered.validation, &self.config, evaluate.target_score, train.batch);
        let judge = |student: &CameraStudent| validator.judge(&student.clone().fold(), &Device::flex()).map_err(failed);
        Ok(Some([judge(&self.student)?, judge(&pruned.student)?]))
    }
}

/// Prunes, prints, writes.
pub fn run(args: PruneArgs) -> anyhow::Result<Outcome> {
    let run = Run::open(&args.run)?;
    check_out(&args, &run)?;
    use_threads(run.experiment.threads);
    let data = learnt(&run.experiment)?;
    let start = Instant::now();
    let gathered = gather(&data.experiment, data.targets.as_ref(), data.validation.as_ref()).map_err(failed)?;
    print_gathered(&gathered, start.elapsed());
    let bar = progress_bar();
    bar.set_message("importance");
    let (importance, frames) = run.importance(&args, &gathered)?;
    let job = PruneJob {
        student: &run.student,
        config: &run.config,
        importance: &importance,
        keep: args.keep,
        measure: args.measure.measure(),
    };
    let pruned = prune(&job, &mut |what| bar.set_message(what.to_owned())).map_err(worked)?;
    bar.set_message("validation");
    let validation = run.judge(&gathered, &pruned)?;
    bar.finish_and_clear();
    let report = report(&args, &run, &pruned, frames, validation);
    out!("{}", report.to_text());
    tell_doubts(&report);
    write(&args, &run, &pruned, &report)?;
    Ok(if gathered.lost_data() { Outcome::DataLost } else { Outcome::Done })
}

/// A failure with the exit code that it deserves.
fn worked(error: PruneError) -> anyhow::Error {
    if error.is_work_failure() { WorkFailed(error.to_string()).into() } else { error.into() }
}

/// Refuses a folder that holds something which is not to be lost.
fn check_out(args: &PruneArgs, run: &Run) -> anyhow::Result<()> {
    let folder = absolute_path(&args.out).with_context(|| args.out.display().to_string())?;
    if folder == run.experiment.output {
        bail!("--out {}: is the run's own folder; name another one", args.out.display());
    }
    let is_empty = match std::fs::read_dir(&folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| folder.display().to_string()),
    };
    if !is_empty && !folder.join(REPORT_FILE).exists() && !folder.join(RECOVERY_FILE).exists() {
        return Err(PruneError::Occupied { folder }.into());
    }
    Ok(())
}

/// The experiment in which a cut student learns again. It is written first, so that an interrupted work is known by it.
const RECOVERY_FILE: &str = "distil.yaml";

fn report(
    args: &PruneArgs,
    run: &Run,
    pruned: &Pruned,
    frames: usize,
    validation: Option<[ApSummary; 2]>,
) -> PruneReport {
    PruneReport {
        run: run.experiment.output.display().to_string(),
        criterion: args.by.criterion(),
        frames,
        measure: args.measure.measure(),
        keep: args.keep,
        cut: pruned.figures.clone(),
        channels: [run.config.group_channels(), pruned.config.group_channels()],
        validation,
    }
}

/// Says what is to be said against the cut student.
fn tell_doubts(report: &PruneReport) {
    let unranked = report.unranked();
    if !unranked.is_empty() {
        errln!(
            "warning: on {} frames the loss does not depend on {}, which were cut as far as was of use; where the robot sees objects of \
             sizes that these frames lack, measure on more of them (--frames)",
            report.frames,
            unranked.join(", ")
        );
    }
    if report.finds_nothing() {
        errln!(
            "warning: the cut student finds nothing on the validation block until it has learnt again; should it not recover, cut less at a \
             time (--keep) and in rounds"
        );
    }
    if report.measure == Measure::Time && !report.meets_time() {
        errln!(
            "warning: {:.1} % of the time is left where {:.1} % were asked for: what is no convolution takes time too",
            100.0 * report.cut.measured_share,
            100.0 * report.keep
        );
    }
}

/// Writes the folder; `prune.json` is there once all else is.
fn write(args: &PruneArgs, run: &Run, pruned: &Pruned, report: &PruneReport) -> anyhow::Result<()> {
    let folder = absolute_path(&args.out).with_context(|| args.out.display().to_string())?;
    let report_path = folder.join(REPORT_FILE);
    let cut = cut_experiment(&run.experiment, pruned.config.group_channels(), &folder);
    let epochs = args.epochs.map_or_else(|| default_epochs(run.experiment.train.epochs), |epochs| epochs as usize);
    let recovery_path = folder.join(RECOVERY_FILE);
    let recovery = recovery(&run.experiment, &cut, epochs, args.budget).relative_to(&folder);
    let budget = recovery.gate.as_ref().map(|gate| gate.budget);
    durable::write_bytes(&recovery_path, recovery.to_yaml()?.as_bytes())
        .map_err(|error| unwritten(&recovery_path, &error))?;
    durable::remove_file(&report_path).map_err(|error| unwritten(&report_path, &error))?;
    write_run_files(&folder, &cut.to_yaml()?)?;
    pruned.student.save(&weights_path(&folder.join("train"))).map_err(|error| WorkFailed(error.to_string()))?;
    let bundle = bundle_path(&folder);
    let mut metadata = run.metadata.clone();
    // Those of the student that it was.
    metadata.figures = serde_json::Map::new();
    metadata.set_figures(serde_json::json!({
        "pruning": {
            "criterion": report.criterion, "measure": report.measure, "keep": report.keep, "channels": report.channels[1],
        },
    }));
    export(&pruned.student, &metadata, &bundle).map_err(|error| WorkFailed(error.to_string()))?;
    add_image_samples(&cut, &bundle);
    let json = serde_json::to_vec_pretty(report)?;
    durable::write_bytes(&report_path, &json).map_err(|error| unwritten(&report_path, &error))?;
    outln!("prune: {}", folder.display());
    outln!("let it learn again: distill run {}", args.out.join(RECOVERY_FILE).display());
    if let Some((lost, budget)) = report.lost_points().zip(budget)
        && lost > budget
    {
        outln!(
            "refused there, unless it then loses at most {budget:.2} points of AP50 of the {lost:.2} that it lacks now (--budget)"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_are_called_as_in_ladders() {
        for by in By::value_variants() {
            let value = by.to_possible_value().unwrap();
            assert_eq!(value.get_name(), by.criterion().name());
        }
    }

    #[test]
    fn a_budget_is_in_points() {
        assert_eq!((points("2.5"), points("0")), (Ok(2.5), Ok(0.0)));
        for wrong in ["-1", "101", "NaN", "much"] {
            assert!(points(wrong).is_err(), "{wrong}");
        }
    }
}
