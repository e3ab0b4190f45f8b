//! The sections of an experiment that training owns, with their defaults.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::distill::{
    compress::quantize::WeightRange,
    split::Block,
    student::{Channels, Convolution, Size},
    train::{DEVICES, device},
};

/// A wrong value: its key and what is wrong with it.
pub(in crate::distill) type Complaint = (&'static str, String);

/// Nobody has more cores to give to one process.
pub(super) const MOST_THREADS: usize = 1024;

/// One recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A rosbag2 folder, a folder of parts that a robot recorded, a single `.mcap` or `.db3` file, or a folder of images. With `*`, `?` or `[..]` it
    /// stands for each recording that fits, each as an entry of its own.
    pub path: PathBuf,
    /// The image topic; may be left out when the recording has one only.
    #[serde(default)]
    pub topic: Option<String>,
    /// Where the recording's own truth is, when it has one.
    #[serde(default)]
    pub truth: Option<TruthConfig>,
    /// Gives the whole recording to one block instead of cutting it in time.
    #[serde(default)]
    pub block: Option<Block>,
    /// Nobody labels this recording: the average of the student's own weights does, while it trains
    /// (`distillation.self_training`). All of it is for training. Unlabelled recordings stand last.
    #[serde(default)]
    pub unlabelled: bool,
}

impl DataConfig {
    /// What is read of it: the recording, and a file of its truth.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let coco = self.truth.as_ref().filter(|truth| truth.topic.is_none()).and_then(|truth| truth.coco.as_ref());
        std::iter::once(&self.path).chain(coco)
    }
}

/// Where a recording's truth is: one of `truth: {topic: /camera/truth}` and `truth: {coco: instances.json}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TruthConfig {
    /// A `vision_msgs/Detection2DArray` topic of the recording.
    pub topic: Option<String>,
    /// A COCO `instances` JSON file.
    pub coco: Option<PathBuf>,
}

/// What the student learns from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetSource {
    /// From what the teachers say (distillation).
    #[default]
    Teachers,
    /// From the recordings' own truth, each box with probability 1 (training without teachers).
    Truth,
}

/// The student network; its classes are the experiment's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StudentSection {
    /// `micro`, `small` or `base`. Default `micro`.
    pub size: Size,
    /// `plain` or `depthwise`. Default `plain`.
    pub convolution: Convolution,
    /// Input width in pixels, a multiple of 32. Default 320.
    pub width: usize,
    /// Input height in pixels, a multiple of 32. Default 192.
    pub height: usize,
    /// Channels of every group that is independent in the network, instead of those of the size, whose depths stay: what
    /// `distill prune` leaves. `{stem: 12, stages: [20, 32, 48, 72], neck: 24, class_towers: [24, 28, 32], box_towers: [16, 24, 32]}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
    /// Folder of an earlier run whose student, at least as large, this one starts from: every n-th layer and channel of it
    /// (DistilBERT, Sanh et al. 2019), or all of it when they are equal. Without, weights are drawn by the seed.
    pub inherit: Option<PathBuf>,
}

impl Default for StudentSection {
    fn default() -> Self {
        Self {
            size: Size::default(),
            convolution: Convolution::default(),
            width: 320,
            height: 192,
            channels: None,
            inherit: None,
        }
    }
}

/// How weights follow gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// AdamW (Loshchilov and Hutter 2019), betas 0.9 and 0.999.
    #[default]
    AdamW,
    /// Stochastic gradient descent with Nesterov momentum 0.9.
    Sgd,
}

