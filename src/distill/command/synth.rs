//! `distill synth`: record a synthetic warehouse.

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Outcome, WorkFailed};
use crate::distill::synth::{
    Extras,
    recording::{Settings, Summary, SynthError, record},
};

/// Record a synthetic warehouse: camera, laser scanner, lidar, TF, and the truth about people, forklifts and pallets.
///
///   distill synth --out runs/warehouse                          # one minute, warehouse 1
///   distill synth --out runs/test --seed 2 --seconds 20         # another warehouse, 20 seconds
///   distill synth --out runs/large --width 640 --height 384     # larger pictures
///   distill synth --out runs/five --with cart,cone              # five classes: carts and traffic cones as well
///
/// The bag is a rosbag2 folder (MCAP). The same arguments give the same bytes. Truth lies on /truth/detections_2d (boxes around
/// visible pixels), /truth/detections_3d, /truth/points and /truth/scan_labels (class and object per point). Racks, walls and all
/// else that stands there for good are background, class 0. So are the roll containers and traffic cones that stand about, unless
/// --with makes them objects and adds more of them; people, forklifts and pallets of a --seed are the same with them and without, but
/// that some people then push carts.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct SynthArgs {
    /// The rosbag2 folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many seconds to record.
    #[arg(long, value_name = "N", default_value_t = 60.0)]
    seconds: f64,
    /// Which warehouse: layout, colours, lamps and traffic all follow from this number.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Pictures per second.
    #[arg(long, value_name = "HZ", default_value_t = 10.0)]
    rate: f64,
    /// Width of the pictures in pixels.
    #[arg(long, default_value_t = 320)]
    width: u32,
    /// Height of the pictures in pixels.
    #[arg(long, default_value_t = 192)]
    height: u32,
    /// Objects to add, separated by commas; each is a class of its own in the truth.
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    with: Vec<Extra>,
    /// Publish the camera's mount turned by so many degrees to the left of how it really sits: a wrong calibration, to see who notices.
    #[arg(long, value_name = "DEGREES", default_value_t = 0.0, allow_negative_numbers = true)]
    camera_error: f64,
    /// Replace the recording at --out, if there is one.
    #[arg(long)]
    force: bool,
}

/// What --with adds: see [`Extras`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Extra {
    /// Roll containers and trolleys, parked, or pushed by a person.
    Cart,
    /// Traffic cones of many sizes.
    Cone,
}

/// Records and prints what was recorded.
///
/// # Errors
/// Settings out of range and an occupied `--out` are wrong input; what the disk refuses is [`WorkFailed`].
pub fn run(args: SynthArgs) -> anyhow::Result<Outcome> {
    let SynthArgs { out, seconds, seed, rate, width, height, with, camera_error, force } = args;
    let extras = Extras { carts: with.contains(&Extra::Cart), cones: with.contains(&Extra::Cone) };
    let settings = Settings { seconds, seed, rate, width, height, camera_error, extras };
    let stop = Arc::new(AtomicBool::new(false));
    let on_signal = Arc::clone(&stop);
    // A second handler in one process is refused; then an interrupt ends the program at once, as by default.
    let _ = ctrlc::set_handler(move || on_signal.store(true, Ordering::Relaxed));
    let bar = ProgressBar::new((seconds.clamp(0.0, 1e6) * 10.0) as u64);
    bar.set_style(
        ProgressStyle::with_template(
            "{spinner} recording {bar:32} {percent:>3} %  {elapsed_precise} gone, {eta} left",
        )?
        .progress_chars("=> "),
    );
    let start = Instant::now();
    let result = record(&settings, &out, force, |share| {
        bar.set_position((share * seconds * 10.0) as u64);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    let summary = result.map_err(|error| match error {
        SynthError::Setting { .. } | SynthError::Occupied { .. } => anyhow::Error::new(error),
        other => anyhow::Error::new(WorkFailed(other.to_string())),
    })?;
    print(&summary, &out, &settings, start.elapsed().as_secs_f64());
    Ok(Outcome::Done)
}

fn print(summary: &Summary, out: &std::path::Path, settings: &Settings, wall: f64) {
    outln!(
        "{}: {:.1} MB, {} s of warehouse {}",
        out.display(),
        summary.bytes as f64 / 1e6,
        settings.seconds,
        settings.seed
    );
    outln!(
        "  {} pictures of {} x {}, {} scans, {} clouds",
        summary.frames,
        settings.width,
        settings.height,
        summary.scans,
        summary.clouds
    );
    for (class, count) in &summary.classes {
        outln!(
            "  {:<9} {:>6} boxes, in {:>3.0} % of the pictures",
            class.name(),
            count.boxes,
            100.0 * count.frames as f64 / summary.frames.max(1) as f64
        );
    }
    outln!("  recorded in {wall:.1} s, {:.1} times real time", settings.seconds / wall.max(1e-9));
    outln!("next: distill inspect {}", out.display());
}
