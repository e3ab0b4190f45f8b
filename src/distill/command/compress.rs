//! `distill compress`: students of several widths, inputs, cuts and precisions, and the one that fits a board.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use anyhow::Context;
use clap::Args;
use image::RgbImage;

use super::{
    Outcome, WorkFailed,
    ablate::{print_settings, stop_children_on_interrupt},
    bench::read_images,
    evaluate::{evaluate_shown, tell_losses},
    test_figures::add_test_figures,
    train::check_inputs,
};
use crate::{
    bench::Machine,
    distill::{
        child::Watch,
        compress::ladder::{
            Climber, Contest, Front, Ladder, LadderConfig, LadderPoint, Measured, StepEnd, fused_ap50, test_figures,
        },
        durable,
        evaluate::{EvaluateError, EvaluationReport, bundle_path},
        report::front_page,
        shell::quoted,
    },
};

/// Find the most accurate student that is fast and small enough for a board.
///
///   distill compress config/distill/compress.yaml
///
/// The file names an experiment, what is to be tried, and the limits that the student has to keep:
///
///   name: indoor_person_small
///   experiment: indoor_person.yaml
///   output: ../../runs/compress_indoor_person
///   ladder:
///     sizes: [micro]                           # each with each of the inputs
///     inputs: [[320, 192], [256, 160]]
///     prune: [{time: 0.7}, {time: 0.5}]        # shares of the unpruned student's time, each cut from the one before
///     rounds: 2                                # of pruning and distilling for each of them
///     precisions: [fp32, int8, int8_aware]
///   constraints:                               # leave out what does not matter
///     latency_ms: 2.0                          # the network alone on one thread of this machine
///     speedup_over: {model: yolox_nano_416.onnx, times: 9.4}
///     size_kb: 500
///     retention: 0.97                          # share of the teachers' AP50
///
/// Every student is made by commands of their own (`distill run`, `distill prune`, `distill quantize`), one after the other. Then all of
/// them and the teachers are timed in turns, and judged on the validation block. The most accurate one that keeps all limits is copied to
/// student.onnx of the output folder; the test block is looked at last, and nothing is chosen by it. Where none keeps them the exit code
/// is 1, and the nearest is named with what it misses.
///
/// What is finished and whose inputs have not changed is not made again: after Ctrl-C, a power cut or another line in the file the same
/// command goes on. Times are measured anew each time. What loses more than the gate allows (`gate: {budget: 1.0, agreement: 0.97}`) is
/// refused and left out: a cut student that has learnt again beside the uncut one (see `distill prune --help`), with all that would be made
/// of it, and an int8 or float16 form beside its float student (see `distill quantize --help`). `weights: unsigned` or `full` makes int8
/// with other weights than clear ones, `ladder.by: batch_norm` or `l1` cuts by another importance, and `fp16` is a precision for
/// processors that compute in it.
///
/// For students of cameras; a lidar student is made smaller by its experiment's `student` and `distill quantize`.
///
/// See first what would run, or try it out quickly. --set changes values of the ladder (seed, epochs, recovery_epochs, aware_epochs,
/// latency_rounds, and what is in ladder, gate and constraints); all other keys are those of the experiment:
///
///   distill compress small.yaml --dry-run
///   distill compress small.yaml --set epochs=1 --set recovery_epochs=1 --set aware_epochs=1 --output /tmp/small
///   distill compress small.yaml --set 'ladder.precisions=[fp32]' --set train.batch=4
///
/// In the output folder: front.html (to look at: the front, what each step cost in AP of each class), the same as front.json and
/// front.txt, student.onnx, and a folder for each rung with its log.txt.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct CompressArgs {
    /// The ladder.
    #[arg(value_name = "CONFIG.yaml")]
    config: PathBuf,
    /// Folder instead of that of the file.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Print the commands, and do nothing else.
    #[arg(long)]
    dry_run: bool,
    /// Change a value of the ladder, or one of the experiment for all rungs; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Plans, makes, measures, chooses.
