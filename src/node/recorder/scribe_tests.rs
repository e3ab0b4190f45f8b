//! A recorder's disk with a clock of the tests' own.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::{
    messages::{Header, Image, Time},
    node::{onlooker::SightKind, recorder::memory::Seen},
    recording::{durable::TEMPORARY_PREFIX, part_number},
};

const NODE: &str = "/camera_detector";
/// When the tests' frames begin, by the system's clock.
const START: i64 = 1_700_000_000_000_000_000;
const STEP: i64 = 100_000_000;

struct Bench {
    root: tempfile::TempDir,
    begin: Instant,
    report: Arc<Mutex<DiskReport>>,
}

impl Bench {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), begin: Instant::now(), report: Arc::default() }
    }

    fn scribe(&self, limit: u64, part: u64) -> Scribe {
        let options = RecordOptions {
            folder: self.root.path().join("field"),
            limit,
            part,
            uncertainty: 0.9,
            interval: Duration::ZERO,
            topics: Vec::new(),
            requests: String::new(),
        };
        let origin = Origin {
            node: NODE.into(),
            topic: "/camera/image_raw".into(),
            type_name: Image::TYPE_NAME.into(),
            is_reliable: false,
        };
        Scribe::new(options, origin, self.report.clone())
    }

    fn make_root(&self) {
        std::fs::create_dir(self.root.path().join("field")).unwrap();
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("field/camera_detector")
    }

    fn after(&self, seconds: u64) -> Instant {
        self.begin + Duration::from_secs(seconds)
    }

    fn report(&self) -> DiskReport {
        lock(&self.report).clone()
    }

    fn parts(&self) -> Vec<u64> {
        let names = std::fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut parts: Vec<u64> = names.filter_map(|name| part_number(name.to_str().unwrap())).collect();
        parts.sort_unstable();
        parts
    }

    fn written(&self) -> u64 {
        self.report().written.iter().sum()
    }
}

/// The frame of that number: an image of noise, which no compression makes small.
fn frame(number: i64, bytes: usize) -> Job {
    let mut state = number as u64;
    let noise: Vec<u8> = (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    let stamp = START + number * STEP;
    let header = Header { stamp: Time::from_nanoseconds(stamp), frame_id: "camera" };
    let width = bytes as u32;
    let image = Image { header, height: 1, width, encoding: "mono8", is_bigendian: 0, step: width, data: &noise };
    let frame = SeenFrame {
        message: image.encode(),
        stamp,
        time: stamp + 1_000,
        frame_id: "camera".into(),
        objects: vec![Seen { class: 0, score: 0.5, place: [0.1, 0.1, 0.4, 0.9] }],
        kind: SightKind::Boxes,
        classes: vec!["person".to_owned()].into(),
    };
    Job::Frame(Arc::new(frame), Reason::Uncertain, "person".into())
}

#[cfg(feature = "distill")]
fn around(topic: &str, type_name: &str, qos: OfferedQos, message: Vec<u8>) -> Around {
    Around { topic: topic.into(), type_name: type_name.into(), qos, time: START, message }
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return std::fs::metadata(folder).map_or(0, |file| file.len()) };
    entries.map(|entry| size(&entry.unwrap().path())).sum()
}

#[test]
fn frames_become_parts_within_the_limit_and_a_restart_goes_on() {
    let bench = Bench::new();
    bench.make_root();
    let mut scribe = bench.scribe(100_000, 25_000);
    for number in 0..20 {
        scribe.take(frame(number, 10_000), bench.after(number as u64));
    }
    assert_eq!((bench.written(), bench.report().lost), (20, 0));
    scribe.end(bench.after(20));
    let parts = bench.parts();
    // Three frames to a part, the last one ended early; the oldest are gone.
    assert_eq!(parts.last(), Some(&7));
    assert!((2..=3).contains(&parts.len()), "{parts:?}");
    assert!(size(&bench.folder()) <= 100_000);
    assert_eq!(bench.report().parts, parts.len());
    drop(scribe);

    std::fs::create_dir(bench.folder().join(format!("{TEMPORARY_PREFIX}left"))).unwrap();
    let mut scribe = bench.scribe(60_000, 25_000);
    scribe.rest(bench.after(30));
    assert!(size(&bench.folder()) <= 60_000, "a lower limit holds for what is there");
    scribe.take(frame(20, 10_000), bench.after(31));
    scribe.rest(bench.after(31 + PART_AGE.as_secs()));
    assert_eq!(bench.parts().last(), Some(&8), "an old part is finished, however small");
    assert!(!bench.folder().join(format!("{TEMPORARY_PREFIX}left")).exists());
}

