//! Camera frames and their truth, from bags and folders.

use std::path::Path;

use distilled_perception::{
    distill::bag::{BagError, BagWriter, Frames, OfferedQos, TruthSource},
    messages::{
        BoundingBox2D, CompressedImage, Detection2D, Detection2DArray, Header, Image, ObjectHypothesis,
        ObjectHypothesisWithPose, Point2D, Pose2D, Time,
    },
};

fn header(frame: i64) -> Header<'static> {
    Header { stamp: Time::from_nanoseconds(frame * 100_000_000 + 7), frame_id: "camera" }
}

fn image(frame: i64) -> Vec<u8> {
    let pixel = frame as u8;
    let data = [pixel; 12];
    Image { header: header(frame), height: 2, width: 2, encoding: "rgb8", is_bigendian: 0, step: 6, data: &data }
        .encode()
}

/// One box around (10, 20), as wide as the frame's number plus 2.
fn truth(frame: i64) -> Vec<u8> {
    let hypothesis = |class_id, score| ObjectHypothesisWithPose {
        hypothesis: ObjectHypothesis { class_id, score },
        pose: Default::default(),
    };
    let detection = Detection2D {
        header: header(frame),
        results: vec![hypothesis("pallet", 0.2), hypothesis("person", 0.8)],
        bbox: BoundingBox2D {
            center: Pose2D { position: Point2D { x: 10.0, y: 20.0 }, theta: 0.0 },
            size_x: frame as f64 + 2.0,
            size_y: 4.0,
        },
        id: "",
    };
    Detection2DArray { header: header(frame), detections: vec![detection] }.encode()
}

/// A bag of frames; `truth_after` says by how many frames the truth comes late (or early).
fn bag(path: &Path, frames: i64, truth_after: i64) {
    let mut writer = BagWriter::create(path).unwrap();
    let camera = writer.add::<Image>("/camera", OfferedQos::SENSOR).unwrap();
    let boxes = writer.add::<Detection2DArray>("/truth", OfferedQos::RELIABLE).unwrap();
    for step in 0..frames + truth_after.abs() {
        let time = step * 100_000_000;
        let (image_at, truth_at) = (step + truth_after.min(0), step - truth_after.max(0));
        if (0..frames).contains(&image_at) {
            writer.write(camera, time, &image(image_at)).unwrap();
        }
        if (0..frames).contains(&truth_at) && truth_at != 3 {
            writer.write(boxes, time, &truth(truth_at)).unwrap();
        }
    }
    writer.finish().unwrap();
}

#[test]
fn truth_is_matched_by_stamp_whether_it_comes_before_or_after() {
    for truth_after in [0, 5, -5] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bag");
        bag(&path, 150, truth_after);
        let mut frames = Frames::open(&path, None, TruthSource::Topic("/truth".into())).unwrap();
        let read: Vec<_> = frames.by_ref().map(|frame| frame.unwrap()).collect();
        assert_eq!(read.len(), 150, "{truth_after}");
        for (place, frame) in read.iter().enumerate() {
            let number = place as i64;
            assert_eq!((frame.index, frame.stamp), (place as u64, number * 100_000_000 + 7));
            assert_eq!(frame.decode().unwrap().get_pixel(1, 1).0, [number as u8; 3]);
            if number == 3 {
                assert_eq!(frame.truth, None);
                continue;
            }
            let truth = frame.truth.as_ref().unwrap();
            assert_eq!(truth[0].class, "person");
            assert_eq!(truth[0].bbox.width(), number as f32 + 2.0);
            assert_eq!(truth[0].bbox.center(), (10.0, 20.0));
        }
        assert!(frames.loss().is_empty());
        assert_eq!(frames.without_truth(), 1);
    }
}

#[test]
fn broken_messages_are_counted_and_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag");
    let mut writer = BagWriter::create(&path).unwrap();
    let camera = writer.add::<Image>("/camera", OfferedQos::SENSOR).unwrap();
    for frame in 0..10 {
        let mut message = image(frame);
        if frame == 4 {
            message.truncate(40);
        }
        writer.write(camera, frame, &message).unwrap();
    }
    writer.finish().unwrap();
    let mut frames = Frames::open(&path, Some("/camera"), TruthSource::None).unwrap();
    assert_eq!(frames.by_ref().count(), 9);
    assert_eq!((frames.loss().broken, frames.loss().messages), (1, 1));
    assert!(frames.loss().to_string().contains("/camera"));
}

#[test]
fn the_camera_must_be_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag");
    let mut writer = BagWriter::create(&path).unwrap();
    for name in ["/left", "/right"] {
        let camera = writer.add::<Image>(name, OfferedQos::SENSOR).unwrap();
        writer.write(camera, 1, &image(1)).unwrap();
    }
    let idle = writer.add::<CompressedImage>("/idle", OfferedQos::SENSOR).unwrap();
    let boxes = writer.add::<Detection2DArray>("/truth", OfferedQos::SENSOR).unwrap();
    writer.write(boxes, 1, &truth(1)).unwrap();
    let _ = idle;
    writer.finish().unwrap();
    let open = |topic, truth| Frames::open(&path, topic, truth).map(|_| ());
    assert!(matches!(open(None, TruthSource::None), Err(BagError::SeveralCameras { candidates, .. })
        if candidates == ["/left", "/right"]));
    assert!(matches!(open(Some("/truth"), TruthSource::None), Err(BagError::WrongType { .. })));
    assert!(matches!(open(Some("/none"), TruthSource::None), Err(BagError::UnknownTopic { .. })));
    let wrong = open(Some("/left"), TruthSource::Topic("/right".into())).unwrap_err().to_string();
    assert!(wrong.contains("Detection2DArray"), "{wrong}");
    assert!(open(Some("/left"), TruthSource::None).is_ok());
}

const LABELS: &str = r#"{"images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "gone.png"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 1]}],
    "categories": [{"id": 1, "name": "person"}]}"#;

#[test]
fn folders_of_images_with_coco_labels() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.png", "b.png"] {
        image::RgbImage::from_pixel(4, 3, image::Rgb([9, 8, 7])).save(folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("labels.json"), LABELS).unwrap();
    let mut frames = Frames::open(folder.path(), None, TruthSource::None).unwrap();
    assert_eq!((frames.len_hint(), frames.truth_classes()), (Some(2), ["person".to_owned()].as_slice()));
    let read: Vec<_> = frames.by_ref().map(|frame| frame.unwrap()).collect();
    assert_eq!(read[0].truth.as_ref().unwrap()[0].bbox.area(), 2.0);
    assert_eq!((read[1].name.as_str(), read[1].stamp, &read[1].truth), ("b.png", 100_000_000, &None));
    assert_eq!(read[1].decode().unwrap().get_pixel(3, 2).0, [9, 8, 7]);
    assert_eq!(frames.unknown_images(), ["gone.png"]);
    assert!(Frames::open(folder.path(), Some("/camera"), TruthSource::None).is_err());
    assert!(Frames::open(folder.path(), None, TruthSource::Topic("/truth".into())).is_err());
    let missing = TruthSource::Coco(folder.path().join("none.json"));
    assert!(matches!(Frames::open(folder.path(), None, missing), Err(BagError::NotFound { .. })));
}
