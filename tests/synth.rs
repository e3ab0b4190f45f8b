//! `distill synth` as its users meet it: the binary, the bag it writes, and whether the truth in the bag is true.
#![cfg(feature = "distill")]

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use distilled_perception::distill::bag::{Bag, Frames, TopicFilter, TruthSource};
use distilled_perception::distill::synth::{
    CLASSES, Class, Extras, ObjectBox, Scene, Warehouse,
    camera::Camera,
    recording::{START, Settings, record},
    truth::{Visibility, sightings},
};
use distilled_perception::messages::{
    CameraInfo, Detection2DArray, Detection3D, Detection3DArray, Image, LabelInfo, LaserScan, PointCloud2, TFMessage,
    Transform,
};
use sha2::{Digest, Sha256};

fn distill(arguments: &[&str], threads: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_distill")).args(arguments).env("RAYON_NUM_THREADS", threads).output().unwrap()
}

/// Records 0.6 s of small pictures through the binary.
fn small(out: &Path, seed: &str, threads: &str, more: &[&str]) -> Output {
    let out = out.to_str().unwrap();
    let mut arguments =
        vec!["synth", "--out", out, "--seed", seed, "--seconds", "0.6", "--width", "64", "--height", "48"];
    arguments.extend(more);
    distill(&arguments, threads)
}

fn hashes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let bytes = std::fs::read(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), Sha256::digest(bytes).to_vec())
        })
        .collect()
}

fn error_of(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_same_arguments_give_the_same_bytes_whatever_the_threads() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two, other] = ["one", "two", "other"].map(|name| folder.path().join(name).join("bag"));
    for (out, seed, threads) in [(&one, "7", "1"), (&two, "7", "3"), (&other, "8", "3")] {
        let output = small(out, seed, threads, &[]);
        assert!(output.status.success(), "{}", error_of(&output));
    }
    assert_eq!(hashes(&one), hashes(&two));
    assert_ne!(hashes(&one), hashes(&other));
    assert_eq!(hashes(&one).len(), 2, "an MCAP file and metadata.yaml");
}