#[test]
fn a_missing_folder_is_told_and_recording_begins_once_it_is_there() {
    let bench = Bench::new();
    let mut scribe = bench.scribe(1 << 20, 1 << 20);
    scribe.rest(bench.after(0));
    let told = bench.report().trouble.unwrap();
    assert!(told.contains("mkdir -p") && told.contains("field"), "{told}");
    scribe.take(frame(0, 100), bench.after(1));
    assert_eq!((bench.written(), bench.report().lost), (0, 1));
    bench.make_root();
    scribe.rest(bench.after(5));
    assert!(bench.report().trouble.is_some(), "it is not asked again at once");
    scribe.rest(bench.after(11));
    assert_eq!(bench.report().trouble, None);
    scribe.take(frame(1, 100), bench.after(12));
    assert_eq!(bench.written(), 1);

    // And it vanishes again, with the part that is being written.
    std::fs::remove_dir_all(bench.root.path().join("field")).unwrap();
    scribe.rest(bench.after(13));
    assert!(bench.report().trouble.is_some());
    assert_eq!((bench.written(), bench.report().lost), (0, 2));
    bench.make_root();
    scribe.take(frame(2, 100), bench.after(30));
    scribe.end(bench.after(31));
    assert_eq!((bench.written(), bench.report().trouble, bench.parts()), (1, None, vec![1]));
    assert!(bench.report().last_error.is_some(), "what was wrong is still told");
}

#[test]
fn a_folder_that_vanishes_while_frames_come_costs_frames_only() {
    let bench = Bench::new();
    bench.make_root();
    let mut scribe = bench.scribe(1 << 20, 1 << 20);
    scribe.take(frame(0, 100), bench.after(0));
    std::fs::remove_dir_all(bench.folder()).unwrap();
    scribe.take(frame(1, 100), bench.after(1));
    assert_eq!((bench.written(), bench.report().lost), (0, 2));
    assert!(bench.report().trouble.is_some());
    scribe.take(frame(2, 100), bench.after(2 + RETRY.as_secs()));
    assert_eq!((bench.written(), bench.report().trouble), (1, None));
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.make_root();
    let root = bench.root.path().join("field");
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(root.join("probe"), "x").is_ok() {
        println!("skipped: this user may write everywhere");
        return;
    }
    let mut scribe = bench.scribe(1 << 20, 1 << 20);
    scribe.take(frame(0, 100), bench.after(0));
    let told = bench.report().trouble.unwrap();
    assert!(told.contains("chown"), "{told}");
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755)).unwrap();
    scribe.take(frame(1, 100), bench.after(60));
    assert_eq!((bench.written(), bench.report().lost), (1, 1));
}

