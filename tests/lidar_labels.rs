//! Labels of lidar sweeps out of whole recordings: real scans with the positions of legs, the synthetic warehouse with a class for
//! each point, and small recordings made here.
#![cfg(feature = "distill")]

mod support;

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use distilled_perception::{
    distill::{
        bag::{Bag, BagWriter, OfferedQos, TopicFilter},
        lidar::labels::{
            LabelContext, LabelSource, LabelledRecording, LidarData, LidarLabelError, Pairing, PointClass, PointTarget,
            TruthLabels, label_recording, read_labels, write_labels,
        },
        synth::recording::{Settings, record},
        teacher::EnsembleOptions,
    },
    messages::{
        BoundingBox3D, Detection3D, Detection3DArray, Floats, Header, LaserScan, ObjectHypothesis,
        ObjectHypothesisWithPose, Point, PointCloud2, Pose, PoseArray, Quaternion, TFMessage, Time, Transform,
        TransformStamped, Vector3,
    },
    sensing::range_image::is_void,
};

const SECOND: i64 = 1_000_000_000;

fn data(path: impl Into<PathBuf>, topic: Option<&str>, truth: &TruthLabels) -> LidarData {
    LidarData {
        path: path.into(),
        topic: topic.map(Into::into),
        labels: vec![LabelSource::Truth(truth.clone())],
        truth: Some(truth.clone()),
        carry_over: None,
        follow: None,
        block: None,
    }
}

fn label(data: &LidarData, classes: &[&str]) -> Result<LabelledRecording, LidarLabelError> {
    let classes: Vec<String> = classes.iter().map(|class| (*class).to_owned()).collect();
    let context = LabelContext { classes: &classes, teachers: &[], fusion: EnsembleOptions::default() };
    label_recording(data, &context, &mut |_, _| ControlFlow::Continue(()))
}

fn legs(pairing: Pairing) -> TruthLabels {
    TruthLabels {
        poses: Some("/leg_cluster_positions".into()),
        class: Some("leg".into()),
        pairing,
        ..TruthLabels::default()
    }
}

/// The legs, and the points on them and ignored around them, were counted by a reader in Python.
#[test]
fn real_legs_have_points_in_every_scan() {
    let Some(folder) = support::test_data("bags/legs_labelled_1") else { return };
    for (number, scans, legs_there, on_legs, doubtful) in
        [(1, 197, 324, 3429, 35), (2, 83, 116, 1336, 19), (3, 175, 309, 3925, 122), (4, 295, 415, 8926, 363)]
    {
        let path = folder.join(format!("bags/legs_labelled_{number}"));
        let recording = label(&data(&path, None, &legs(Pairing::Index)), &["leg"]).unwrap();
        assert!(recording.loss.is_empty(), "{}", recording.loss);
        assert_eq!(recording.sweeps.len(), scans);
        let (mut objects, mut points, mut ignored) = (0, 0usize, 0usize);
        for labelled in &recording.sweeps {
            assert_eq!(labelled.frame_id, "right_laser");
            assert_eq!(labelled.sweep.points.len(), 768);
            assert_eq!(labelled.truth.as_ref(), Some(&labelled.labels));
            for object in &labelled.labels.objects {
                objects += 1;
                assert!(object.points >= 3, "{object:?} in the scan at {}", labelled.stamp);
            }
            for (point, target) in labelled.sweep.points.iter().zip(&labelled.labels.points) {
                if let Some(object) = target.object {
                    let center = labelled.labels.objects[object as usize].center;
                    assert!((point[0] - center[0]).hypot(point[1] - center[1]) < 0.25);
                    points += 1;
                }
                ignored += usize::from(!is_void(point) && !target.is_known());
            }
        }
        assert_eq!(objects, legs_there);
        // Angles are added up in other ways there: a few points lie at the border.
        assert!(points.abs_diff(on_legs) <= 5, "{points} points on legs, not {on_legs}");
        assert!(ignored.abs_diff(doubtful) <= 5, "{ignored} points ignored, not {doubtful}");
        let facts = &recording.facts;
        assert_eq!((facts.sweeps, facts.without_labels, facts.without_truth), (scans, 0, 0));
        assert_eq!(facts.sources[0].classes[0].objects, legs_there);
        assert_eq!(facts.sources[0].classes[0].points as usize, points);
        assert_eq!(facts.truth.as_ref(), Some(&facts.sources[0]));
    }
}

