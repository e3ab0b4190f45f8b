//! `distill bench`: what models cost on this board.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use image::RgbImage;

use super::{BenchInputs, BenchJob, Plan, Subject, Until, clock, measure};
use crate::{
    command_line::{Outcome, WorkFailed},
    model::{ExecutionProvider, SessionOptions, bundle::Task},
    recording::durable,
    sensing::range_image::Sweep,
};

/// All models run for so long before anything counts.
const WARM_UP: Duration = Duration::from_millis(500);
/// Runs of a model in a round that count.
const RUNS: usize = 4;
/// Inputs that are taken from a recording, about: spread over it.
pub const RECORDED_INPUTS: usize = 16;

/// Measure what models cost on this board: time of each stage, models in turn, with what must be known of the board.
///
///   distill bench --model student.onnx
///   distill bench --model yolox_nano_416.onnx --model student.onnx --json pi5.json
///
/// Bundles for cameras and lidars can be measured, and foreign ONNX detectors with a YAML beside them. It needs no ROS and none of the
/// workshop: a build with `--no-default-features --features bench` has this command alone, and a robot's build (`--features ros`) has it,
/// too. Run it on the board, take the JSON home, and put the board's figures beside the accuracy of the run:
///
///   distill report runs/indoor_person --bench pi5.json --bench orin.json
///
/// Models take turns of a few runs, forwards and backwards, so that a machine that slows down slows all alike: each time is compared with
/// that of the first model in the same round. Those ratios are told first and with their quartiles; times hang on whatever else the
/// machine does. Every run has the same inputs, so that all but the times comes out the same again.
///
/// Pictures and sweeps are made, of a size that you name, or those of a recording or a folder of images (a build without the workshop
/// reads folders of images alone):
///
///   distill bench --model student.onnx --size 1280x720
///   distill bench --model student.onnx --data my_bag --topic /camera/image_raw
///   distill bench --model legs.onnx --data my_bag --topic /scan
///
/// With more threads, or what your ONNX Runtime brings for the board; where that cannot be used, the CPU computes, which the table tells:
///
///   distill bench --model student.onnx --threads 4
///   distill bench --model student.onnx --provider xnnpack
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct BenchArgs {
    /// A model to measure; may be given several times, the others are compared with the first.
    #[arg(long, required = true, value_name = "MODEL.onnx")]
    model: Vec<PathBuf>,
    /// Threads that work on one inference.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// What computes the networks.
    #[arg(long, default_value = "cpu", value_parser = providers())]
    provider: ExecutionProvider,
    /// Run on frames of this bag or folder of images, not on made ones.
    #[arg(long, value_name = "BAG_OR_FOLDER", conflicts_with_all = ["size", "sweep_size"])]
    data: Option<PathBuf>,
    /// The topic of the frames, where the bag has several.
    #[arg(long, requires = "data")]
    topic: Option<String>,
    /// Size of made pictures in pixels.
    #[arg(long, default_value = "640x480", value_name = "WIDTHxHEIGHT", value_parser = image_size)]
    size: (u32, u32),
    /// Rows and columns of made sweeps; by default those of each model's range image.
    #[arg(long, value_name = "ROWSxCOLUMNS", value_parser = sweep_size)]
    sweep_size: Option<(usize, usize)>,
    /// Measure for about so long, all models together.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// Measure so many rounds, however long they take.
    #[arg(long, conflicts_with = "seconds", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rounds: Option<u32>,
    /// What the board is called in reports; by default what it calls itself, or its processor's name.
    #[arg(long)]
    board: Option<String>,
    /// Write the figures to this file, too.
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
}

/// Inputs out of a recording.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// Pictures.
    pub images: Vec<RgbImage>,
    /// Sweeps.
    pub sweeps: Vec<Sweep>,
    /// What of the recording could not be read, in words.
    pub loss: Option<String>,
}

/// Reads about [`RECORDED_INPUTS`] inputs of a task from a recording or folder, spread over it; a topic may be named.
pub type ReadInputs<'r> = &'r dyn Fn(Task, &Path, Option<&str>) -> anyhow::Result<Recorded>;