#[cfg(feature = "distill")]
#[test]
fn parts_are_read_as_one_recording_with_everything_around_the_frames() {
    use crate::{
        distill::bag::{Bag, Frames, TopicFilter, TruthSource},
        messages::{CameraInfo, Detection2DArray, TFMessage},
    };
    let bench = Bench::new();
    bench.make_root();
    let mut scribe = bench.scribe(1 << 20, 15_000);
    let tf = around("/tf_static", TFMessage::TYPE_NAME, OfferedQos::LATCHED, TFMessage::default().encode());
    let info = |number: i64| {
        let stamp = Time::from_nanoseconds(START + number * STEP);
        let info = CameraInfo { header: Header { stamp, frame_id: "camera" }, ..Default::default() };
        around("/camera/camera_info", CameraInfo::TYPE_NAME, OfferedQos::SENSOR, info.encode())
    };
    let foreign = around("/battery", "foreign_msgs/msg/Battery", OfferedQos::RELIABLE, vec![0, 1, 0, 0, 7]);
    // What comes before there is a part belongs to none.
    scribe.take(Job::Around(vec![info(-1)]), bench.after(0));
    scribe.take(Job::Latched(tf.clone()), bench.after(0));
    scribe.take(Job::Latched(tf), bench.after(0));
    for number in 0..4 {
        scribe.take(frame(number, 10_000), bench.after(number as u64));
        scribe.take(Job::Around(vec![info(number), foreign.clone()]), bench.after(number as u64));
    }
    scribe.end(bench.after(10));
    assert_eq!(bench.parts(), [1, 2]);

    let bag = Bag::open(bench.folder()).unwrap();
    let counts: Vec<(&str, Option<u64>)> =
        bag.topics().iter().map(|topic| (topic.name.as_str(), topic.message_count)).collect();
    for (topic, count) in [
        ("/camera/image_raw", 4),
        ("/camera_detector/detections", 4),
        ("/camera_detector/recorded", 4),
        ("/camera/camera_info", 4),
        ("/battery", 4),
        ("/tf_static", 2),
    ] {
        assert!(counts.contains(&(topic, Some(count))), "{topic}: {counts:?}");
    }
    assert!(bag.topic("/tf_static").unwrap().offered_qos.contains("transient_local"));
    let frames: Vec<_> = Frames::open(bench.folder(), None, TruthSource::None).unwrap().map(Result::unwrap).collect();
    let Job::Frame(original, ..) = frame(2, 10_000) else { unreachable!() };
    assert_eq!(frames.iter().map(|frame| frame.stamp).collect::<Vec<_>>(), [0, 1, 2, 3].map(|n| START + n * STEP));
    assert_eq!(frames[2].decode().unwrap().dimensions(), (10_000, 1));
    bag.read(&TopicFilter::All, |message| {
        match message.topic.name.as_str() {
            "/camera/image_raw" if message.log_time == original.time => assert_eq!(message.data, original.message),
            "/camera_detector/detections" => {
                let seen = Detection2DArray::decode(message.data).unwrap();
                assert_eq!(seen.detections[0].results[0].hypothesis.class_id, "person");
            }
            "/camera_detector/recorded" => {
                let text = Text::decode(message.data).unwrap().data;
                let reason: serde_json::Value = serde_json::from_str(text).unwrap();
                assert_eq!((&reason["reason"], &reason["detail"]), (&json!("score_entropy"), &json!("person")));
            }
            _ => {}
        }
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_disk_never_holds_more_than_the_limit_and_one_part(
        sizes in prop::collection::vec(10_usize..30_000, 1..40),
        limit in 20_000_u64..120_000,
        share in 1_u64..5,
        restart in 0_usize..40,
    ) {
        let bench = Bench::new();
        bench.make_root();
        let part = limit / share;
        // A part ends with the frame that passes its size, its own index and the description.
        let most = limit + part + 30_000 + 20_000;
        let mut scribe = bench.scribe(limit, part);
        for (number, bytes) in sizes.iter().enumerate() {
            if number == restart {
                scribe.end(bench.after(number as u64));
                drop(scribe);
                scribe = bench.scribe(limit, part);
            }
            scribe.take(frame(number as i64, *bytes), bench.after(number as u64));
            let held = size(&bench.folder());
            prop_assert!(held <= most, "{held} of {limit} and {part}");
        }
        scribe.end(bench.after(1000));
        prop_assert_eq!(bench.report().lost, 0);
        prop_assert_eq!(bench.written(), sizes.len() as u64);
        prop_assert!(size(&bench.folder()) <= limit.max(part + 50_000));
    }
}