/// Epochs, optimiser, checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// How often every training frame is seen. Default 40.
    pub epochs: usize,
    /// Images per step. Default 8.
    pub batch: usize,
    /// Shards that a batch is cut into on the CPU, so that several threads train at the same time; each has two images at least.
    /// BatchNorm's statistics are each shard's own ("ghost" batches, Hoffer et al. 2017), therefore the number is part of what the
    /// student becomes, and does not follow from that of the threads. 1 leaves the batch whole, as do `similarity`,
    /// `relation_distance` and `relation_angle`, which compare its images or boxes with each other. Default 2.
    pub shards: usize,
    /// Trains as int8 hardware computes: weights and what flows between layers are rounded to eight bits in every step, and gradients
    /// pass straight through (Jacob et al. 2018). The student starts from a finished one (`student.inherit`), BatchNorm folded into its
    /// convolutions. What comes out is a float student that loses less when `distill quantize` rounds it. Default false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub quantize_aware: bool,
    /// The weights that `quantize_aware` rounds to, as `distill quantize --weights` names them: `clear`, `full` or `unsigned`. That command
    /// then takes the same. Default `clear`.
    #[serde(skip_serializing_if = "is_clear")]
    pub quantize_weights: WeightRange,
    /// The optimiser. Default `adam_w`.
    pub optimizer: Optimizer,
    /// Highest learning rate, reached after the warm-up. Default 0.002.
    pub learning_rate: f64,
    /// The learning rate at the end, as a share of the highest. Default 0.02.
    pub final_share: f64,
    /// Steps in which the learning rate rises linearly from nothing; at most a fifth of all steps are used. Default 100.
    pub warmup_steps: usize,
    /// Decoupled weight decay of convolution weights (never of biases and BatchNorm). Default 0.02.
    pub weight_decay: f64,
    /// Decay of the moving average of the weights, per step; early steps use less. Default 0.998.
    pub ema: f64,
    /// Gradients are scaled down to this norm over all weights; 0 switches it off. Default 10.
    pub clip: f64,
    /// Threads that prepare images; 0, the default, takes half of the cores.
    pub workers: usize,
    /// Where it is computed: `cpu`, or in builds that have it `cuda` or `wgpu`, several of which are told apart by a number
    /// (`cuda:1`). Default `cpu`.
    pub device: String,
    /// Megabytes of memory for decoded frames; what does not fit is kept in a temporary file. Default 1024.
    pub cache_mb: usize,
    /// Epochs between two checkpoints. Default 1.
    pub checkpoint_every: usize,
    /// Steps between two checkpoints, besides those of the epochs; 0, the default, makes none.
    pub checkpoint_steps: usize,
    /// Epochs between two validations; the last epoch is always validated. Default 1.
    pub validate_every: usize,
    /// Stops when the validation AP has not risen for so many epochs; 0, the default, never stops early.
    pub patience: usize,
    /// Writes losses, validation and speed for TensorBoard, too, into `train/events/` of the output; look at them while it trains
    /// with `tensorboard --logdir OUTPUT/train/events`. Default false.
    pub tensorboard: bool,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 40,
            batch: 8,
            shards: 2,
            quantize_aware: false,
            quantize_weights: WeightRange::default(),
            optimizer: Optimizer::default(),
            learning_rate: 2e-3,
            final_share: 0.02,
            warmup_steps: 100,
            weight_decay: 0.02,
            ema: 0.998,
            clip: 10.0,
            workers: 0,
            device: String::from("cpu"),
            cache_mb: 1024,
            checkpoint_every: 1,
            checkpoint_steps: 0,
            validate_every: 1,
            patience: 0,
            tensorboard: false,
        }
    }
}

/// What is usual is not written, so that checkpoints and finished stages stay valid.
fn is_clear(weights: &WeightRange) -> bool {
    *weights == WeightRange::Clear
}

impl TrainConfig {
    /// The same training without what does not change its result: threads, memory, checkpoints, curves.
    #[must_use]
    pub fn deciding(&self) -> Self {
        let Self { workers, cache_mb, checkpoint_every, checkpoint_steps, tensorboard, .. } = Self::default();
        Self { workers, cache_mb, checkpoint_every, checkpoint_steps, tensorboard, ..self.clone() }
    }

    pub(in crate::distill) fn check(&self) -> Result<(), Complaint> {
        let at_least_one = [
            ("train.epochs", self.epochs),
            ("train.batch", self.batch),
            ("train.shards", self.shards),
            ("train.checkpoint_every", self.checkpoint_every),
            ("train.validate_every", self.validate_every),
        ];
        for (key, value) in at_least_one {
            if value == 0 {
                return Err((key, "must be at least 1".into()));
            }
        }
        if !(self.quantize_aware || is_clear(&self.quantize_weights)) {
            let mend = "is of training as int8 hardware computes; set `train.quantize_aware` as well, or leave it out";
            return Err(("train.quantize_weights", mend.into()));
        }
        if self.workers > MOST_THREADS {
            return Err(("train.workers", format!("{} is more than {MOST_THREADS}", self.workers)));
        }
        // Steps, epochs times batches, are counted in a usize.
        if self.epochs > 1_000_000 {
            return Err(("train.epochs", format!("{} is more than a million", self.epochs)));
        }
        if device(&self.device).is_err() {
            let have = DEVICES.join(", ");
            return Err(("train.device", format!("`{}` is not known to this build; it has {have}", self.device)));
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return Err(("train.learning_rate", format!("{} must be a positive number", self.learning_rate)));
        }
        if !(0.0..=1.0).contains(&self.final_share) {
            return Err(("train.final_share", format!("{} must be in 0..1", self.final_share)));
        }
        if !(0.0..1.0).contains(&self.ema) {
            return Err(("train.ema", format!("{} must be in 0..1, for instance 0.998", self.ema)));
        }
        for (key, value) in [("train.weight_decay", self.weight_decay), ("train.clip", self.clip)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err((key, format!("{value} must be a number >= 0")));
            }
        }
        Ok(())
    }
}