pub fn run(args: CompressArgs) -> anyhow::Result<Outcome> {
    let (own, set) = LadderConfig::part_changes(args.set);
    let mut config = LadderConfig::load(&args.config, &own)?;
    if let Some(output) = &args.output {
        config.output = std::path::absolute(output).with_context(|| output.display().to_string())?;
    }
    let ladder = Ladder::plan(config, set)?;
    if args.dry_run {
        print_plan(&ladder);
        return Ok(Outcome::Done);
    }
    check_inputs(&ladder.config.experiment, &ladder.experiment)?;
    if let Some(speedup) = &ladder.config.constraints.speedup_over {
        let model = &speedup.model;
        std::fs::File::open(model)
            .with_context(|| format!("constraints.speedup_over.model: cannot read {}", model.display()))?;
    }
    let program = std::env::current_exe().context("cannot find the program's own file")?;
    let interrupts = stop_children_on_interrupt()?;
    let mut display = Display { ladder: &ladder, start: None };
    let ends = Climber { ladder: &ladder, program: &program, interrupts: &interrupts }.climb(&mut display);
    let Some(Found { front, test, lost_data }) = measure(&ladder, &ends, &interrupts.stop)? else {
        outln!("stopped; the same command goes on");
        return Ok(Outcome::Done);
    };
    write(&ladder.config.output, &front, test.as_ref())?;
    if front.chosen.is_none() {
        return Err(WorkFailed(front.verdict()).into());
    }
    let failed: Vec<&str> = front.failed().map(|point| point.name.as_str()).collect();
    if !failed.is_empty() {
        let output = ladder.config.output.display();
        return Err(WorkFailed(format!("{} could not be made; see the log.txt in {output}", failed.join(", "))).into());
    }
    Ok(if lost_data { Outcome::DataLost } else { Outcome::Done })
}

/// What a ladder came to.
struct Found {
    front: Front,
    /// The evaluation on the test block, where there is one with truth.
    test: Option<EvaluationReport>,
    /// Whether part of the recordings could not be read.
    lost_data: bool,
}