#[test]
fn legs_without_stamps_are_not_paired_by_stamp() {
    let Some(folder) = support::test_data("bags/legs_labelled_2") else { return };
    let path = folder.join("bags/legs_labelled_2");
    let error = label(&data(&path, None, &legs(Pairing::Stamp)), &["leg"]).unwrap_err().to_string();
    assert!(error.contains("/leg_cluster_positions") && error.contains("pairing: index"), "{error}");
}

/// Class and object of each point of the labelled clouds of a topic, by stamp.
fn truth_clouds(bag: &Bag, topic: &str) -> HashMap<i64, Vec<(u16, u16)>> {
    let short = |bytes: &[u8]| u16::from_le_bytes(bytes.try_into().unwrap());
    let clouds = bag.messages(&TopicFilter::only([topic])).unwrap().map(|message| {
        let message = message.unwrap();
        let cloud = PointCloud2::decode(&message.data).unwrap();
        let points = cloud.data.chunks_exact(16).map(|point| (short(&point[12..14]), short(&point[14..16])));
        (cloud.header.stamp.to_nanoseconds(), points.collect::<Vec<_>>())
    });
    clouds.collect()
}

/// The middles of the objects in `base_link`, by stamp and number.
fn truth_boxes(bag: &Bag) -> HashMap<(i64, u16), [f64; 3]> {
    let mut boxes = HashMap::new();
    for message in bag.messages(&TopicFilter::only(["/truth/detections_3d"])).unwrap() {
        let message = message.unwrap();
        let array = Detection3DArray::decode(&message.data).unwrap();
        for detection in &array.detections {
            let Point { x, y, z } = detection.bbox.center.position;
            boxes.insert((array.header.stamp.to_nanoseconds(), detection.id.parse().unwrap()), [x, y, z]);
        }
    }
    boxes
}