#[test]
fn what_lies_at_the_place_is_kept_unless_forced_and_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bag");
    let first = small(&out, "1", "2", &[]);
    assert!(first.status.success(), "{}", error_of(&first));
    let stdout = String::from_utf8(first.stdout).unwrap();
    assert!(stdout.contains("6 pictures") && stdout.contains("next: distill inspect"), "{stdout}");
    let before = hashes(&out);

    let refused = small(&out, "2", "2", &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(error_of(&refused).contains("--force"), "{}", error_of(&refused));
    assert_eq!(hashes(&out), before);

    assert!(small(&out, "2", "2", &["--force"]).status.success());
    assert_ne!(hashes(&out), before);

    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    std::fs::write(photos.join("holiday.txt"), "keep me").unwrap();
    let refused = small(&photos, "2", "2", &["--force"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(photos.join("holiday.txt").exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing temporary is left");
}

#[test]
fn settings_out_of_range_are_wrong_input() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bag");
    for more in [["--seconds", "0"], ["--seconds", "nan"], ["--rate", "0"], ["--width", "3"], ["--height", "999999"]] {
        let output = distill(&["synth", "--out", out.to_str().unwrap(), more[0], more[1]], "1");
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(error_of(&output).contains(more[0].trim_start_matches('-')), "{}", error_of(&output));
    }
    assert!(!out.exists());
}

#[test]
fn a_stopped_recording_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { width: 32, height: 32, ..Settings::default() };
    let result = record(&settings, &folder.path().join("bag"), false, |_| ControlFlow::Break(()));
    assert!(result.is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A recording with its messages by topic.
struct Recorded {
    _folder: tempfile::TempDir,
    path: PathBuf,
    messages: BTreeMap<String, Vec<(i64, Vec<u8>)>>,
}

impl Recorded {
    fn new(settings: &Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bag");
        let summary = record(settings, &path, false, |_| ControlFlow::Continue(())).unwrap();
        assert!(summary.bytes > 0);
        let bag = Bag::open(&path).unwrap();
        let mut messages: BTreeMap<String, Vec<(i64, Vec<u8>)>> = BTreeMap::new();
        for message in bag.messages(&TopicFilter::All).unwrap() {
            let message = message.unwrap();
            messages
                .entry(bag.topics()[message.topic].name.clone())
                .or_default()
                .push((message.log_time, message.data));
        }
        Self { _folder: folder, path, messages }
    }

    fn topic(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.messages[name].iter().map(|(_, data)| &data[..])
    }
}

type Point = [f64; 3];

/// The transform as a rotation matrix and a translation, written out from the quaternion.
fn apply(transform: &Transform, [x, y, z]: Point) -> Point {
    let (q, t) = (transform.rotation, transform.translation);
    let (a, b, c, w) = (q.x, q.y, q.z, q.w);
    [
        (1.0 - 2.0 * (b * b + c * c)) * x + 2.0 * (a * b - c * w) * y + 2.0 * (a * c + b * w) * z + t.x,
        2.0 * (a * b + c * w) * x + (1.0 - 2.0 * (a * a + c * c)) * y + 2.0 * (b * c - a * w) * z + t.y,
        2.0 * (a * c - b * w) * x + 2.0 * (b * c + a * w) * y + (1.0 - 2.0 * (a * a + b * b)) * z + t.z,
    ]
}

fn unapply(transform: &Transform, [x, y, z]: Point) -> Point {
    let t = transform.translation;
    let mut back = *transform;
    back.rotation = distilled_perception::messages::Quaternion {
        x: -back.rotation.x,
        y: -back.rotation.y,
        z: -back.rotation.z,
        w: back.rotation.w,
    };
    back.translation = distilled_perception::messages::Vector3 { x: 0.0, y: 0.0, z: 0.0 };
    apply(&back, [x - t.x, y - t.y, z - t.z])
}

fn box_pose(detection: &Detection3D) -> Transform {
    let center = detection.bbox.center;
    let position = center.position;
    Transform {
        translation: distilled_perception::messages::Vector3 { x: position.x, y: position.y, z: position.z },
        rotation: center.orientation,
    }
}

fn corners(detection: &Detection3D) -> [Point; 8] {
    let size = detection.bbox.size;
    std::array::from_fn(|i| {
        let sign = |bit: usize| if (i >> bit) & 1 == 0 { -0.5 } else { 0.5 };
        apply(&box_pose(detection), [size.x * sign(0), size.y * sign(1), size.z * sign(2)])
    })
}

/// x, y, z, class, object of every point of a labelled cloud.
fn labelled(cloud: &PointCloud2) -> Vec<([f32; 3], u16, u16)> {
    let names: Vec<_> = cloud.fields.iter().map(|field| (field.name, field.offset)).collect();
    assert_eq!(names, [("x", 0), ("y", 4), ("z", 8), ("class", 12), ("object", 14)]);
    let float = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    let short = |bytes: &[u8]| u16::from_le_bytes(bytes.try_into().unwrap());
    let points = cloud.data.chunks_exact(cloud.point_step as usize);
    points
        .map(|p| ([float(&p[..4]), float(&p[4..8]), float(&p[8..12])], short(&p[12..14]), short(&p[14..16])))
        .collect()
}

const BOTH: Extras = Extras { carts: true, cones: true };

#[test]
fn the_truth_in_the_bag_is_true() {
    truth_is_true(Extras::default(), &[(1, "person"), (2, "forklift"), (3, "pallet")]);
}

#[test]
fn the_truth_about_carts_and_cones_is_true() {
    truth_is_true(BOTH, &[(1, "person"), (2, "forklift"), (3, "pallet"), (4, "cart"), (5, "cone")]);
}

/// Records eight seconds with these objects and looks at every message of the truth; each of the `classes` must be in all of it.
fn truth_is_true(extras: Extras, classes: &[(u16, &str)]) {
    let settings = Settings { seconds: 8.0, seed: 4, rate: 5.0, width: 160, height: 96, extras, ..Settings::default() };
    let recorded = Recorded::new(&settings);
    let count = |name: &str| recorded.messages[name].len();
    assert_eq!(count("/camera/image_raw"), 40);
    assert_eq!(count("/camera/camera_info"), 40);
    assert_eq!(count("/truth/detections_2d"), 40);
    assert_eq!((count("/scan"), count("/truth/scan_labels")), (80, 80));
    assert_eq!((count("/points"), count("/truth/points"), count("/truth/detections_3d")), (40, 40, 40));
    assert_eq!((count("/tf"), count("/tf_static"), count("/truth/label_info")), (400, 1, 1));
    assert_eq!(recorded.messages["/tf"][0].0, START);

    let labels = LabelInfo::decode(recorded.topic("/truth/label_info").next().unwrap()).unwrap();
    let class_names: BTreeMap<u16, &str> = labels.class_map.iter().map(|c| (c.class_id, c.class_name)).collect();
    assert_eq!(class_names, BTreeMap::from_iter(classes.iter().copied()));
    // Boxes in space and points of each class.
    let mut found: BTreeMap<String, [usize; 2]> = BTreeMap::new();

    let mounts = TFMessage::decode(recorded.topic("/tf_static").next().unwrap()).unwrap();
    let mount = |child: &str| mounts.transforms.iter().find(|t| t.child_frame_id == child).unwrap().transform;
    let (camera, optical) = (mount("camera_link"), mount("camera_optical_frame"));
    let info = CameraInfo::decode(recorded.topic("/camera/camera_info").next().unwrap()).unwrap();
    let (fx, cx, fy, cy) = (info.k[0], info.k[2], info.k[4], info.k[5]);

    let (mut compared, mut inside) = (0, 0);
    let images = recorded.topic("/camera/image_raw").zip(recorded.topic("/truth/detections_2d"));
    for ((image, flat), solid) in images.zip(recorded.topic("/truth/detections_3d")) {
        let image = Image::decode(image).unwrap();
        let flat = Detection2DArray::decode(flat).unwrap();
        let solid = Detection3DArray::decode(solid).unwrap();
        assert_eq!((image.encoding, image.width, image.height, image.step), ("rgb8", 160, 96, 480));
        assert_eq!((image.header, image.header.frame_id), (flat.header, "camera_optical_frame"));
        assert_eq!((solid.header.stamp, solid.header.frame_id), (image.header.stamp, "base_link"));
        for detection in &flat.detections {
            let (center, half) = (detection.bbox.center.position, detection.bbox.size_x / 2.0);
            let half_y = detection.bbox.size_y / 2.0;
            let bbox = [center.x - half, center.y - half_y, center.x + half, center.y + half_y];
            assert!(bbox[0] >= 0.0 && bbox[1] >= 0.0 && bbox[2] <= 160.0 && bbox[3] <= 96.0, "{bbox:?}");
            let Some(object) = solid.detections.iter().find(|other| other.id == detection.id) else { continue };
            assert_eq!(object.results[0].hypothesis.class_id, detection.results[0].hypothesis.class_id);
            let seen = |point: Point| {
                let [x, y, z] = unapply(&optical, unapply(&camera, point));
                (z > 0.05).then(|| (fx * x / z + cx + 0.5, fy * y / z + cy + 0.5))
            };
            let Some(outline) = corners(object).into_iter().map(seen).collect::<Option<Vec<_>>>() else { continue };
            let x: Vec<f64> = outline.iter().map(|p| p.0).collect();
            let y: Vec<f64> = outline.iter().map(|p| p.1).collect();
            let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert!(bbox[0] > least(&x) - 1.0 && bbox[2] < most(&x) + 1.0, "{bbox:?} outside {x:?}");
            assert!(bbox[1] > least(&y) - 1.0 && bbox[3] < most(&y) + 1.0, "{bbox:?} outside {y:?}");
            let position = object.bbox.center.position;
            let (u, v) = seen([position.x, position.y, position.z]).unwrap();
            compared += 1;
            inside += usize::from(u > bbox[0] && u < bbox[2] && v > bbox[1] && v < bbox[3]);
        }
    }
    // The middle of an object that is partly hidden or cut may lie outside.
    assert!(compared >= 80, "only {compared} boxes could be compared");
    assert!(inside * 10 >= compared * 7, "only {inside} of {compared} middles inside their boxes");

    let mut people = 0;
    for (cloud, solid) in recorded.topic("/truth/points").zip(recorded.topic("/truth/detections_3d")) {
        let cloud = PointCloud2::decode(cloud).unwrap();
        let solid = Detection3DArray::decode(solid).unwrap();
        assert_eq!((cloud.height, cloud.width, cloud.is_dense), (16, 450, false));
        for detection in &solid.detections {
            found.entry(detection.results[0].hypothesis.class_id.to_owned()).or_default()[0] += 1;
        }
        let points = labelled(&cloud);
        assert!(points.iter().any(|(p, class, _)| p[0].is_nan() && *class == 0));
        for (point, class, object) in points.into_iter().filter(|(_, class, _)| *class != 0) {
            let Some(detection) = solid.detections.iter().find(|d| d.id == object.to_string()) else { continue };
            assert_eq!(detection.results[0].hypothesis.class_id, class_names[&class]);
            let local = unapply(&box_pose(detection), apply(&mount("lidar"), point.map(f64::from)));
            let half = [detection.bbox.size.x, detection.bbox.size.y, detection.bbox.size.z].map(|s| s / 2.0);
            // Four standard deviations of the range.
            assert!((0..3).all(|i| local[i].abs() <= half[i] + 0.06), "{local:?} outside {half:?}");
            people += usize::from(class_names[&class] == "person");
            found.entry(class_names[&class].to_owned()).or_default()[1] += 1;
        }
    }
    assert_eq!(found.len(), classes.len(), "{found:?}");
    assert!(found.values().all(|counts| counts.iter().all(|count| *count > 0)), "{found:?}");
    assert!(people >= 100, "only {people} points on people");

    for (scan, cloud) in recorded.topic("/scan").zip(recorded.topic("/truth/scan_labels")) {
        let (scan, cloud) = (LaserScan::decode(scan).unwrap(), PointCloud2::decode(cloud).unwrap());
        assert_eq!((scan.header, scan.ranges.len(), cloud.width), (cloud.header, 720, 720));
        for (index, (range, (point, ..))) in scan.ranges.iter().zip(labelled(&cloud)).enumerate() {
            assert_eq!(range.is_infinite(), point[0].is_nan());
            if range.is_finite() {
                assert!(range >= scan.range_min && range <= scan.range_max);
                let angle = scan.angle_min + index as f32 * scan.angle_increment;
                let expected = [range * angle.cos(), range * angle.sin(), 0.0];
                assert!((0..3).all(|i| (point[i] - expected[i]).abs() < 1e-3));
            }
        }
    }

    let frames = Frames::open(&recorded.path, None, TruthSource::Topic("/truth/detections_2d".into())).unwrap();
    let boxes: usize = frames.map(|frame| frame.unwrap().truth.expect("truth for every frame").len()).sum();
    let written: usize = recorded
        .topic("/truth/detections_2d")
        .map(|data| Detection2DArray::decode(data).unwrap().detections.len())
        .sum();
    assert_eq!(boxes, written);
}

#[test]
fn objects_are_often_in_view() {
    let camera = Camera::new(160, 96);
    let (mut boxes, mut frames, mut windows, mut present) = (0, 0, 0, 0);
    for seed in 0..6 {
        let warehouse = Warehouse::new(seed);
        let mut seen = [false; CLASSES.len()];
        for second in 0..20 {
            let scene = warehouse.at(second as f32);
            let picture = camera.picture(&scene, second);
            for sighting in sightings(&scene, &camera, &picture, &Visibility::default()) {
                seen[sighting.class as usize] = true;
                boxes += 1;
            }
            frames += 1;
        }
        windows += CLASSES.len();
        present += seen.iter().filter(|seen| **seen).count();
    }
    assert!(boxes >= 2 * frames, "{boxes} objects in {frames} pictures");
    assert!(present * 10 >= windows * 9, "{present} of {windows} classes seen within 20 s");
}

#[test]
fn boxes_of_carts_and_cones_fit_their_pixels() {
    let camera = Camera::new(160, 96);
    let width = camera.width as usize;
    let mut seen: BTreeMap<Class, usize> = BTreeMap::new();
    for seed in 0..6 {
        let warehouse = Warehouse::with(seed, BOTH);
        for second in 0..20 {
            let scene = warehouse.at(second as f32);
            let picture = camera.picture(&scene, second);
            for sighting in sightings(&scene, &camera, &picture, &Visibility::default()) {
                assert_eq!(scene.class(sighting.id), Some(sighting.class));
                let own = picture.objects.iter().enumerate().filter(|&(_, &id)| id == sighting.id);
                let own: Vec<(usize, usize)> = own.map(|(index, _)| (index % width, index / width)).collect();
                let (x, y) = (own.iter().map(|pixel| pixel.0), own.iter().map(|pixel| pixel.1));
                let least = [x.clone().min().unwrap() as f32, y.clone().min().unwrap() as f32];
                let most = [x.max().unwrap() as f32 + 1.0, y.max().unwrap() as f32 + 1.0];
                let bbox = sighting.bbox;
                assert_eq!(([bbox.x_min, bbox.y_min], [bbox.x_max, bbox.y_max]), (least, most), "{sighting:?}");
                assert_eq!(own.len(), sighting.pixels as usize);
                *seen.entry(sighting.class).or_default() += 1;
            }
        }
    }
    for class in [Class::Cart, Class::Cone] {
        let boxes = seen.get(&class).copied().unwrap_or_default();
        assert!(boxes >= 30, "{} is in {boxes} of 120 pictures", class.name());
    }
}

#[test]
fn with_carts_and_cones_all_else_stays_where_it_is() {
    for seed in 0..6 {
        let (plain, with) = (Warehouse::new(seed), Warehouse::with(seed, BOTH));
        assert_eq!((plain.classes(), with.classes().len()), (CLASSES.to_vec(), 5));
        assert_eq!(plain.robot(3.3), with.robot(3.3));
        let (before, after) = (plain.at(3.3), with.at(3.3));
        let is_kept = |object: &&ObjectBox| {
            after.objects().iter().any(|other| ObjectBox { id: object.id, ..other.bounding } == **object)
        };
        let gone: Vec<&ObjectBox> =
            before.objects().iter().map(|object| &object.bounding).filter(|object| !is_kept(object)).collect();
        // Some people push carts instead of walking by themselves.
        assert!(gone.len() <= 3 && gone.iter().all(|object| object.class == Class::Person), "{gone:?}");
        assert!(before.objects().iter().all(|object| CLASSES.contains(&object.bounding.class)));
        let people =
            |scene: &Scene| scene.objects().iter().filter(|object| object.bounding.class == Class::Person).count();
        assert_eq!(people(&before), people(&after));
    }
}

#[test]
fn objects_nobody_knows_are_wrong_input() {
    let folder = tempfile::tempdir().unwrap();
    let (out, other) = (folder.path().join("bag"), folder.path().join("other"));
    let refused = small(&out, "1", "2", &["--with", "cart,boat"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(error_of(&refused).contains("boat") && error_of(&refused).contains("cone"), "{}", error_of(&refused));
    assert!(!out.exists());
    let recorded = small(&out, "1", "2", &["--with", "cart,cone"]);
    assert!(recorded.status.success(), "{}", error_of(&recorded));
    let told = String::from_utf8(recorded.stdout).unwrap();
    assert!(told.lines().any(|line| line.trim_start().starts_with("cone ")), "{told}");
    let plain = small(&other, "1", "2", &[]);
    assert!(!String::from_utf8(plain.stdout).unwrap().contains("cone"));
}
