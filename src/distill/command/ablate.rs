//! `distill ablate`: kinds of distillation side by side.

use std::{
    collections::{BTreeMap, VecDeque},
    io::IsTerminal,
    num::NonZero,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

use super::{Outcome, WorkFailed, one_line, run::label_stage, train::check_inputs};
use crate::distill::{
    ablate::{Ablation, AblationConfig, Choice, Plan, PlannedRun, RunEnd, RunFigures, Runner, Settings},
    child::{Interrupts, Watch},
    config::Experiment,
    durable,
    report::{ablation_page, ablation_svg},
    shell::quoted,
};

/// Train variants of an experiment with several seeds, side by side, and tell which of them helps.
///
///   distill ablate config/distill/ablate_warehouse.yaml
///
/// The file names an experiment, the seeds, and variants that change some of its values:
///
///   name: sizes
///   experiment: warehouse.yaml
///   output: ../../runs/sizes
///   seeds: [1, 2, 3]
///   set: {train.epochs: 12}
///   variants:
///     - {name: micro, baseline: true}
///     - {name: small, about: "twice as wide", set: {student.size: small}}
///
/// Labels are made once for all variants that have the same teachers and data. Every training is a process of its own with one
/// thread, one per core at a time. What is finished is not made again: after Ctrl-C or a power cut the same command goes on.
///
/// See first what would run, run a part, or try it out quickly:
///
///   distill ablate sizes.yaml --dry-run
///   distill ablate sizes.yaml --only micro,small --seeds 1,2
///   distill ablate sizes.yaml --set train.epochs=1 --seeds 1 --output /tmp/sizes
///
/// Have finished students judged by somebody else, for instance by the boxes of a detector that taught nobody (the folder of soft targets
/// starts from the experiment's own). Nothing is trained again, and the first result stays where it is;
/// the runs' own reports and bundles have the other judge's figures until the command is repeated without it:
///
///   distill ablate sizes.yaml --set evaluate.targets=../../runs/judge --result runs/sizes/by_judge
///
/// In the output folder: ablation.html (the result as a page to look at; figures of the test block), the same as ablation.json,
/// ablation.txt and ablation.svg, and VARIANT/seed_N/ with what `distill run` writes and its log.txt. `distill report` of one of
/// these runs shows the whole ablation, too.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct AblateArgs {
    /// The ablation.
    #[arg(value_name = "CONFIG.yaml")]
    config: PathBuf,
    /// Run only these variants; the table has all whose figures are there.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    only: Vec<String>,
    /// Seeds instead of those of the file.
    #[arg(long, value_delimiter = ',', value_name = "SEED,...")]
    seeds: Vec<u64>,
    /// Folder instead of that of the file.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Folder of the result's files instead of the output folder: for another judge, whose figures are not to take the others' place.
    #[arg(long, value_name = "FOLDER")]
    result: Option<PathBuf>,
    /// Trainings at a time; 0 makes it one per core, and one where a graphics card trains.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1024))]
    jobs: Option<u16>,
    /// Print the runs and their settings, and do nothing else.
    #[arg(long)]
    dry_run: bool,
    /// Change a value of the experiment in all variants; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Plans, labels, trains, compares.
pub fn run(args: AblateArgs) -> anyhow::Result<Outcome> {
    let mut config = AblationConfig::load(&args.config)?;
    if let Some(output) = &args.output {
        config.output = std::path::absolute(output).with_context(|| output.display().to_string())?;
    }
    let plan = Plan::make(config, &Choice { only: args.only, seeds: args.seeds, set: args.set })?;
    let wanted = args.jobs.map_or(plan.config.jobs, usize::from);
    let jobs = jobs(&plan, wanted);
    if args.dry_run {
        print_plan(&plan, jobs);
        return Ok(Outcome::Done);
    }
    for run in plan.runs.iter().filter(|run| run.chosen && run.seed == plan.seeds[0]) {
        check_inputs(&plan.config.experiment, &run.experiment)
            .with_context(|| format!("variant `{}`", plan.config.variants[run.variant].name))?;
    }
    let program = std::env::current_exe().context("cannot find the program's own file")?;
    let interrupts = stop_children_on_interrupt()?;

    let Some(labels) = label(&plan, wanted, &interrupts)? else { return Ok(Outcome::Done) };
    let unlabelled = |run: &PlannedRun| run.experiment.targets_folder.as_ref().and_then(|path| labels.failed.get(path));
    let ready = |run: &PlannedRun| run.chosen && unlabelled(run).is_none();
    let queue: VecDeque<usize> = (0..plan.runs.len()).filter(|run| ready(&plan.runs[*run])).collect();
    let mut display = Display::new(&plan, &queue);
    let mut ends = Runner { plan: &plan, program: &program, jobs, interrupts: &interrupts }.run(queue, &mut display);
    display.finish();
    for (run, end) in plan.runs.iter().zip(&mut ends).filter(|(run, _)| run.chosen) {
        if let Some(reason) = unlabelled(run) {
            *end = RunEnd::Failed(reason.clone());
        }
    }

    let command = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let ablation = Ablation::collect(&plan, &ends, command);
    write(args.result.as_deref().unwrap_or(&plan.config.output), &ablation)?;
    if interrupts.stop.load(Ordering::Relaxed) {
        outln!("stopped; the same command goes on");
        return Ok(Outcome::Done);
    }
    let failed = ablation.failed();
    if !failed.is_empty() {
        let folders: Vec<&str> = failed.iter().map(|(_, run)| run.folder.as_str()).collect();
        let message = format!("{} of {} runs failed; see log.txt in {}", failed.len(), ends.len(), folders.join(", "));
        return Err(WorkFailed(message).into());
    }
    let lost_data = labels.lost_data || ends.contains(&RunEnd::Finished { lost_data: true });
    Ok(if lost_data { Outcome::DataLost } else { Outcome::Done })
}

/// Trainings at a time.
fn jobs(plan: &Plan, wanted: usize) -> usize {
    match wanted {
        0 if plan.runs.iter().any(|run| run.chosen && run.experiment.train.device != "cpu") => 1,
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        wanted => wanted,
    }
}

/// What Ctrl-C does: the first asks the children to write their checkpoints, the second ends them, the third ends this process.
pub(super) fn stop_children_on_interrupt() -> anyhow::Result<Arc<Interrupts>> {
    let interrupts = Arc::new(Interrupts::default());
    let handler = Arc::clone(&interrupts);
    ctrlc::set_handler(move || {
        if handler.stop.swap(true, Ordering::Relaxed) && handler.kill.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(interrupts)
}

/// How the labelling went.
#[derive(Default)]
struct Labels {
    /// Folders whose targets could not be made, and why.
    failed: BTreeMap<PathBuf, String>,
    /// Whether part of the recordings could not be read.
    lost_data: bool,
}

/// Makes the targets of every kind of labelling, each with so many threads, 0 for all cores; nothing when it was stopped. That one
/// of them fails costs only the runs that need it.
fn label(plan: &Plan, threads: usize, interrupts: &Interrupts) -> anyhow::Result<Option<Labels>> {
    let mut labels = Labels::default();
    for run in plan.labellings() {
        let experiment = Experiment { threads, ..run.experiment.clone() };
        match label_stage(&experiment, &interrupts.stop) {
            Ok(Some(lost_data)) => labels.lost_data |= lost_data,
            Ok(None) => return Ok(None),
            Err(error) => {
                let reason = format!("label: {}", one_line(&error));
                errln!("{}: {reason}", plan.config.variants[run.variant].name);
                let folder = run.experiment.targets_folder.clone().context("a labelling without a folder")?;
                labels.failed.insert(folder, reason);
            }
        }
    }
    Ok(Some(labels))
}

/// Prints the result and writes it in all its forms.
fn write(output: &Path, ablation: &Ablation) -> anyhow::Result<()> {
    let text = ablation.to_text();
    out!("{text}");
    let files = [
        ("ablation.json", serde_json::to_vec_pretty(ablation)?),
        ("ablation.txt", text.into_bytes()),
        ("ablation.svg", ablation_svg(ablation).into_bytes()),
        ("ablation.html", ablation_page(ablation).into_bytes()),
    ];
    for (name, bytes) in files {
        let path = output.join(name);
        durable::write_bytes(&path, &bytes).map_err(|error| WorkFailed(format!("{}: {error}", path.display())))?;
        outln!("ablate: {}", path.display());
    }
    Ok(())
}

fn print_plan(plan: &Plan, jobs: usize) {
    let (config, chosen) = (&plan.config, plan.runs.iter().filter(|run| run.chosen).count());
    outln!("{}: {chosen} runs of {}, {jobs} at a time", config.name, config.experiment.display());
    print_settings("for all variants", &config.set);
    for text in &plan.set {
        outln!("    {text}");
    }
    for variant in &config.variants {
        let part = if variant.baseline { " (baseline)" } else { "" };
        let about = if variant.about.is_empty() { String::new() } else { format!(": {}", variant.about) };
        print_settings(&format!("{}{part}{about}", variant.name), &variant.set);
    }
    for run in plan.runs.iter().filter(|run| run.chosen) {
        let arguments: Vec<String> = plan.arguments(run).iter().map(|text| quoted(&text.to_string_lossy())).collect();
        outln!("distill {}", arguments.join(" "));
    }
}

/// Prints changes of an experiment under a title.
pub(super) fn print_settings(title: &str, settings: &Settings) {
    outln!("  {title}");
    for (key, value) in settings {
        outln!("    {key}={}", serde_json::to_string(value).unwrap_or_default());
    }
}

/// Progress on stderr: a bar for each training and one for all on a terminal, a line when one starts or ends elsewhere.
struct Display<'a> {
    plan: &'a Plan,
    bars: Option<Bars>,
    start: Instant,
    /// Epochs of each run: at its start, now, and in all.
    epochs: BTreeMap<usize, Epochs>,
    started: BTreeMap<usize, Instant>,
    ended: usize,
}

struct Bars {
    all: MultiProgress,
    whole: ProgressBar,
    running: BTreeMap<usize, ProgressBar>,
}

/// Epochs of a run.
#[derive(Clone, Copy)]
struct Epochs {
    before: usize,
    made: usize,
    total: usize,
}

impl<'a> Display<'a> {
    fn new(plan: &'a Plan, queue: &VecDeque<usize>) -> Self {
        let epochs: BTreeMap<usize, Epochs> = queue
            .iter()
            .map(|run| {
                let planned = &plan.runs[*run];
                let (before, total) = (planned.epochs_made(), planned.experiment.train.epochs);
                (*run, Epochs { before, made: 0, total })
            })
            .collect();
        let bars = std::io::stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            let total = epochs.values().map(|epochs| epochs.total as u64).sum();
            let whole = all.add(bar(total, "{bar:30} {pos}/{len} epochs  {msg}"));
            Bars { all, whole, running: BTreeMap::new() }
        });
        Self { plan, bars, start: Instant::now(), epochs, started: BTreeMap::new(), ended: 0 }
    }

    fn finish(&self) {
        if let Some(bars) = &self.bars {
            bars.whole.finish_and_clear();
        }
    }

    /// Shows how far all runs together are, and how long the rest will take at the speed of this process.
    fn show_whole(&self) {
        let Some(bars) = &self.bars else { return };
        let sum = |part: fn(&Epochs) -> usize| self.epochs.values().map(part).sum::<usize>();
        let made = sum(|epochs| epochs.made);
        let new = sum(|epochs| epochs.made.saturating_sub(epochs.before));
        let left = sum(|epochs| epochs.total.saturating_sub(epochs.made));
        let runs = format!("{} of {} runs", self.ended, self.epochs.len());
        bars.whole.set_position(made as u64);
        bars.whole.set_message(if new == 0 {
            runs
        } else {
            let seconds = self.start.elapsed().as_secs_f64() / new as f64 * left as f64;
            format!("{runs}, {} left", HumanDuration(Duration::from_secs_f64(seconds)))
        });
    }

    fn line(&self, line: &str) {
        match &self.bars {
            // That nobody sees it is no reason to stop.
            Some(bars) => {
                let _ = bars.all.println(line);
            }
            None => errln!("{line}"),
        }
    }
}

