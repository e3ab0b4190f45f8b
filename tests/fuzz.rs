//! The bodies of the fuzz targets (fuzz/bodies) on any toolchain: what is good, what is known to be bad, and mutations of both.
//!
//! Each body gets so many inputs, the same every time; `FUZZ_SECONDS=60` gives each of them new ones for a minute instead.
//! `FUZZ_CORPUS=fuzz/corpus` also writes what is begun with, for cargo-fuzz to begin with it, too (scripts/fuzz does all of this).

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;
#[cfg(feature = "distill")]
#[path = "bag/make.rs"]
#[allow(dead_code)]
mod make;
mod support;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use distilled_perception::messages::{LabelInfo, PoseArray, SpeedLimit, VisionClass};
use support::{
    mutate::{Dice, mutate},
    seeds, tiny_model,
};

/// Mutations of a body that nobody asked for more of.
const MUTATIONS: usize = 3_000;
/// Longest input; a body's time grows with it.
const LONGEST: usize = 1 << 18;

/// Feeds a body the seeds and mutations of them.
fn fuzz(name: &str, seeds: &[Vec<u8>], body: fn(&[u8])) {
    if let Some(corpus) = std::env::var_os("FUZZ_CORPUS") {
        let folder = PathBuf::from(corpus).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed_{number}")), seed).unwrap();
        }
    }
    for seed in seeds {
        feed(name, body, seed);
    }
    let seconds: Option<u64> = std::env::var("FUZZ_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    // Who has time to spend wants to see something new.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    let mut dice = Dice::new(if seconds.is_some() { now } else { 6 });
    let (start, mut inputs) = (Instant::now(), 0);
    let mut input = Vec::new();
    let goes_on = |inputs: usize| match seconds {
        Some(seconds) => start.elapsed() < Duration::from_secs(seconds),
        None => inputs < MUTATIONS,
    };
    while goes_on(inputs) {
        let seed = &seeds[dice.below(seeds.len())];
        input.clear();
        input.extend_from_slice(seed);
        mutate(&mut input, &mut dice);
        input.truncate(LONGEST);
        feed(name, body, &input);
        inputs += 1;
    }
    println!("{name}: {} seeds and {inputs} mutations in {:.1} s", seeds.len(), start.elapsed().as_secs_f64());
}

/// Feeds one input; one that makes the body fail is kept.
fn feed(name: &str, body: fn(&[u8]), input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| body(input))).is_err() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz_{name}"));
        std::fs::write(&path, input).unwrap();
        panic!("{name} fails (see above) on the {} bytes in {}", input.len(), path.display());
    }
}

/// Bytes behind a first one that says what they are.
fn kind(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind][..], bytes].concat()
}

fn all_messages() -> Vec<Vec<u8>> {
    let classes = vec![VisionClass { class_id: 1, class_name: "person" }];
    let mut seeds = vec![
        LabelInfo { class_map: classes, ..Default::default() }.encode(),
        PoseArray { poses: vec![Default::default(); 3], ..Default::default() }.encode(),
        SpeedLimit::default().encode(),
    ];
    for more in [
        seeds::images(),
        seeds::compressed_images(),
        seeds::scans(),
        seeds::clouds(),
        seeds::calibrations(),
        seeds::transforms(),
        seeds::boxes(),
        seeds::objects(),
    ] {
        seeds.extend(more);
    }
    seeds
}

#[test]
fn messages() {
    fuzz("messages", &all_messages(), bodies::messages::check);
}

#[test]
fn images() {
    let mut seeds: Vec<Vec<u8>> = seeds::files().iter().map(|(_, file)| kind(2, file)).collect();
    for encoding in 0..20 {
        // Of 12 x 8 pixels with a step of 48 bytes, which are enough for every encoding.
        seeds.push(kind(1, &[&[encoding, 12, 8, 36, 0][..], &[7; 48 * 12]].concat()));
        let size: Vec<u8> = [12_u32, 8, 48].iter().flat_map(|value| value.to_le_bytes()).collect();
        seeds.push(kind(0, &[&[encoding][..], &size, &[0], &[7; 48 * 12]].concat()));
    }
    fuzz("images", &seeds, bodies::images::check);
}

#[test]
fn sweeps() {
    let mut seeds: Vec<Vec<u8>> = [seeds::scans(), seeds::clouds()].concat().iter().map(|seed| kind(1, seed)).collect();
    // 8 x 2 points of 16 bytes: x, y, z as float32 and a ring.
    let layout = [8, 2, 16, 4, 0, 4, 0, 0, 7, 1, 1, 4, 7, 1, 2, 8, 7, 1, 5, 12, 4, 1];
    seeds.push(kind(0, &[&layout[..], &[63; 2 * (8 * 16 + 4)]].concat()));
    fuzz("sweeps", &seeds, bodies::sweeps::check);
}

