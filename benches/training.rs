//! Our half of scripts/bench-training: trains a student on one batch again and again. It writes what PyTorch's half needs to do
//! the same (weights, images, boxes, settings) into a folder, then obeys commands on standard input, each answered with one
//! line of JSON:
//!
//! ```text
//! steps N      trains N steps: {"seconds": s, "losses": [...]}
//! operators    times single operators, forward and backward: {"operators": {name: milliseconds}}
//! memory       {"peak_bytes": b}       of this process: a graphics card's own memory is not in it
//! ```
//!
//! The number of threads is RAYON_NUM_THREADS, as in `distill train`.

use std::{
    io::{BufRead, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, bail};
use burn::{
    module::{Module, ModuleVisitor, Param},
    nn::{
        BatchNormConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{Device, Distribution, Tensor},
};
use clap::Parser;
use distilled_perception::distill::{
    allocator::{MiMalloc, keep_freed_memory},
    config::TrainConfig,
    loss::{LossConfig, TargetBox},
    student::{
        CameraStudent, Convolution, Size, StudentConfig,
        operator::{After, convolve, normalize},
    },
    train::{Batch, Step, TrainStep, Tutoring},
};
use distilled_perception::geometry::Box2;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;
use serde_json::json;

/// As in `distill`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Trains a student on one batch, commanded from standard input.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where weights.bin, images.bin and student.json are written.
    folder: PathBuf,
    /// micro, small or base.
    #[arg(long, default_value = "small", value_parser = parse::<Size>)]
    size: Size,
    /// plain or depthwise.
    #[arg(long, default_value = "plain", value_parser = parse::<Convolution>)]
    convolution: Convolution,
    /// Images of a batch.
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Shards that it is cut into (train.shards).
    #[arg(long, default_value_t = TrainConfig::default().shards)]
    shards: usize,
    #[arg(long, default_value_t = 320)]
    width: usize,
    #[arg(long, default_value_t = 192)]
    height: usize,
    /// Where it is computed.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Compute with burn's own operators, for comparison. (Ours know nothing of gradient checkpointing, so that is switched on;
    /// it keeps what is costly to compute, as convolutions are. Shards know nothing of it either: the batch stays whole.)
    #[arg(long)]
    burn: bool,
    /// cargo's mark of a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_value(text.into())
}

const SEED: u64 = 1;
const OPERATOR_RUNS: usize = 15;

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Operator {
    Convolution { channels_out: usize, kernel: usize, stride: usize, groups: usize },
    Norm,
    NormRelu,
}

#[derive(Debug, Clone, Serialize)]
struct OperatorCase {
    name: String,
    input: [usize; 3],
    #[serde(flatten)]
    operator: Operator,
}

/// The students' own operators.
fn operators() -> Vec<OperatorCase> {
    let convolution = |ins, outs, kernel, stride, groups, height, width| OperatorCase {
        name: match groups {
            1 => format!("{kernel}x{kernel} convolution {ins}->{outs}, stride {stride}, of {height}x{width}"),
            _ => format!("{kernel}x{kernel} depthwise convolution {ins}, stride {stride}, of {height}x{width}"),
        },
        input: [ins, height, width],
        operator: Operator::Convolution { channels_out: outs, kernel, stride, groups },
    };
    let norm = |operator, channels, height, width| OperatorCase {
        name: match operator {
            Operator::NormRelu => format!("BatchNorm + ReLU {channels}x{height}x{width}"),
            _ => format!("BatchNorm {channels}x{height}x{width}"),
        },
        input: [channels, height, width],
        operator,
    };
    vec![
        convolution(16, 24, 3, 2, 1, 96, 160),
        convolution(40, 40, 3, 1, 1, 24, 40),
        convolution(96, 96, 3, 1, 1, 6, 10),
        convolution(24, 32, 1, 1, 1, 48, 80),
        convolution(96, 64, 1, 1, 1, 12, 20),
        convolution(96, 96, 3, 1, 96, 24, 40),
        convolution(16, 16, 3, 2, 16, 96, 160),
        norm(Operator::Norm, 64, 48, 80),
        norm(Operator::NormRelu, 64, 48, 80),
    ]
}

fn main() -> anyhow::Result<()> {
    keep_freed_memory();
    let arguments = Arguments::parse();
    let device = distilled_perception::distill::train::device(&arguments.device)?.autodiff();
    let device = if arguments.burn { device.gradient_checkpointing() } else { device };
    let classes = vec!["person".to_owned(), "forklift".to_owned()];
    let config = StudentConfig {
        convolution: arguments.convolution,
        ..StudentConfig::new(arguments.size, classes, arguments.width, arguments.height)
    };
    let student = CameraStudent::new(&config, SEED, &device)?;
    let mut random = Pcg64Mcg::seed_from_u64(SEED);
    let targets: Vec<Vec<TargetBox>> = (0..arguments.batch).map(|_| boxes(&mut random, &config)).collect();
    let images = paint(&mut random, &config, &targets);
    let shards = if arguments.burn { 1 } else { arguments.shards };
    let train = TrainConfig { batch: arguments.batch, shards, ..TrainConfig::default() };
    let losses = LossConfig::default();
    write_setup(&arguments, &config, &student, &images, &targets, &train, &losses)?;
    let parameters = student.num_params();
    let mut step = TrainStep::new(student, &config, &train, &losses, Tutoring::default(), SEED, &device)?;
    let shape = [arguments.batch, 3, arguments.height, arguments.width];

    let mut output = std::io::stdout().lock();
    let threads = rayon::current_num_threads();
    let ready = format!("{parameters} parameters, {threads} threads");
    writeln!(output, "{}", json!({"ready": ready, "seed": SEED}))?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["steps", count] => {
                let count: usize = count.parse().context("steps N")?;
                let start = Instant::now();
                let mut found = Vec::with_capacity(count);
                for _ in 0..count {
                    let (images, targets) = (images.clone(), targets.clone());
                    let mut batch = Batch { images, shape, targets, ..Batch::default() };
                    match step.run(&mut batch, train.learning_rate, 0.0) {
                        Step::Taken { losses, .. } => found.push(losses.total),
                        Step::NotFinite { what } => bail!("{what}"),
                    }
                }
                wait_for(&device);
                json!({"seconds": start.elapsed().as_secs_f64(), "losses": found})
            }
            ["operators"] => {
                let times = operators().into_iter().map(|case| {
                    let time = time_operator(&case, arguments.batch, &device);
                    (case.name, json!(time))
                });
                json!({"operators": times.collect::<serde_json::Map<_, _>>()})
            }
            ["memory"] => json!({"peak_bytes": peak_bytes()}),
            _ => bail!("unknown command {line:?}"),
        };
        writeln!(output, "{answer}")?;
    }
    Ok(())
}