/// Judges and times what is there; nothing when it was stopped.
fn measure(ladder: &Ladder, ends: &[StepEnd], stop: &AtomicBool) -> anyhow::Result<Option<Found>> {
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let is_made = |point: &usize| matches!(ends.get(ladder.points[*point].step), Some(StepEnd::Done { .. }));
    let students: Vec<usize> = (0..ladder.points.len()).filter(is_made).collect();
    let mut lost_data = ends.iter().any(|end| matches!(end, StepEnd::Done { lost_data: true, .. }));
    let any_made = !students.is_empty();
    let contest = Contest::new(ladder, students);
    let mut measured = None;
    let mut truth = (String::new(), 0);
    if any_made {
        let Some(report) = unless_stopped(evaluate_shown(&contest.validation()?, stop))? else { return Ok(None) };
        tell_losses(&report);
        lost_data |= report.lost_data;
        truth = (report.truth.clone(), report.frames);
        let fused = fused_ap50(&ladder.experiment)?;
        let Some(laps) = unless_stopped(contest.time(&images(ladder)?, stop))? else { return Ok(None) };
        measured = Some(contest.measured(&report, &laps, fused)?);
    }
    let mut front = front_of(ladder, ends, measured, truth);
    front.choose();
    let mut test = None;
    if any_made {
        // All of them, also where none is chosen: what a step costs is believed where nobody was chosen by it.
        match evaluate_shown(&contest.test()?, stop) {
            Ok(report) => {
                (front.test, front.test_frames) = (test_figures(&report), report.frames);
                front.test_truth.clone_from(&report.truth);
                test = Some(report);
            }
            Err(EvaluateError::Stopped) => return Ok(None),
            // There may be no test block, or none with truth.
            Err(EvaluateError::NoTruth { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(Found { front, test, lost_data }))
}

/// A result, or nothing of what was stopped.
fn unless_stopped<T>(result: Result<T, EvaluateError>) -> Result<Option<T>, EvaluateError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(EvaluateError::Stopped) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Frames to time networks on: their time does not depend on what is seen.
fn images(ladder: &Ladder) -> anyhow::Result<Vec<RgbImage>> {
    let data = ladder.experiment.data.first().context("an experiment without data")?;
    Ok(read_images(&data.path, data.topic.as_deref()).with_context(|| data.path.display().to_string())?.images)
}

/// Everything that was found, nothing chosen yet. `truth` is what judged, and on how many frames.
fn front_of(ladder: &Ladder, ends: &[StepEnd], measured: Option<Measured>, truth: (String, usize)) -> Front {
    let none = || Measured {
        references: Vec::new(),
        points: vec![None; ladder.points.len()],
        yardstick: None,
        compared_with: None,
    };
    let Measured { references, points, yardstick, compared_with } = measured.unwrap_or_else(none);
    let points = points.into_iter().enumerate();
    Front {
        name: ladder.config.name.clone(),
        command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        experiment: ladder.config.experiment.display().to_string(),
        seed: ladder.experiment.seed,
        set: ladder.config.set.clone(),
        command_line_set: ladder.set.clone(),
        machine: Machine::here(),
        latency_rounds: ladder.config.latency_rounds,
        compared_with,
        yardstick,
        truth: truth.0,
        frames: truth.1,
        constraints: ladder.config.constraints.clone(),
        references,
        points: points.map(|(point, figures)| LadderPoint::new(ladder, point, ends, figures)).collect(),
        chosen: None,
        nearest: None,
        test: Vec::new(),
        test_truth: String::new(),
        test_frames: 0,
    }
}

/// Prints the result, writes it in all its forms, and copies the chosen student, with its figures of the evaluation `test` inside.
fn write(output: &Path, front: &Front, test: Option<&EvaluationReport>) -> anyhow::Result<()> {
    let text = front.to_text();
    out!("{text}");
    let unwritten = |path: &Path, error: std::io::Error| WorkFailed(format!("{}: {error}", path.display()));
    let files = [
        ("front.json", serde_json::to_vec_pretty(front)?),
        ("front.txt", text.into_bytes()),
        ("front.html", front_page(front).into_bytes()),
    ];
    for (name, bytes) in files {
        let path = output.join(name);
        durable::write_bytes(&path, &bytes).map_err(|error| unwritten(&path, error))?;
        outln!("compress: {}", path.display());
    }
    let student = bundle_path(output);
    // One of an earlier time would be taken for this one's.
    durable::remove_file(&student).map_err(|error| unwritten(&student, error))?;
    if let Some(chosen) = front.chosen.as_ref().and_then(|name| front.point(name)) {
        let bytes = std::fs::read(&chosen.bundle).map_err(|error| unwritten(Path::new(&chosen.bundle), error))?;
        durable::write_bytes(&student, &bytes).map_err(|error| unwritten(&student, error))?;
        let judged = |report: &EvaluationReport| report.models.iter().position(|model| model.name == chosen.name);
        if let Some((report, place)) = test.and_then(|report| Some((report, judged(report)?))) {
            add_test_figures(&student, report, &report.models[place])?;
        }
        outln!("compress: {}", student.display());
    }
    Ok(())
}

fn print_plan(ladder: &Ladder) {
    let (config, offered) = (&ladder.config, ladder.points.iter().filter(|point| point.offered).count());
    outln!("{}: {offered} students to choose from, of {}", config.name, config.experiment.display());
    print_settings("for all rungs", &config.set);
    for text in &ladder.set {
        outln!("    {text}");
    }
    for step in &ladder.steps {
        let words: Vec<String> = step.arguments.iter().map(|word| quoted(&word.to_string_lossy())).collect();
        outln!("distill {}", words.join(" "));
    }
}

/// Progress on stderr: a line when a step starts, and one when it ends.
struct Display<'a> {
    ladder: &'a Ladder,
    /// When the step at work started; none of one that was done already.
    start: Option<Instant>,
}

impl Watch<StepEnd> for Display<'_> {
    fn started(&mut self, step: usize) {
        let (number, all) = (step + 1, self.ladder.steps.len());
        self.start = Some(Instant::now());
        errln!("{number} of {all}: {}", self.ladder.steps[step].title);
    }

    fn ended(&mut self, step: usize, end: &StepEnd) {
        let title = &self.ladder.steps[step].title;
        let seconds = self.start.take().map_or(0.0, |start| start.elapsed().as_secs_f64());
        match end {
            StepEnd::Done { earlier: true, .. } => errln!("done already: {title}"),
            StepEnd::Done { .. } => errln!("done: {title} in {seconds:.0} s"),
            StepEnd::Refused(reason) => errln!("refused: {title}: {reason}"),
            StepEnd::Failed(reason) => errln!("failed: {title}: {reason}"),
            StepEnd::Interrupted => errln!("stopped: {title}"),
            StepEnd::NotRun | StepEnd::Without(_) => {}
        }
    }
}
