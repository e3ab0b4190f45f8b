//! `distill label`: teachers over recordings, into soft targets.

use std::{
    io::IsTerminal,
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_BORDERS_ONLY};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Outcome, WorkFailed, train::refuse_lidar};
use crate::distill::{
    targets::{LabelJob, LabelProgress, LabelSource, LabelSummary, Shard, label},
    teacher::{EnsembleOptions, TeacherConfig},
};

/// Run teachers over recordings and keep their fused soft targets.
///
/// Two teachers over a bag, for a student that knows persons:
///
///   distill label --data my_bag --teacher yolox_nano.onnx --teacher nanodet_m.onnx \
///       --classes person --out targets
///
/// Teachers whose names differ from the student's, or that are trusted less, are described in YAML (a list of entries as
/// under `teachers:` of an experiment):
///
///   distill label --data monday --data tuesday --teachers teachers.yaml \
///       --classes person,vehicle --out targets
///
/// The work is kept in parts of --part-frames frames: stopped with Ctrl-C or by a power cut, the same command continues. On
/// several machines give each its share and copy the parts into one folder:
///
///   distill label ... --shard 1/4 --out targets      # on the first of four machines
///
/// Sweeps of a lidar are labelled by `distill run` of an experiment with `task: lidar`.
///
/// The targets are plain Parquet tables: pandas.read_parquet("targets/part-00000.parquet"). Rows without a `teacher` are the fused
/// targets, the others are what each teacher said; `distill audit` judges the teachers by them.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct LabelArgs {
    /// A rosbag2 folder, folder of parts, .mcap or .db3 file, or folder of images; may be given several times.
    #[arg(long, required = true, value_name = "BAG")]
    data: Vec<PathBuf>,
    /// The image topic, needed where a bag has several.
    #[arg(long)]
    topic: Option<String>,
    /// A teacher's ONNX file, fully trusted, classes by equal names; may be given several times.
    #[arg(long, value_name = "ONNX", required_unless_present = "teachers")]
    teacher: Vec<PathBuf>,
    /// A YAML list of teachers with name, model, format, spec, trust and class_map; paths start from this file's folder.
    #[arg(long, value_name = "YAML")]
    teachers: Option<PathBuf>,
    /// The student's classes.
    #[arg(long, required = true, value_delimiter = ',', value_name = "CLASS,...")]
    classes: Vec<String>,
    /// Folder of the targets.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Frames labelled at the same time, each on one core; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Boxes with a lower score are dropped. Low on purpose: a student also learns from doubt.
    #[arg(long, default_value_t = EnsembleOptions::default().score_threshold)]
    score_threshold: f32,
    /// Boxes of two teachers that overlap by more than this IoU mean the same object.
    #[arg(long, default_value_t = EnsembleOptions::default().iou_threshold)]
    iou_threshold: f32,
    /// Frames of a part: what an interruption can cost.
    #[arg(long, default_value_t = 200, value_name = "N")]
    part_frames: u64,
    /// Stop after this many frames.
    #[arg(long, value_name = "N")]
    max_frames: Option<u64>,
    /// Label only this machine's share, for instance 1/4.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Throw away the targets that the folder holds.
    #[arg(long)]
    restart: bool,
}