/// One to three boxes, each of one class, none of them small.
fn boxes(random: &mut impl Rng, config: &StudentConfig) -> Vec<TargetBox> {
    let (width, height) = (config.width as f32, config.height as f32);
    (0..random.random_range(1..=3))
        .map(|_| {
            let (w, h) = (random.random_range(0.1..0.4) * width, random.random_range(0.2..0.7) * height);
            let (x, y) = (random.random_range(0.0..width - w), random.random_range(0.0..height - h));
            let mut probabilities = vec![0.02; config.classes.len()];
            let class = random.random_range(0..config.classes.len());
            probabilities[class] = random.random_range(0.6..1.0);
            TargetBox { bbox: Box2::new(x, y, x + w, y + h), probabilities, weight: 1.0 }
        })
        .collect()
}

/// Noise with brighter rectangles where the boxes are.
fn paint(random: &mut impl Rng, config: &StudentConfig, targets: &[Vec<TargetBox>]) -> Vec<f32> {
    let area = config.width * config.height;
    let mut pixels: Vec<f32> = (0..targets.len() * 3 * area).map(|_| random.random_range(-1.0..1.0)).collect();
    for (planes, boxes) in pixels.chunks_exact_mut(3 * area).zip(targets) {
        for (channel, plane) in planes.chunks_exact_mut(area).enumerate() {
            for target in boxes {
                let class = usize::from(target.probabilities[1] > 0.5);
                let Box2 { x_min, y_min, x_max, y_max } = target.bbox;
                for row in y_min as usize..y_max as usize {
                    let line = &mut plane[row * config.width..][x_min as usize..x_max as usize];
                    line.iter_mut().for_each(|value| *value += if channel == class { 1.5 } else { -0.5 });
                }
            }
        }
    }
    pixels
}