/// A bar of so many steps. The templates here are fixed and right; a wrong one would only cost the looks.
fn bar(length: u64, template: &str) -> ProgressBar {
    ProgressBar::new(length)
        .with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

impl Watch<RunEnd> for Display<'_> {
    fn started(&mut self, run: usize) {
        let planned = &self.plan.runs[run];
        let title = self.plan.title(planned);
        self.started.insert(run, Instant::now());
        match &mut self.bars {
            Some(bars) => {
                let own =
                    bar(planned.experiment.train.epochs as u64, "{bar:30} {pos}/{len} epochs  {prefix}  {elapsed}");
                let own = bars.all.insert_before(&bars.whole, own.with_prefix(title));
                bars.running.insert(run, own);
            }
            None => errln!("start: {title}"),
        }
    }

    fn epochs(&mut self, run: usize, made: usize) {
        if let Some(epochs) = self.epochs.get_mut(&run) {
            epochs.made = made.min(epochs.total);
            // A training of other settings begins from nothing.
            epochs.before = epochs.before.min(epochs.made);
        }
        if let Some(bar) = self.bars.as_ref().and_then(|bars| bars.running.get(&run)) {
            bar.set_position(made as u64);
        }
        self.show_whole();
    }

    fn ended(&mut self, run: usize, end: &RunEnd) {
        self.ended += 1;
        if let Some(epochs) = self.epochs.get_mut(&run)
            && matches!(end, RunEnd::Finished { .. } | RunEnd::Failed(_))
        {
            // Whatever it did not make, it will not make any more; what it made is known already.
            epochs.before += epochs.total.saturating_sub(epochs.made);
            epochs.made = epochs.total;
        }
        if let Some(bar) = self.bars.as_mut().and_then(|bars| bars.running.remove(&run)) {
            bar.finish_and_clear();
        }
        let planned = &self.plan.runs[run];
        let seconds = self.started.get(&run).map_or(0.0, |start| start.elapsed().as_secs_f64());
        let told = match end {
            RunEnd::Finished { .. } => {
                let ap = RunFigures::read(planned).and_then(|figures| figures.ap);
                let ap = ap.map_or(String::new(), |ap| format!(", AP {ap:.3}"));
                format!("done: {} in {seconds:.0} s{ap}", self.plan.title(planned))
            }
            RunEnd::Failed(reason) => format!("failed: {}: {reason}", self.plan.title(planned)),
            RunEnd::Interrupted | RunEnd::NotRun => format!("stopped: {}", self.plan.title(planned)),
        };
        self.line(&told);
        self.show_whole();
    }
}