#[test]
fn transforms() {
    let (fixed, moving) = seeds::robot();
    let mut buffers = vec![1, 10, 2];
    buffers.extend(1_000_500_000_000_i64.to_le_bytes());
    buffers.extend(1_000_i64.to_le_bytes());
    for (is_static, message) in [(1, &fixed), (0, &moving[0]), (0, &moving[1])] {
        buffers.extend([1, is_static]);
        buffers.extend((message.len() as u16).to_le_bytes());
        buffers.extend(message);
    }
    // odom -> base_link as plain numbers.
    buffers.extend([0, 1, 2, 0]);
    buffers.extend(1000_i32.to_le_bytes());
    buffers.extend(7_u32.to_le_bytes());
    for number in [1.0_f64, 2.0, 0.0, 0.0, 0.0, 0.0, 1.0] {
        buffers.extend(number.to_le_bytes());
    }
    let points: Vec<u8> = [0.1_f64, 0.2, 2.0].iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut seeds: Vec<Vec<u8>> =
        seeds::calibrations().iter().map(|info| [&[0, 1][..], &points, &[1], info].concat()).collect();
    let mut camera = [&[0, 1][..], &points, &[0, 1]].concat();
    for size in [640_u16, 480, 500, 500] {
        camera.extend(size.to_le_bytes());
    }
    for number in [320.0_f64, 240.0] {
        camera.extend(number.to_le_bytes());
    }
    camera.extend([1, 1, 0, 0, 0, 0, 5]);
    for number in [-0.1_f64, 0.01, 0.0, 0.0, 0.0] {
        camera.extend(number.to_le_bytes());
    }
    seeds.extend([buffers, camera]);
    fuzz("transforms", &seeds, bodies::transforms::check);
}

#[test]
fn fusion() {
    let number = |value: f32| [&[1][..], &((value * 32.0) as i16).to_le_bytes()].concat();
    let numbers = |values: &[f32]| values.iter().copied().flat_map(number).collect::<Vec<u8>>();
    let mount = |sixteenths: [i8; 7]| [&[1][..], &sixteenths.map(i8::cast_unsigned)].concat();
    // A camera 1.2 m above the floor that looks ahead, and what it sees of two people; a lidar and the same people.
    let camera = [
        mount([0, 0, 19, -8, 8, -8, 8]),
        vec![2, 0, 180],
        numbers(&[287.0, 171.0, 352.0, 398.0]),
        vec![0, 120],
        numbers(&[420.0, 200.0, 452.0, 330.0]),
    ]
    .concat();
    let lidar = [
        mount([0, 0, 5, 0, 0, 0, 16]),
        vec![2, 0, 150],
        numbers(&[4.0, 0.0, 0.5, 0.5, 0.5, 1.7, 0.3]),
        vec![1, 130],
        numbers(&[-3.0, 2.0, 0.7, 2.5, 1.2, 2.0, 1.5]),
    ]
    .concat();
    let tenth = 100_000_000_i32.to_le_bytes();
    let moments = |moment: &[u8]| {
        let start = 1_000_000_000_000_i64.to_le_bytes();
        let moments = [&[1][..], &tenth, moment].concat().repeat(6);
        [&start[..], &moments].concat()
    };
    let both = [&[1][..], &camera, &[1], &lidar].concat();
    let alone = [&[0, 1][..], &lidar].concat();
    let two_cameras = [&[2][..], &camera, &camera, &[0]].concat();
    fuzz("fusion", &[&both, &alone, &two_cameras].map(|moment| moments(moment)), bodies::fusion::check);
}

#[test]
fn bundles() {
    let models = ["tiny_yolov8.onnx", "tiny_detr.onnx", "tiny_suppressed.onnx", "tiny_pools.onnx"];
    let mut seeds: Vec<Vec<u8>> = models.iter().map(|name| std::fs::read(tiny_model(name)).unwrap()).collect();
    // A graph (7) with an initializer (5) whose data (13) lie in `a`, and that says so (14).
    let external = b"\x3a\x16\x2a\x14\x42\x01w\x6a\x0d\x0a\x08location\x12\x01a\x70\x01";
    seeds.push(external.to_vec());
    let named = distilled_perception::model::external_tensors(external).unwrap();
    assert_eq!((named[0].tensor.as_str(), named[0].location.as_str()), ("w", "a"));
    fuzz("bundles", &seeds, bodies::bundles::check);
}

#[test]
fn specifications() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds: Vec<Vec<u8>> = ["config/foreign_model.example.yaml", "models/warehouse_small.yaml"]
        .iter()
        .map(|file| std::fs::read(root.join(file)).unwrap())
        .collect();
    for text in [
        "input: {width: 32, height: 16}\nhead: yolox\nclasses: [person]\n",
        "input: {width: 32, height: 16}\nhead: {student: {strides: [8, 16], bins: 8}}\nclasses: [person]\nscore_threshold: 0.5\n",
        r#"{"bundle_version": 1, "task": "camera_detection", "spec": {"input": {"width": 32, "height": 16}, "head": "yolov8", "classes": ["a"]}}"#,
        r#"{"bundle_version": 2}"#,
        "[[[[[[[[{{{{{{{{",
    ] {
        seeds.push(text.into());
    }
    fuzz("specifications", &seeds, bodies::specifications::check);
}

#[cfg(feature = "distill")]
#[test]
fn recordings() {
    let messages = make::messages(30, 60);
    let mut seeds: Vec<Vec<u8>> = [
        make::Mcap::default(),
        make::Mcap { compression: None, ..Default::default() },
        make::Mcap { compression: Some(mcap::Compression::Lz4), summary: false, ..Default::default() },
        make::Mcap { compression: None, chunked: false, summary: false },
    ]
    .iter()
    .map(|&form| kind(0, &make::mcap(form, &messages)))
    .collect();
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("recording.db3");
    make::sqlite(&database, &messages);
    seeds.push(kind(1, &std::fs::read(&database).unwrap()));
    seeds.push(kind(2, make::metadata("mcap", &["recording.mcap"], ("", ""), &messages).as_bytes()));
    fuzz("recordings", &seeds, bodies::recordings::check);
}