/// Labels, with a progress bar on a terminal and a line every ten seconds elsewhere, and prints a summary.
pub fn run(args: LabelArgs) -> anyhow::Result<Outcome> {
    refuse_lidar(args.data.iter().chain(&args.teachers))?;
    let mut teachers: Vec<TeacherConfig> = args.teacher.iter().map(TeacherConfig::new).collect();
    if let Some(path) = &args.teachers {
        teachers.extend(read_teachers(path)?);
    }
    let sources = args.data.into_iter().map(|path| LabelSource { path, topic: args.topic.clone() }).collect();
    let job = LabelJob {
        options: EnsembleOptions { score_threshold: args.score_threshold, iou_threshold: args.iou_threshold },
        threads: args.threads,
        part_frames: args.part_frames,
        max_frames: args.max_frames,
        shard: args.shard,
        restart: args.restart,
        ..LabelJob::new(sources, teachers, args.classes, &args.out)
    };
    let stop = Arc::new(AtomicBool::new(false));
    let handler = Arc::clone(&stop);
    ctrlc::set_handler(move || handler.store(true, Ordering::Relaxed)).context("cannot listen for Ctrl-C")?;

    let mut display = LabelDisplay::new();
    let result = label(&job, &mut |progress| {
        display.show(progress);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    display.finish();
    let summary = match result {
        Ok(summary) => summary,
        Err(error) if error.is_work_failure() => return Err(WorkFailed(error.to_string()).into()),
        Err(error) => return Err(error.into()),
    };
    print_summary(&summary, &args.out);
    Ok(if summary.lost_data() { Outcome::DataLost } else { Outcome::Done })
}

fn read_teachers(path: &std::path::Path) -> anyhow::Result<Vec<TeacherConfig>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the teachers {}", path.display()))?;
    let mut teachers: Vec<TeacherConfig> =
        serde_yaml::from_str(&text).with_context(|| format!("{} is no list of teachers", path.display()))?;
    let folder = path.parent().unwrap_or(std::path::Path::new(""));
    for file in teachers.iter_mut().flat_map(TeacherConfig::paths_mut) {
        *file = folder.join(&*file);
    }
    Ok(teachers)
}

/// How far a labelling is, on stderr: a bar on a terminal, a line every ten seconds elsewhere.
#[derive(Debug)]
pub struct LabelDisplay {
    bar: Option<ProgressBar>,
    start: Instant,
    last_line: Instant,
}

impl LabelDisplay {
    const LINE_EVERY: Duration = Duration::from_secs(10);

    /// A display that starts now.
    pub fn new() -> Self {
        let start = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            // The template is fixed and right; a wrong one would only cost the looks.
            if let Ok(style) = ProgressStyle::with_template(
                "labelling {bar:30} {pos}/{len} frames  {per_sec}  {msg}  {elapsed} gone, {eta} left",
            ) {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, start, last_line: start }
    }

    /// Shows the progress.
    pub fn show(&mut self, progress: LabelProgress) {
        let labelled = progress.frames - progress.skipped;
        let boxes = format!("{:.1} boxes/frame", progress.boxes as f64 / labelled.max(1) as f64);
        if let Some(bar) = &self.bar {
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
            bar.set_position(progress.frames);
            bar.set_message(boxes);
        } else if self.last_line.elapsed() >= Self::LINE_EVERY {
            self.last_line = Instant::now();
            let seconds = self.start.elapsed().as_secs_f64();
            let rate = labelled as f64 / seconds;
            let total = progress.total.map(|total| {
                let left = total.saturating_sub(progress.frames) as f64 / rate;
                format!(" of {total}, {left:.0} s left")
            });
            errln!("labelling: {} frames{}, {rate:.1} frames/s, {boxes}", progress.frames, total.unwrap_or_default());
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Default for LabelDisplay {
    fn default() -> Self {
        Self::new()
    }
}

fn print_summary(summary: &LabelSummary, out: &std::path::Path) {
    let fresh = summary.frames - summary.kept_frames;
    let kept = match (summary.kept_frames, fresh) {
        (0, _) => String::new(),
        (_, 0) => " (all labelled earlier)".into(),
        (kept, _) => format!(" ({kept} labelled earlier)"),
    };
    let speed = if fresh > 0 && summary.seconds > 0.0 {
        format!(" in {:.1} s, {:.1} frames/s", summary.seconds, fresh as f64 / summary.seconds)
    } else {
        String::new()
    };
    outln!("{} frames{kept}{speed}; targets in {}", summary.frames, out.display());
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_header(["class", "boxes", "score >= 0.3", "teachers' agreement on those"]);
    for class in &summary.classes {
        let agreement = class.mean_agreement().map_or("-".into(), |agreement| format!("{agreement:.2}"));
        table.add_row([
            Cell::new(&class.class),
            right(class.boxes.to_string()),
            right(class.confident.to_string()),
            right(agreement),
        ]);
    }
    outln!("{table}");
    for latency in &summary.latencies {
        outln!("{}: median {:.1} ms a frame on one core", latency.teacher, latency.median_ms);
    }
    if summary.undecodable > 0 {
        outln!("lost: {} frames could not be decoded", summary.undecodable);
    }
    for loss in &summary.losses {
        outln!("lost: {loss}");
    }
}