/// Measures and prints. How recordings are read is the caller's, since not every build can.
///
/// # Errors
/// A model cannot be run, the recording cannot be read, or the figures cannot be written.
pub fn run(args: &BenchArgs, read: ReadInputs<'_>) -> anyhow::Result<Outcome> {
    let options =
        SessionOptions { threads: usize::from(args.threads), provider: args.provider, ..SessionOptions::default() };
    let mut subjects = Vec::with_capacity(args.model.len());
    for path in &args.model {
        subjects.push(Subject::load(path, &options)?);
    }
    let (inputs, loss) = match &args.data {
        Some(data) => recorded(data, args.topic.as_deref(), &subjects, read)?,
        None => (BenchInputs::Made { image: args.size, sweep: args.sweep_size }, None),
    };
    let until = match args.rounds {
        Some(rounds) => Until::Rounds(rounds as usize),
        None => Until::Time(Duration::from_secs_f64(args.seconds)),
    };
    // One model alone finds the caches as it left them.
    let plan = Plan { warm_up: WARM_UP, settling: usize::from(subjects.len() > 1), counted: RUNS, until };
    let job = BenchJob { options, inputs, plan, board: args.board.clone() };
    let report = measure(subjects, &job, &mut clock())?;
    out!("{}", report.to_text());
    if let Some(path) = &args.json {
        durable::write_bytes(path, report.to_json().as_bytes())
            .map_err(|error| WorkFailed(format!("{}: {error}", path.display())))?;
        outln!("{}", path.display());
    }
    Ok(match loss {
        Some(loss) => {
            errln!("warning: part of the recording could not be read: {loss}");
            Outcome::DataLost
        }
        None => Outcome::Done,
    })
}

/// The inputs of a recording that the models look at, and what of it could not be read.
fn recorded(
    data: &Path,
    topic: Option<&str>,
    subjects: &[Subject],
    read: ReadInputs<'_>,
) -> anyhow::Result<(BenchInputs, Option<String>)> {
    let tasks: Vec<Task> = [Task::CameraDetection, Task::LidarDetection]
        .into_iter()
        .filter(|task| subjects.iter().any(|subject| subject.task() == *task))
        .collect();
    if let (Some(topic), [camera, lidar]) = (topic, tasks.as_slice()) {
        bail!("--topic {topic} cannot be for models of {camera} and of {lidar}; measure them one after the other");
    }
    let mut all = Recorded::default();
    for task in tasks {
        let found = read(task, data, topic).with_context(|| data.display().to_string())?;
        all.images.extend(found.images);
        all.sweeps.extend(found.sweeps);
        all.loss = all.loss.or(found.loss);
    }
    let place = topic.map_or_else(String::new, |topic| format!(" {topic}"));
    let source = format!("{}{place}", data.display());
    Ok((BenchInputs::Recorded { source, images: all.images, sweeps: all.sweeps }, all.loss))
}

/// The names of all execution providers.
fn providers() -> impl TypedValueParser<Value = ExecutionProvider> {
    PossibleValuesParser::new(ExecutionProvider::ALL.map(ExecutionProvider::name))
        .try_map(|name| name.parse::<ExecutionProvider>())
}

/// Two whole numbers from 1 to `most` with an x between them.
fn two_numbers(text: &str, most: u32) -> Result<(u32, u32), String> {
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| (1..=most).contains(number));
    let split = text.split_once(['x', 'X']);
    split
        .and_then(|(first, second)| Some((number(first)?, number(second)?)))
        .ok_or_else(|| format!("two numbers from 1 to {most} with an x between them are wanted, such as 640x480"))
}

fn image_size(text: &str) -> Result<(u32, u32), String> {
    two_numbers(text, 8192)
}

fn sweep_size(text: &str) -> Result<(usize, usize), String> {
    two_numbers(text, 1 << 16).map(|(rows, columns)| (rows as usize, columns as usize))
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is wanted".to_owned())?;
    if seconds > 0.0 && seconds <= 86_400.0 { Ok(seconds) } else { Err("it must be above 0 and at most 86400".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_seconds_are_what_they_say_or_refused() {
        assert_eq!((image_size("640x480"), sweep_size("16X1024")), (Ok((640, 480)), Ok((16, 1024))));
        for wrong in ["640", "0x480", "640x", "9000x480", "-1x5", "640x480x3", ""] {
            assert!(image_size(wrong).is_err_and(|reason| reason.contains("640x480")), "{wrong}");
        }
        assert_eq!(seconds("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "1e9", "ten"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