fn write_setup(
    arguments: &Arguments,
    config: &StudentConfig,
    student: &CameraStudent,
    images: &[f32],
    targets: &[Vec<TargetBox>],
    train: &TrainConfig,
    losses: &LossConfig,
) -> anyhow::Result<()> {
    let mut lister = Lister::default();
    student.visit(&mut lister);
    let boxes = |boxes: &Vec<TargetBox>| -> Vec<serde_json::Value> {
        let corners = |b: Box2| [b.x_min, b.y_min, b.x_max, b.y_max];
        boxes.iter().map(|b| json!({"bbox": corners(b.bbox), "probabilities": b.probabilities})).collect()
    };
    let widths = config.size.widths();
    let setup = json!({
        "width": config.width, "height": config.height, "batch": arguments.batch, "bins": config.bins,
        "classes": config.classes, "separable": config.convolution == Convolution::Depthwise,
        "widths": {
            "stem": widths.stem, "stages": widths.stages, "depths": widths.depths, "neck": widths.neck,
            "smooth_finest": widths.smooth_finest,
        },
        "learning_rate": train.learning_rate, "weight_decay": train.weight_decay, "clip": train.clip, "ema": train.ema,
        "losses": losses, "weights": lister.entries, "targets": targets.iter().map(boxes).collect::<Vec<_>>(),
        "operators": operators(), "operator_runs": OPERATOR_RUNS,
    });
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    write_floats(&folder.join("weights.bin"), &lister.values)?;
    write_floats(&folder.join("images.bin"), images)?;
    let path = folder.join("student.json");
    std::fs::write(&path, setup.to_string()).with_context(|| format!("{}", path.display()))
}

fn write_floats(path: &Path, values: &[f32]) -> anyhow::Result<()> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(path, bytes).with_context(|| format!("{}", path.display()))
}

/// Lists the student's float parameters by name.
#[derive(Debug, Default)]
struct Lister {
    path: Vec<String>,
    entries: Vec<serde_json::Value>,
    values: Vec<f32>,
}

impl ModuleVisitor for Lister {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        self.entries.push(json!({"name": self.path.join("."), "shape": tensor.dims().as_slice()}));
        self.values.extend(tensor.into_data().convert::<f32>().try_into_vec::<f32>().expect("converted to f32"));
    }
}

/// Best of some runs, forward and backward, in milliseconds.
fn time_operator(case: &OperatorCase, batch: usize, device: &Device) -> f64 {
    let [channels, height, width] = case.input;
    let input =
        Tensor::<4>::random([batch, channels, height, width], Distribution::Normal(0.0, 1.0), device).require_grad();
    let run: Box<dyn Fn(Tensor<4>) -> Tensor<4>> = match case.operator {
        Operator::Convolution { channels_out, kernel, stride, groups } => {
            let layer: Conv2d = Conv2dConfig::new([channels, channels_out], [kernel, kernel])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(kernel / 2, kernel / 2, kernel / 2, kernel / 2))
                .with_groups(groups)
                .with_bias(false)
                .init(device);
            Box::new(move |input| convolve(&layer, input))
        }
        Operator::Norm | Operator::NormRelu => {
            let layer = BatchNormConfig::new(channels).init(device);
            let rectified = matches!(case.operator, Operator::NormRelu);
            Box::new(move |input| normalize(&layer, input, After { added: None, rectified }))
        }
    };
    (0..OPERATOR_RUNS)
        .map(|_| {
            wait_for(device);
            let start = Instant::now();
            let gradients = run(input.clone()).backward();
            let gradient = input.grad(&gradients);
            assert!(gradient.is_some(), "an operator has an input gradient");
            wait_for(device);
            start.elapsed().as_secs_f64() * 1e3
        })
        .fold(f64::INFINITY, f64::min)
}

/// Waits until all that was asked of a device is done. Graphics cards are only told what to do; the CPU has always done it already.
fn wait_for(device: &Device) {
    device.sync().expect("what a device is asked for can be computed");
}

/// The most memory that the process held at a time.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