/// What is done to the images while training, each frame anew in each epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Probability of mirroring left and right. Default 0.5.
    pub flip: f64,
    /// Size in comparison to the letterboxed image, drawn evenly on a logarithmic scale; what is larger than the input is
    /// cropped, what is smaller gets a grey border. Default [0.6, 1.6].
    pub scale: [f64; 2],
    /// Change of the aspect ratio at most, as a factor >= 1. Default 1.15.
    pub stretch: f64,
    /// Probability that the image is scaled and moved at all; otherwise it is letterboxed as on the robot. Default 0.9.
    pub crop: f64,
    /// Probability of putting four images together (YOLOv4, Bochkovskiy et al. 2020). Default 0.4.
    pub mosaic: f64,
    /// Probability of laying another image over it, both half seen (mixup, Zhang et al. 2018; for detectors Zhang et al. 2019).
    /// Default 0. Boxes count by as much as their image shows, unless teachers label it anew (`distillation.relabel`).
    pub mixup: f64,
    /// Epochs at the end that do without mosaic and mixup. Default 5.
    pub mosaic_off_epochs: usize,
    /// Changes of the colours.
    pub color: ColorJitter,
    /// Probability of motion blur. Default 0.1.
    pub motion_blur: f64,
    /// Longest motion blur in pixels of the input. Default 7.
    pub motion_blur_pixels: usize,
    /// Boxes with a smaller visible share than this are dropped. Default 0.25.
    pub min_visible: f64,
    /// Boxes that are narrower or lower than this many pixels of the input are dropped. Default 2.
    pub min_pixels: f64,
}

/// Largest changes of the colours, each drawn evenly from minus to plus.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColorJitter {
    /// Factor of the brightness: 0.3 means 0.7 to 1.3. Default 0.35.
    pub brightness: f64,
    /// Factor of the contrast about middle grey. Default 0.35.
    pub contrast: f64,
    /// Factor of the saturation. Default 0.5.
    pub saturation: f64,
    /// Turn of the hue in degrees. Default 12.
    pub hue: f64,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            flip: 0.5,
            scale: [0.6, 1.6],
            stretch: 1.15,
            crop: 0.9,
            mosaic: 0.4,
            mixup: 0.0,
            mosaic_off_epochs: 5,
            color: ColorJitter::default(),
            motion_blur: 0.1,
            motion_blur_pixels: 7,
            min_visible: 0.25,
            min_pixels: 2.0,
        }
    }
}

impl Default for ColorJitter {
    fn default() -> Self {
        Self { brightness: 0.35, contrast: 0.35, saturation: 0.5, hue: 12.0 }
    }
}

impl AugmentConfig {
    /// No change at all: every image letterboxed as on the robot.
    pub fn none() -> Self {
        Self {
            flip: 0.0,
            crop: 0.0,
            mosaic: 0.0,
            motion_blur: 0.0,
            color: ColorJitter { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 },
            ..Self::default()
        }
    }

    pub(super) fn check(&self) -> Result<(), Complaint> {
        let probabilities = [
            ("augment.flip", self.flip),
            ("augment.crop", self.crop),
            ("augment.mosaic", self.mosaic),
            ("augment.mixup", self.mixup),
            ("augment.motion_blur", self.motion_blur),
            ("augment.min_visible", self.min_visible),
            ("augment.color.brightness", self.color.brightness),
            ("augment.color.contrast", self.color.contrast),
            ("augment.color.saturation", self.color.saturation),
        ];
        for (key, value) in probabilities {
            if !(0.0..=1.0).contains(&value) {
                return Err((key, format!("{value} must be in 0..1")));
            }
        }
        let [low, high] = self.scale;
        if !(low > 0.05 && low <= high && high <= 20.0) {
            return Err(("augment.scale", format!("[{low}, {high}] must be [least, most] within 0.05..20")));
        }
        if !(1.0..=4.0).contains(&self.stretch) {
            return Err(("augment.stretch", format!("{} must be a factor in 1..4", self.stretch)));
        }
        if !(0.0..=180.0).contains(&self.color.hue) {
            return Err(("augment.color.hue", format!("{} must be degrees in 0..180", self.color.hue)));
        }
        if !(self.min_pixels.is_finite() && self.min_pixels >= 0.0) {
            return Err(("augment.min_pixels", format!("{} must be a number >= 0", self.min_pixels)));
        }
        if self.motion_blur_pixels > 64 {
            return Err(("augment.motion_blur_pixels", format!("{} is more than 64", self.motion_blur_pixels)));
        }
        Ok(())
    }
}

/// How the student is judged at the end, on the test block alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateConfig {
    /// Whether the teachers are run and timed beside the student. Default true.
    pub teachers: bool,
    /// Fused teacher boxes of at least this score count as truth where there is no other. Default 0.4.
    pub target_score: f32,
    /// Rounds of the latency measurement. Default 200.
    pub latency_rounds: usize,
    /// Folder of other soft targets of the same recordings, in the same order, that judge where there is no truth: what a teacher
    /// says that taught nobody (`distill label --out FOLDER`). Without, the ones that are learnt.
    pub targets: Option<PathBuf>,
}

impl EvaluateConfig {
    pub(super) fn check(&self) -> Result<(), Complaint> {
        if !(0.0..=1.0).contains(&self.target_score) {
            return Err(("evaluate.target_score", format!("{} must be in 0..1", self.target_score)));
        }
        if !(1..=100_000).contains(&self.latency_rounds) {
            return Err(("evaluate.latency_rounds", format!("{} must be in 1..100000", self.latency_rounds)));
        }
        Ok(())
    }
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self { teachers: true, target_score: 0.4, latency_rounds: 200, targets: None }
    }
}
