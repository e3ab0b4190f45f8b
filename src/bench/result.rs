//! The figures of a board, as JSON and as tables.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{BenchError, Machine, turns::Ratios};
use crate::{
    figure_table::FigureTable,
    metrics::{LatencySummary, Quartiles},
    model::{ExecutionProvider, bundle::Task},
};

/// The version of [`BenchReport`] that this package writes and reads.
pub const BENCH_VERSION: u32 = 1;

/// What some models cost on one board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchReport {
    /// Version of this form, [`BENCH_VERSION`].
    pub bench_version: u32,
    /// Version of this package that measured.
    pub crate_version: String,
    /// What the board is called.
    pub board: String,
    /// What is known of it.
    pub machine: Machine,
    /// What ran the networks.
    pub runtime: RuntimeFacts,
    /// The execution provider that was asked for; see [`BenchedModel::provider`] for what computed.
    pub provider: ExecutionProvider,
    /// Threads that worked on one inference.
    pub threads: usize,
    /// What the models ran on.
    pub inputs: InputFacts,
    /// Rounds in which the models took turns.
    pub rounds: usize,
    /// Runs of each model in a round that count.
    pub runs_per_round: usize,
    /// The models in the order they were named; ratios are to the first.
    pub models: Vec<BenchedModel>,
}

/// ONNX Runtime as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuntimeFacts {
    /// Its version, where it tells.
    pub version: Option<String>,
    /// What it says of its build.
    pub build: Option<String>,
}

/// What models ran on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InputFacts {
    /// `made`, or the recording and its topic.
    pub source: String,
    /// Number of images, 0 where no camera's model ran.
    pub images: usize,
    /// Their sizes in pixels: width, height.
    pub image_sizes: Vec<[u32; 2]>,
    /// Number of sweeps for each model, 0 where no lidar's model ran.
    pub sweeps: usize,
    /// The numbers of points that they have.
    pub sweep_points: Vec<usize>,
}

/// The figures of one model on a board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchedModel {
    /// What it is called.
    pub name: String,
    /// Its file.
    pub path: String,
    /// SHA-256 of the file, hexadecimal: which model it is, wherever it lies.
    pub sha256: String,
    /// What it does.
    pub task: Task,
    /// What computed it: the provider that was asked for, or the CPU where that could not be used.
    pub provider: ExecutionProvider,
    /// Shape of the network's input: channels, height, width.
    pub input_shape: [usize; 3],
    /// Size of the file.
    pub bytes: u64,
    /// Learnt parameters in it.
    pub parameters: u64,
    /// Multiply-accumulates of one inference, where it is a bundle that knows them.
    pub macs: Option<u64>,
    /// Objects found in an input, the mean over all inputs. A model that finds nothing anywhere has nothing to decode.
    pub found_per_input: f64,
    /// Its times as multiples of the first model's.
    pub ratio: Option<Ratios>,
    /// From input to result.
    pub whole_ms: Option<LatencySummary>,
    /// Input to the network's tensor.
    pub preprocess_ms: Option<LatencySummary>,
    /// The network alone.
    pub infer_ms: Option<LatencySummary>,
    /// The network's outputs to what was found.
    pub decode_ms: Option<LatencySummary>,
}

impl BenchReport {
    /// Reads the figures that `distill bench --json` wrote.
    ///
    /// # Errors
    /// The file cannot be read, is none of figures, or of another version.
    pub fn read(path: &Path) -> Result<Self, BenchError> {
        #[derive(Deserialize)]
        struct Version {
            bench_version: u32,
        }
        let damaged =
            |error: serde_json::Error| BenchError::Damaged { path: path.to_path_buf(), message: error.to_string() };
        let json = std::fs::read(path).map_err(|source| BenchError::Read { path: path.to_path_buf(), source })?;
        // Only the version is read of another version: the rest may have any form.
        let Version { bench_version } = serde_json::from_slice(&json).map_err(damaged)?;
        if bench_version != BENCH_VERSION {
            return Err(BenchError::Version { path: path.to_path_buf(), found: bench_version });
        }
        serde_json::from_slice(&json).map_err(damaged)
    }