#[test]
fn the_warehouse_is_labelled_as_its_truth_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("warehouse");
    let settings = Settings { seconds: 8.0, seed: 4, rate: 0.5, width: 32, height: 32, ..Settings::default() };
    record(&settings, &path, false, |_| ControlFlow::Continue(())).unwrap();
    let bag = Bag::open(&path).unwrap();
    let boxes = truth_boxes(&bag);
    // The truth numbers person 1, forklift 2 and pallet 3.
    let classes = ["forklift", "person"];
    for (topic, labelled_topic, sweeps, mount) in
        [("/points", "/truth/points", 40, [0.0, 0.0, 1.6]), ("/scan", "/truth/scan_labels", 80, [0.3, 0.0, 0.3])]
    {
        let truth = TruthLabels {
            points: Some(labelled_topic.into()),
            boxes: Some("/truth/detections_3d".into()),
            ..TruthLabels::default()
        };
        let recording = label(&data(&path, Some(topic), &truth), &classes).unwrap();
        assert!(recording.loss.is_empty(), "{}", recording.loss);
        assert_eq!(recording.sweeps.len(), sweeps);
        assert!(recording.sweeps.is_sorted_by_key(|labelled| labelled.stamp));
        let clouds = truth_clouds(&bag, labelled_topic);
        let (mut on_objects, mut placed) = (0, 0);
        for labelled in &recording.sweeps {
            let expected = &clouds[&labelled.stamp];
            assert_eq!(expected.len(), labelled.labels.points.len());
            let mut numbers: BTreeMap<u32, u16> = BTreeMap::new();
            for ((point, target), &(class, object)) in
                labelled.sweep.points.iter().zip(&labelled.labels.points).zip(expected)
            {
                let wanted = match class {
                    _ if is_void(point) => PointTarget::IGNORED,
                    1 => PointTarget::of_class(1, target.object),
                    2 => PointTarget::of_class(0, target.object),
                    _ => PointTarget::BACKGROUND,
                };
                assert_eq!(*target, wanted, "class {class} at {point:?}");
                if let PointClass::Class(_) = target.class {
                    let place = target.object.expect("the truth has objects");
                    assert_eq!(*numbers.entry(place).or_insert(object), object);
                    on_objects += 1;
                }
            }
            assert_eq!(numbers.len(), labelled.labels.objects.len());
            for (place, number) in numbers {
                let object = &labelled.labels.objects[place as usize];
                // Boxes come with each cloud, which is with every other scan, and within 20 m.
                let Some(center) = boxes.get(&(labelled.stamp, number)) else {
                    assert_eq!((object.size, object.yaw), (None, None));
                    assert!(object.center.iter().all(|value| value.is_finite()));
                    continue;
                };
                placed += 1;
                assert!(object.size.is_some() && object.yaw.is_some());
                for axis in 0..3 {
                    assert!((f64::from(object.center[axis]) - (center[axis] - mount[axis])).abs() < 1e-4, "{object:?}");
                }
            }
            assert_eq!(labelled.truth.as_ref(), Some(&labelled.labels));
        }
        assert!(on_objects >= 50, "only {on_objects} points of {topic} on objects");
        assert!(placed >= 5, "only {placed} objects of {topic} with a box");

        let file = folder.path().join("labels.parquet");
        write_labels(&file, &recording).unwrap();
        let read = read_labels(&file).unwrap();
        assert_eq!((&read.facts, &read.loss), (&recording.facts, &recording.loss));
        for (read, written) in read.sweeps.iter().zip(&recording.sweeps) {
            assert_eq!((read.stamp, &read.labels, &read.truth), (written.stamp, &written.labels, &written.truth));
        }
    }
}

#[test]
fn boxes_alone_label_nearly_the_same_points() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("warehouse");
    let settings = Settings { seconds: 4.0, seed: 4, rate: 0.5, width: 32, height: 32, ..Settings::default() };
    record(&settings, &path, false, |_| ControlFlow::Continue(())).unwrap();
    let classes = ["person", "forklift", "pallet"];
    let by_boxes = TruthLabels { boxes: Some("/truth/detections_3d".into()), ..TruthLabels::default() };
    let by_points = TruthLabels { points: Some("/truth/points".into()), ..TruthLabels::default() };
    let found = label(&data(&path, Some("/points"), &by_boxes), &classes).unwrap();
    let truth = label(&data(&path, Some("/points"), &by_points), &classes).unwrap();
    let (mut on_objects, mut found_there, mut same_class, mut claimed) = (0, 0, 0, 0);
    for (found, truth) in found.sweeps.iter().zip(&truth.sweeps) {
        let targets = found.labels.points.iter().zip(&truth.labels.points);
        for (point, (found, truth)) in truth.sweep.points.iter().zip(targets) {
            // Objects are listed within 20 m of the robot.
            if is_void(point) || point[0].hypot(point[1]) > 15.0 {
                continue;
            }
            let is_object = |target: &PointTarget| target.class != PointClass::Background;
            on_objects += usize::from(is_object(truth));
            claimed += usize::from(is_object(found));
            found_there += usize::from(is_object(truth) && is_object(found));
            same_class += usize::from(is_object(truth) && found.class == truth.class);
        }
    }
    assert!(on_objects >= 100, "only {on_objects} points on objects");
    assert!(found_there * 100 >= on_objects * 97, "{found_there} of {on_objects} points found");
    // Boxes overlap where a forklift carries a pallet, and have floor and racks in them.
    assert!(same_class * 10 >= on_objects * 8, "{same_class} of {on_objects} points of the right class");
    assert!(found_there * 10 >= claimed * 7, "{found_there} of {claimed} points in boxes are on objects");

    // Which of the two sweeps is meant must be said; what is true is none of them.
    let error = label(&data(&path, None, &by_points), &classes).unwrap_err().to_string();
    assert!(error.contains("name one of them as `topic`: /") && error.contains("/points"), "{error}");
    assert!(error.contains("/scan") && !error.contains("/truth"), "{error}");
    let error = label(&data(&path, Some("/points"), &by_points), &["cat"]).unwrap_err().to_string();
    assert!(error.contains("LabelInfo names person, forklift, pallet, none of"), "{error}");
}

