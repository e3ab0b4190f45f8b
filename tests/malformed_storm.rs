//! A storm of malformed messages through what the nodes' callbacks do: no panic, no memory that is not given back, and every loss of
//! a known kind.
//!
//! 100,000 messages by default; `STORM_MESSAGES=1000000` makes it a million, and `STORM_OUT` names a JSON file for the figures
//! (scripts/results/storm).
#![cfg(feature = "ros")]

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
    time::Instant,
};

use distilled_perception::node::{
    CameraDetectorParameters, LidarDetectorParameters,
    storm::{Callback, Callbacks},
};
use serde_json::json;
use support::{
    mutate::{Dice, mutate},
    onnx_runtime, seeds,
};

/// The system's memory, counted: what Rust code has and has not given back. ONNX Runtime has memory of its own, which shows in the
/// resident memory.
struct Counted;

static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

impl Counted {
    fn taken(bytes: usize) {
        let live = LIVE.fetch_add(bytes as i64, Ordering::Relaxed) + bytes as i64;
        PEAK.fetch_max(live, Ordering::Relaxed);
    }
}

// SAFETY: all work is the system's; counting changes nothing of it.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::taken(layout.size());
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::taken(layout.size());
        // SAFETY: the caller keeps to the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        Self::taken(bytes);
        // SAFETY: the caller keeps to the contract of `realloc`.
        unsafe { System.realloc(memory, layout, bytes) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

/// Where all randomness begins.
const SEED: u64 = 6;
/// Messages of a storm that nobody asked to be longer.
const MESSAGES: usize = 100_000;
/// After each of so many parts all that the nodes have is dropped and made anew, and what is taken then is noted.
const PARTS: usize = 20;
/// One of so many messages that can be decoded goes through the network as well.
const INFER_EVERY: usize = 300;
/// Of so many messages one stays as it is.
const INTACT_EVERY: usize = 12;
/// Bytes that counts, names of errors and other people's caches may take in the second half.
const NOISE: i64 = 64 << 10;

/// Every kind of error that must have been met.
const KINDS: [&str; 41] = [
    "DecodeError::MissingHeader",
    "DecodeError::UnsupportedEncapsulation",
    "DecodeError::Truncated",
    "DecodeError::ImpossibleLength",
    "DecodeError::NotUtf8",
    "ImageError::UnsupportedEncoding",
    "ImageError::Empty",
    "ImageError::BayerTooSmall",
    "ImageError::StepTooSmall",
    "ImageError::DataTooShort",
    "ImageError::TooLarge",
    "ImageError::Overstated",
    "ImageError::UnsupportedCompression",
    "ImageError::CompressedDepth",
    "ImageError::CutShort",
    "ImageError::Corrupt",
    "SweepError::MissingField",
    "SweepError::UnknownDatatype",
    "SweepError::FieldOutsidePoint",
    "SweepError::RowStepTooSmall",
    "SweepError::DataTooShort",
    "SweepError::TooManyPoints",
    "SweepError::Angle",
    "LimitError::FrameId",
    "CameraModelError::Size",
    "CameraModelError::Uncalibrated",
    "CameraModelError::Matrix",
    "CameraModelError::Region",
    "CameraModelError::Model",
    "CameraModelError::UnnamedModel",
    "CameraModelError::Coefficients",
    "CameraModelError::Coefficient",
    "CameraModelError::Tilt",
    "CameraModelError::Folded",
    "TransformError::NoName",
    "TransformError::LongName",
    "TransformError::OfItself",
    "TransformError::NotFinite",
    "TransformError::Circle",
    "TransformError::OldParent",
    "TransformError::TooManyFrames",
];

/// Megabytes of the process that lie in memory; 0 where the system does not tell.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}

/// What became of the messages of one callback.
#[derive(Default)]
struct Tally {
    sent: u64,
    taken: u64,
    refused: BTreeMap<String, u64>,
}

/// Where the robot's sensors are, so that their detections can be placed.
fn set_up(callbacks: &mut Callbacks) {
    let (fixed, moving) = seeds::robot();
    callbacks.call(Callback::StaticTransforms, &fixed, false).unwrap();
    for message in moving {
        callbacks.call(Callback::Transforms, &message, false).unwrap();
    }
    callbacks.call(Callback::CameraInfo, &seeds::calibrations()[0], false).unwrap();
}

#[test]
fn a_storm_of_malformed_messages_costs_neither_panics_nor_memory() {
    let messages: usize = std::env::var("STORM_MESSAGES").map_or(MESSAGES, |count| count.parse().unwrap());
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let (camera_model, lidar_model) = (models.join("indoor_person.onnx"), models.join("legs.onnx"));
    // Small limits, so that what is beyond them needs no large messages.
    let camera = CameraDetectorParameters { max_image_megapixels: 2.0, ..Default::default() };
    let lidar = LidarDetectorParameters { max_points: 100_000, ..Default::default() };
    let mut callbacks = if onnx_runtime() {
        Callbacks::new(Some((&camera_model, &camera)), Some((&lidar_model, &lidar))).unwrap()
    } else {
        Callbacks::new(None, None).unwrap()
    };
    let kinds = [
        (Callback::Image, seeds::images()),
        (Callback::CompressedImage, seeds::compressed_images()),
        (Callback::Scan, seeds::scans()),
        (Callback::Cloud, seeds::clouds()),
        (Callback::CameraInfo, seeds::calibrations()),
        (Callback::Transforms, seeds::transforms()),
        (Callback::StaticTransforms, seeds::transforms()),
        (Callback::Boxes, seeds::boxes()),
        (Callback::Objects, seeds::objects()),
    ];
    let mut dice = Dice::new(SEED);
    let mut tallies: BTreeMap<Callback, Tally> = BTreeMap::new();
    let mut message = Vec::with_capacity(1 << 20);
    let (mut live, mut resident_mb) = (Vec::with_capacity(PARTS), Vec::with_capacity(PARTS));
    let mut panics = Vec::new();
    let mut published = 0_usize;
    let start = Instant::now();
    set_up(&mut callbacks);
    for number in 0..messages {
        let (callback, seeds) = &kinds[number % kinds.len()];
        message.clear();
        message.extend_from_slice(&seeds[dice.below(seeds.len())]);
        if dice.below(INTACT_EVERY) > 0 {
            mutate(&mut message, &mut dice);
        }
        let infer = dice.below(INFER_EVERY) == 0;
        let outcome = catch_unwind(AssertUnwindSafe(|| callbacks.call(*callback, &message, infer)));
        let tally = tallies.entry(*callback).or_default();
        tally.sent += 1;
        match outcome {
            Ok(Ok(())) => tally.taken += 1,
            Ok(Err(kind)) => *tally.refused.entry(kind).or_default() += 1,
            Err(_) => panics.push((number, *callback)),
        }
        if number % 100 == 0 {
            published += callbacks.beat();
        }
        if (number + 1) % (messages / PARTS).max(1) == 0 {
            callbacks.renew().unwrap();
            live.push(LIVE.load(Ordering::Relaxed));
            resident_mb.push(resident());
            set_up(&mut callbacks);
        }
    }
    let seconds = start.elapsed().as_secs_f64();

    let half = live.len() / 2;
    let range = |values: &[i64]| values.iter().max().unwrap_or(&0) - values.iter().min().unwrap_or(&0);
    let growth = range(&live[half..]);
    let resident_growth = resident_mb.last().unwrap_or(&0.0) - resident_mb.get(half).unwrap_or(&0.0);
    let mut met: BTreeMap<&str, u64> = BTreeMap::new();
    for (kind, count) in tallies.values().flat_map(|tally| &tally.refused) {
        *met.entry(kind.as_str()).or_default() += count;
    }
    let callbacks: BTreeMap<String, serde_json::Value> = tallies
        .iter()
        .map(|(callback, tally)| {
            let figures = json!({"sent": tally.sent, "taken": tally.taken, "refused": tally.refused});
            (format!("{callback:?}"), figures)
        })
        .collect();
    let figures = json!({
        "messages": messages, "seed": SEED, "seconds": seconds, "panics": panics.len(), "inference": onnx_runtime(),
        "live_bytes": live, "live_growth_bytes": growth, "peak_bytes": PEAK.load(Ordering::Relaxed),
        "resident_mb": resident_mb, "resident_growth_mb": resident_growth, "published_bytes": published,
        "callbacks": callbacks, "kinds": met,
    });
    if let Some(path) = std::env::var_os("STORM_OUT") {
        std::fs::write(path, format!("{figures:#}\n")).unwrap();
    }
    println!("{messages} messages in {seconds:.1} s, {:.0} MB at most", PEAK.load(Ordering::Relaxed) as f64 / 1e6);
    assert!(panics.is_empty(), "messages (seed {SEED}) that make the program panic: {panics:?}");
    assert!(growth <= NOISE, "memory that is not given back: {live:?}");
    // Of the allocator's and ONNX Runtime's own, which give nothing back to the system.
    assert!(resident_growth < 24.0, "resident memory grows: {resident_mb:?}");
    for (callback, tally) in &tallies {
        assert!(tally.taken > 0, "{callback:?}: some messages are good");
        let refused: u64 = tally.refused.values().sum();
        assert!(refused * 20 > tally.sent, "{callback:?}: {refused} of {} were malformed", tally.sent);
    }
    for kind in met.keys() {
        let is_known = KINDS.contains(kind);
        assert!(is_known, "{kind} is no kind of error that a malformed message may cause");
    }
    if messages >= MESSAGES {
        let missing: Vec<&str> = KINDS.iter().copied().filter(|kind| !met.contains_key(kind)).collect();
        assert!(missing.is_empty(), "never met: {missing:?}");
        assert!(published > 0);
    }
}