    /// The figures as JSON for people and programs.
    pub fn to_json(&self) -> String {
        // Serialising fails only for maps with keys that are not strings, and there are none.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// What ran the models, in words: `ONNX Runtime 1.32.0, cpu, 1 thread`.
    pub fn runtime_text(&self) -> String {
        let version = self.runtime.version.as_deref().unwrap_or("of unknown version");
        let threads = if self.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", self.threads) };
        format!("ONNX Runtime {version}, {}, {threads}", self.provider)
    }

    /// What they ran on, in words.
    fn inputs_text(&self) -> String {
        let inputs = &self.inputs;
        let mut parts = Vec::new();
        if inputs.images > 0 {
            let sizes: Vec<String> =
                inputs.image_sizes.iter().map(|[width, height]| format!("{width}x{height}")).collect();
            parts.push(format!("{} images of {}", inputs.images, sizes.join(" and ")));
        }
        if inputs.sweeps > 0 {
            let points: Vec<String> = inputs.sweep_points.iter().map(usize::to_string).collect();
            let points = match points.as_slice() {
                [least, .., most] if points.len() > 3 => format!("{least} to {most}"),
                _ => points.join(" or "),
            };
            parts.push(format!("{} sweeps of {points} points", inputs.sweeps));
        }
        format!("{} ({})", parts.join(", "), inputs.source)
    }

    /// Each model against the first, which means the most, and what it is.
    pub fn ratio_table(&self) -> FigureTable {
        let header = [
            "model",
            "input",
            "whole, x the first",
            "network, x the first",
            "kB",
            "k parameters",
            "MMAC",
            "found per input",
        ];
        let mut table = FigureTable::new(2, &header);
        for model in &self.models {
            let shape = model.input_shape.map(|size| size.to_string()).join("x");
            table.add(
                &[&model.name, &shape],
                &[
                    quartiles(model.ratio.map(|ratio| ratio.whole)),
                    quartiles(model.ratio.map(|ratio| ratio.infer)),
                    format!("{:.1}", model.bytes as f64 / 1e3),
                    format!("{:.1}", model.parameters as f64 / 1e3),
                    model.macs.map_or_else(|| "-".to_owned(), |macs| format!("{:.1}", macs as f64 / 1e6)),
                    format!("{:.1}", model.found_per_input),
                ],
            );
        }
        table
    }

    /// The times of each stage.
    pub fn time_table(&self) -> FigureTable {
        let mut table = FigureTable::new(2, &["model", "stage", "median ms", "p90 ms", "p99 ms"]);
        for model in &self.models {
            let stages = [
                ("whole", model.whole_ms),
                ("preprocess", model.preprocess_ms),
                ("network", model.infer_ms),
                ("decode", model.decode_ms),
            ];
            for (stage, times) in stages {
                let of = |pick: fn(LatencySummary) -> f64| {
                    times.map_or_else(|| "-".to_owned(), |t| format!("{:.3}", pick(t)))
                };
                table.add(&[&model.name, stage], &[of(|t| t.p50), of(|t| t.p90), of(|t| t.p99)]);
            }
        }
        table
    }

    /// The report for people.
    pub fn to_text(&self) -> String {
        let mut text = format!("board    {}\n", self.board);
        text.push_str(&format!("machine  {}\n", self.machine.to_text()));
        text.push_str(&format!("         {}\n", self.machine.int8_text()));
        text.push_str(&format!("runtime  {}\n", self.runtime_text()));
        text.push_str(&format!("inputs   {}\n", self.inputs_text()));
        for model in self.models.iter().filter(|model| model.provider != self.provider) {
            text.push_str(&format!(
                "warning  {} was computed by {}, not {}\n",
                model.name, model.provider, self.provider
            ));
        }
        text.push_str(&format!("\n{}\n", self.ratio_table()));
        text.push_str(&format!(
            "x the first: time as a multiple of that of {}, below 1 is faster: the median over {} rounds in which the models took turns \
             ({} runs each), and the quartiles.\n\n",
            self.models.first().map_or("the first model", |model| model.name.as_str()),
            self.rounds,
            self.runs_per_round
        ));
        text.push_str(&format!("{}\n", self.time_table()));
        text.push_str("Times hang on what else the machine does meanwhile; believe the ratios before them.\n");
        text
    }
}

/// `0.42 (0.41-0.44)`, or a dash.
fn quartiles(found: Option<Quartiles>) -> String {
    let text = |found: Quartiles| format!("{:.3} ({:.3}-{:.3})", found.median, found.lower, found.upper);
    found.map_or_else(|| "-".to_owned(), text)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A board with these models: name, SHA-256, milliseconds, and times the first's.
    pub(crate) fn example(board: &str, models: &[(&str, &str, f64)]) -> BenchReport {
        let first = models.first().map_or(1.0, |model| model.2);
        let model = |&(name, sha256, ms): &(&str, &str, f64)| {
            let times = |share: f64| {
                let ms = ms * share;
                Some(LatencySummary { p50: ms, p90: 1.5 * ms, p95: 1.75 * ms, p99: 2.0 * ms, max: 3.0 * ms })
            };
            let ratio = Quartiles { lower: 0.875 * ms / first, median: ms / first, upper: 1.125 * ms / first };
            BenchedModel {
                name: name.into(),
                path: format!("{name}.onnx"),
                sha256: sha256.into(),
                task: Task::CameraDetection,
                provider: ExecutionProvider::Cpu,
                input_shape: [3, 192, 320],
                bytes: 480_000,
                parameters: 120_000,
                macs: Some(93_000_000),
                found_per_input: 1.5,
                ratio: Some(Ratios { whole: ratio, infer: ratio }),
                whole_ms: times(1.0),
                preprocess_ms: times(0.25),
                infer_ms: times(0.5),
                decode_ms: times(0.125),
            }
        };
        BenchReport {
            bench_version: BENCH_VERSION,
            crate_version: "0.1.0".into(),
            board: board.into(),
            machine: Machine::here(),
            runtime: RuntimeFacts { version: Some("1.32.0".into()), build: None },
            provider: ExecutionProvider::Cpu,
            threads: 1,
            inputs: InputFacts {
                source: "made".into(),
                images: 8,
                image_sizes: vec![[640, 480]],
                ..InputFacts::default()
            },
            rounds: 20,
            runs_per_round: 4,
            models: models.iter().map(model).collect(),
        }
    }

    #[test]
    fn figures_come_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pi5.json");
        let report = example("Raspberry Pi 5", &[("teacher", "aa", 8.0), ("student", "bb", 2.0)]);
        std::fs::write(&path, report.to_json()).unwrap();
        assert_eq!(BenchReport::read(&path).unwrap(), report);

        // What others add to the file is passed over; what is of another version is not read.
        let mut json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        json["commit"] = "abc".into();
        std::fs::write(&path, json.to_string()).unwrap();
        assert_eq!(BenchReport::read(&path).unwrap(), report);
        std::fs::write(&path, r#"{"bench_version": 2, "models": 7}"#).unwrap();
        let error = BenchReport::read(&path).unwrap_err().to_string();
        assert!(error.contains("version 2") && error.contains("measure again"), "{error}");
        for other in ["{}", "ROSBAG", r#"{"bench_version": 1}"#] {
            std::fs::write(&path, other).unwrap();
            let error = BenchReport::read(&path).unwrap_err().to_string();
            assert!(error.contains("pi5.json") && error.contains("distill bench --json"), "{error}");
        }
        assert!(matches!(BenchReport::read(folder.path()), Err(BenchError::Read { .. })));
    }

    #[test]
    fn the_text_tells_ratios_before_times() {
        let mut report = example("Raspberry Pi 5", &[("teacher", "aa", 8.0), ("student", "bb", 2.0)]);
        report.models[1].provider = ExecutionProvider::Xnnpack;
        let text = report.to_text();
        for words in [
            "board    Raspberry Pi 5",
            "ONNX Runtime 1.32.0, cpu, 1 thread",
            "8 images of 640x480 (made)",
            "student was computed by xnnpack, not cpu",
            "0.250 (0.219-0.281)",
            "3x192x320",
            "multiple of that of teacher",
            "over 20 rounds",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.find("0.250 (").unwrap() < text.find("16.000").unwrap(), "{text}");
        report.models[1].ratio = None;
        report.models[1].macs = None;
        assert!(report.to_text().contains(" - "));
    }

    #[test]
    fn many_sizes_of_sweeps_are_told_as_a_range() {
        let mut report = example("x", &[]);
        report.inputs = InputFacts { sweeps: 8, sweep_points: vec![90, 100, 110, 360], ..report.inputs };
        report.inputs.images = 0;
        assert_eq!(report.inputs_text(), "8 sweeps of 90 to 360 points (made)");
        report.inputs.sweep_points.truncate(2);
        assert_eq!(report.inputs_text(), "8 sweeps of 90 or 100 points (made)");
    }
}