fn header(stamp: i64, frame_id: &str) -> Header<'_> {
    Header { stamp: Time::from_nanoseconds(stamp), frame_id }
}

/// A scan of three beams, at 0, 0.1 and 0.2 rad.
fn scan(stamp: i64, ranges: &[f32; 3]) -> Vec<u8> {
    let scan = LaserScan {
        header: header(stamp, "laser"),
        angle_min: 0.0,
        angle_max: 0.2,
        angle_increment: 0.1,
        range_min: 0.1,
        range_max: 10.0,
        ranges: Floats::from(&ranges[..]),
        ..LaserScan::default()
    };
    scan.encode()
}

fn pose(x: f64) -> PoseArray<'static> {
    let position = Point { x, y: 0.0, z: 0.0 };
    PoseArray { header: header(0, ""), poses: vec![Pose { position, ..Pose::default() }] }
}

/// Three scans, the second one cut short, with so many poses.
fn scans_with_poses(path: &Path, poses: usize) {
    let mut writer = BagWriter::create(path).unwrap();
    let scans = writer.add::<LaserScan>("/scan", OfferedQos::SENSOR).unwrap();
    let people = writer.add::<PoseArray<'_>>("/people", OfferedQos::RELIABLE).unwrap();
    for index in 0..3 {
        let bytes = scan((index + 1) * SECOND, &[2.0 + index as f32, 6.0, f32::INFINITY]);
        let bytes = if index == 1 { &bytes[..bytes.len() / 2] } else { &bytes[..] };
        writer.write(scans, index, bytes).unwrap();
    }
    for index in 0..poses {
        writer.write(people, 10, &pose(2.0 + index as f64).encode()).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn broken_sweeps_are_counted_and_keep_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag");
    scans_with_poses(&path, 3);
    let truth = TruthLabels { poses: Some("/people".into()), pairing: Pairing::Index, ..TruthLabels::default() };
    let recording = label(&data(&path, None, &truth), &["person"]).unwrap();
    assert_eq!((recording.loss.broken, recording.loss.messages), (1, 1), "{}", recording.loss);
    assert!(recording.loss.to_string().contains("/scan"), "{}", recording.loss);
    let stamps: Vec<i64> = recording.sweeps.iter().map(|labelled| labelled.stamp).collect();
    assert_eq!(stamps, [SECOND, 3 * SECOND]);
    for (labelled, x) in recording.sweeps.iter().zip([2.0, 4.0]) {
        let on_person = PointTarget::of_class(0, Some(0));
        assert_eq!(labelled.labels.points, [on_person, PointTarget::BACKGROUND, PointTarget::IGNORED]);
        assert_eq!((labelled.labels.objects[0].center, labelled.labels.objects[0].points), ([x, 0.0, 0.0], 1));
    }

    let mut told = Vec::new();
    let classes = ["person".to_owned()];
    let context = LabelContext { classes: &classes, teachers: &[], fusion: EnsembleOptions::default() };
    label_recording(&data(&path, None, &truth), &context, &mut |done, total| {
        told.push((done, total));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(told, [(0, 3), (0, 3), (0, 3), (0, 2), (1, 2), (2, 2)]);
    let stopped = label_recording(&data(&path, None, &truth), &context, &mut |_, _| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(LidarLabelError::Stopped)));
}

#[test]
fn messages_paired_by_count_must_be_as_many_as_the_sweeps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag");
    scans_with_poses(&path, 2);
    let truth = TruthLabels { poses: Some("/people".into()), pairing: Pairing::Index, ..TruthLabels::default() };
    let error = label(&data(&path, None, &truth), &["person"]).unwrap_err();
    assert!(matches!(error, LidarLabelError::Counts { messages: 2, sweeps: 3, .. }), "{error}");
    let error = label(&data(&path, None, &truth), &["person", "leg"]).unwrap_err().to_string();
    assert!(error.contains("labels.0.truth.class: say which class"), "{error}");
    let missing = TruthLabels { poses: Some("/peple".into()), class: Some("person".into()), ..TruthLabels::default() };
    let error = label(&data(&path, None, &missing), &["person"]).unwrap_err().to_string();
    assert!(error.contains("no topic `/peple`") && error.contains("/people"), "{error}");
}

/// One scan and a box around its first beam's end, given in another frame.
fn scan_with_box(path: &Path, has_transform: bool) {
    let mut writer = BagWriter::create(path).unwrap();
    let scans = writer.add::<LaserScan>("/scan", OfferedQos::SENSOR).unwrap();
    let boxes = writer.add::<Detection3DArray<'_>>("/boxes", OfferedQos::RELIABLE).unwrap();
    if has_transform {
        let tf = writer.add::<TFMessage<'_>>("/tf_static", OfferedQos::LATCHED).unwrap();
        let transform = Transform { translation: Vector3 { x: 0.5, y: 0.0, z: 0.25 }, rotation: Quaternion::default() };
        let stamped = TransformStamped { header: header(SECOND, "base"), child_frame_id: "laser", transform };
        writer.write(tf, 1, &TFMessage { transforms: vec![stamped] }.encode()).unwrap();
    }
    writer.write(scans, 2, &scan(SECOND, &[2.0, 6.0, 7.0])).unwrap();
    let center = Pose { position: Point { x: 2.5, y: 0.0, z: 0.25 }, ..Pose::default() };
    let hypothesis = ObjectHypothesis { class_id: "person", score: 1.0 };
    let detection = Detection3D {
        header: header(SECOND, "base"),
        results: vec![ObjectHypothesisWithPose { hypothesis, ..ObjectHypothesisWithPose::default() }],
        bbox: BoundingBox3D { center, size: Vector3 { x: 0.4, y: 0.4, z: 0.4 } },
        id: "1",
    };
    let array = Detection3DArray { header: header(SECOND, "base"), detections: vec![detection] };
    writer.write(boxes, 3, &array.encode()).unwrap();
    writer.finish().unwrap();
}

#[test]
fn boxes_are_brought_over_from_their_frame() {
    let folder = tempfile::tempdir().unwrap();
    let (path, apart) = (folder.path().join("bag"), folder.path().join("apart"));
    let truth = TruthLabels { boxes: Some("/boxes".into()), ..TruthLabels::default() };
    scan_with_box(&path, true);
    let recording = label(&data(&path, None, &truth), &["person"]).unwrap();
    let labels = &recording.sweeps[0].labels;
    assert_eq!(labels.points[0], PointTarget::of_class(0, Some(0)));
    assert_eq!(labels.points[1..], [PointTarget::BACKGROUND; 2]);
    assert_eq!(labels.objects[0].center, [2.0, 0.0, 0.0]);
    assert_eq!(labels.objects[0].size, Some([0.4, 0.4, 0.4]));
    scan_with_box(&apart, false);
    let error = label(&data(&apart, None, &truth), &["person"]).unwrap_err().to_string();
    assert!(error.contains("/boxes") && error.contains("base"), "{error}");
}
