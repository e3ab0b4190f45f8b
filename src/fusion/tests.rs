//! The fusion with a camera and a lidar on a robot at the origin, and people on the floor before it.

use nalgebra::{Matrix2, Vector2};
use proptest::prelude::*;

use super::*;
use crate::messages::CameraInfo;

const PERSON: usize = 0;
const FORKLIFT: usize = 1;
/// Of the camera above the floor, in metres.
const CAMERA_HEIGHT: f64 = 1.2;

fn classes() -> Vec<String> {
    vec!["person".into(), "forklift".into()]
}

fn options() -> FusionOptions {
    FusionOptions::for_classes(&classes())
}

/// 640 x 480 pixels, 65 degrees wide, without distortion.
fn model() -> CameraModel {
    let k = [500.0, 0.0, 319.5, 0.0, 500.0, 239.5, 0.0, 0.0, 1.0];
    let info = CameraInfo {
        width: 640,
        height: 480,
        distortion_model: "plumb_bob",
        d: vec![0.0; 5],
        k,
        r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p: [500.0, 0.0, 319.5, 0.0, 0.0, 500.0, 239.5, 0.0, 0.0, 0.0, 1.0, 0.0],
        ..CameraInfo::default()
    };
    CameraModel::from_info(&info).unwrap_or_else(|error| panic!("{error}"))
}

/// A camera at a place that looks level in a direction.
fn mounted(x: f64, y: f64, yaw: f64) -> RigidTransform {
    let optical = RigidTransform::from_parts([0.0; 3], [-0.5, 0.5, -0.5, 0.5]).unwrap();
    RigidTransform::from_yaw([x, y, CAMERA_HEIGHT], yaw).compose(&optical)
}

fn lidar_sees(class: usize, x: f32, y: f32, size: [f32; 3], score: f32) -> LidarObject {
    LidarObject { class, score, center: [x, y, size[2] / 2.0 - 0.3], size, yaw: 0.0, points: 40 }
}

/// 0.3 m above the floor.
fn sensor() -> RigidTransform {
    RigidTransform::from_yaw([0.0, 0.0, 0.3], 0.0)
}

/// The box around a person who stands at a place, as a perfect detector would find it.
fn person_box(x: f64, y: f64, model: &CameraModel, mount: RigidTransform, score: f32) -> CameraBox {
    let camera = CameraBoxes { detections: &[], model, optical_in_target: mount };
    let here = RigidTransform::from_yaw([x, y, 0.85], 0.0);
    let object = LidarObject { class: PERSON, score, center: [0.0; 3], size: [0.5, 0.5, 1.7], yaw: 0.0, points: 1 };
    let solids = Solid::all(&LidarObjects { objects: &[object], sensor_in_target: here }, &options());
    CameraBox { class: PERSON, score, bbox: View::of(&solids[0], &camera).unwrap().hull }
}

/// Fuses with one camera at the origin that looks along x.
fn fuse_one(detections: &[CameraBox], objects: &[LidarObject]) -> Vec<Measurement> {
    let model = model();
    let camera = CameraBoxes { detections, model: &model, optical_in_target: mounted(0.0, 0.0, 0.0) };
    fuse(&[camera], Some(&LidarObjects { objects, sensor_in_target: sensor() }), &options())
}

fn seen(x: f64, y: f64, score: f32) -> CameraBox {
    person_box(x, y, &model(), mounted(0.0, 0.0, 0.0), score)
}

#[test]
fn camera_and_lidar_agree_on_one_person() {
    let person = lidar_sees(PERSON, 4.0, 0.5, [0.5, 0.5, 1.7], 0.6);
    let found = fuse_one(&[seen(4.05, 0.45, 0.5)], &[person]);
    assert_eq!(found.len(), 1, "{found:?}");
    let one = found[0];
    assert_eq!((one.class, one.source), (PERSON, Source::Both));
    assert!((one.score - 0.8).abs() < 1e-5);
    // The lidar's place.
    assert!((one.position[0] - 4.0).abs() < 1e-5 && (one.position[1] - 0.5).abs() < 1e-5);
    assert!((one.position[2] - 0.85).abs() < 1e-5);
    let expected = (0.06 + 0.01 * 4.0f64.hypot(0.5)).powi(2);
    assert!((one.covariance[0][0] - expected).abs() < 1e-6 && one.covariance[0][1] == 0.0);
}

#[test]
fn the_surer_class_wins() {
    let truck = lidar_sees(FORKLIFT, 4.0, 0.0, [0.6, 0.6, 1.7], 0.5);
    let found = fuse_one(&[seen(4.0, 0.0, 0.8)], &[truck]);
    assert_eq!((found.len(), found[0].class), (1, PERSON));
    assert!(found[0].score < 0.8 && found[0].score > 0.5);
}

#[test]
fn two_people_one_behind_the_other_are_two() {
    let near = lidar_sees(PERSON, 3.0, 0.0, [0.5, 0.5, 1.7], 0.6);
    // The lidar sees the near one alone; the camera both.
    let found = fuse_one(&[seen(6.0, 0.9, 0.9), seen(3.0, 0.0, 0.7)], &[near]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!((found[0].source, found[1].source), (Source::Both, Source::Camera));
    assert!((found[1].position[0] - 6.0).abs() < 0.3 && (found[1].position[1] - 0.9).abs() < 0.2, "{found:?}");
    // A second box on the one that has its own is no third person.
    let doubled = fuse_one(&[seen(3.0, 0.0, 0.7), seen(3.1, 0.05, 0.5)], &[near]);
    assert_eq!(doubled.len(), 1, "{doubled:?}");
}

#[test]
fn a_lidar_object_with_a_wrong_size_is_found_by_its_place() {
    // A flat scan's student that knows legs only: the projection is far too small for an overlap.
    let legs = lidar_sees(PERSON, 4.0, 0.0, [0.3, 0.3, 0.3], 0.6);
    let found = fuse_one(&[seen(4.0, 0.0, 0.7)], &[legs]);
    assert_eq!((found.len(), found[0].source), (1, Source::Both), "{found:?}");
    let aside = fuse_one(&[seen(4.0, 1.5, 0.7)], &[legs]);
    assert_eq!(aside.len(), 2, "{aside:?}");
}

#[test]
fn a_box_on_a_lidar_object_without_a_partner_is_no_double() {
    // The lidar takes something of twice the height for a person. The box overlaps it by 0.47 and is too high for a person at that
    // distance: it is of somebody nearer whom the lidar missed.
    let tall = lidar_sees(PERSON, 6.0, 0.0, [0.9, 0.9, 3.4], 0.6);
    let (model, boxes) = (model(), [seen(3.2, 0.0, 0.8)]);
    let camera = CameraBoxes { detections: &boxes, model: &model, optical_in_target: mounted(0.0, 0.0, 0.0) };
    let lidar = LidarObjects { objects: &[tall], sensor_in_target: sensor() };
    let found = fuse(&[camera], Some(&lidar), &FusionOptions { explained_iou: 0.3, ..options() });
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!((found[0].source, found[1].source), (Source::Lidar, Source::Camera));
}

#[test]
fn of_too_many_the_best_scores_count() {
    let line = |number: u16| -60.0 + 0.4 * f32::from(number);
    let score = |number: u16| 0.1 + 0.002 * f32::from(number);
    let objects: Vec<LidarObject> =
        (0..300).map(|number| lidar_sees(PERSON, -5.0, line(number), [0.3, 0.3, 1.7], score(number))).collect();
    let found = fuse_one(&[], &objects);
    assert_eq!(found.len(), MOST_OBJECTS);
    assert!(found.iter().all(|one| one.score >= score(44)));
}

#[test]
fn what_the_camera_does_not_see_is_kept() {
    let person = lidar_sees(PERSON, 4.0, 0.5, [0.5, 0.5, 1.7], 0.6);
    let behind = lidar_sees(PERSON, -4.0, 0.5, [0.5, 0.5, 1.7], 0.7);
    let found = fuse_one(&[], &[person, behind]);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|one| one.source == Source::Lidar));
    assert_eq!((found[0].score, found[1].score), (0.6, 0.7));
    assert!(fuse(&[], None, &options()).is_empty());
}

#[test]
fn a_box_that_is_too_high_for_its_distance_belongs_to_somebody_nearer() {
    let far = lidar_sees(PERSON, 8.0, 0.0, [0.8, 0.8, 2.0], 0.6);
    let found = fuse_one(&[seen(3.5, 0.0, 0.8)], &[far]);
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn the_foot_gives_the_place_of_what_only_a_camera_sees() {
    for (x, y) in [(3.0, 0.0), (5.0, 1.5), (8.0, -2.0)] {
        let found = fuse_one(&[seen(x, y, 0.8)], &[]);
        assert_eq!((found.len(), found[0].source, found[0].size), (1, Source::Camera, [0.5, 0.5, 1.7]));
        let error = (found[0].position[0] - x).hypot(found[0].position[1] - y);
        assert!(error < 0.05 * x, "{x} {y}: {found:?}");
        // Long along the ray, narrow across it.
        let [[xx, xy], [_, yy]] = found[0].covariance;
        let along = Vector2::new(x, y).normalize();
        let across = Vector2::new(-along[1], along[0]);
        let covariance = Matrix2::new(xx, xy, xy, yy);
        let variance = |direction: &Vector2<f64>| direction.dot(&(covariance * direction));
        assert!(variance(&along) > 2.0 * variance(&across), "{x} {y}: {covariance}");
        // By hand: half a degree and the box's edge at a height of 1.2 m, and the depth of a person.
        let height_pixels = 500.0 * 1.7 / (x - 0.25);
        let angle = (0.009f64).hypot(2.0f64.hypot(0.04 * height_pixels) / 500.0);
        let expected = (x * x + 1.44) / 1.2 * angle;
        assert!((variance(&along).sqrt() / expected - 1.0).abs() < 0.3, "{} {expected}", variance(&along).sqrt());
    }
    // Beyond the range, and too unsure to stand alone.
    assert!(fuse_one(&[seen(11.0, 0.0, 0.9)], &[]).is_empty());
    assert!(fuse_one(&[seen(4.0, 0.0, 0.2)], &[]).is_empty());
}

/// The range's covariance is that of the errors which noise on the box gives.
#[test]
fn covariances_of_camera_places_hold_what_noise_does() {
    let model = model();
    let mut noise = 0x2545_F491_4F6C_DD1Du64;
    let mut normal = || {
        // The sum of twelve uniform numbers (xorshift) less six: mean 0, deviation 1.
        (0..12)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                (noise >> 11) as f64 / (1u64 << 53) as f64
            })
            .sum::<f64>()
            - 6.0
    };
    // No error of the mount and none of the shape but what the options say of the box.
    let options = FusionOptions { pitch_deviation: 0.0, yaw_deviation: 0.0, box_deviation: 0.0, ..options() };
    let camera = CameraBoxes { detections: &[], model: &model, optical_in_target: mounted(0.0, 0.0, 0.0) };
    let clean = seen(6.0, 1.0, 0.8).bbox;
    let middle = ground::locate(&clean, PERSON, &camera, &options).unwrap();
    let (mut sum, runs) = (Matrix2::<f64>::zeros(), 2000);
    for _ in 0..runs {
        let mut edge = |value: f32| value + 2.0 * normal() as f32;
        let noisy = Box2::new(edge(clean.x_min), edge(clean.y_min), edge(clean.x_max), edge(clean.y_max));
        let error = ground::locate(&noisy, PERSON, &camera, &options).unwrap().position - middle.position;
        sum += error * error.transpose() / f64::from(runs);
    }
    // Less the depth of a person (5 % of half a metre's quarter) and the least deviation, which no pixel causes.
    let constant = 0.025f64.powi(2) + 0.02f64.powi(2);
    let stated = middle.covariance.trace() - constant - 0.02f64.powi(2);
    assert!((stated / sum.trace() - 1.0).abs() < 0.15, "{stated} {}", sum.trace());
}

#[test]
fn a_foot_below_the_image_gives_an_upper_bound() {
    let near = seen(1.2, 0.0, 0.9);
    assert!(near.bbox.y_max >= 479.0);
    let found = fuse_one(&[near], &[]);
    assert_eq!(found.len(), 1);
    let [[xx, _], _] = found[0].covariance;
    assert!(found[0].position[0] < 2.5 && (found[0].position[0] - 1.2).abs() < 2.0 * xx.sqrt(), "{found:?}");
}

#[test]
fn without_a_floor_the_height_gives_the_range() {
    let model = model();
    // The target frame's floor lies above the camera: no ray meets it from above.
    let low = RigidTransform::from_yaw([0.0, 0.0, -1.0], 0.0).compose(&mounted(0.0, 0.0, 0.0));
    let sunk = RigidTransform::from_yaw([0.0, 0.0, -0.2], 0.0).compose(&low);
    let bbox = Box2::new(280.0, 150.0, 340.0, 350.0);
    let camera = CameraBoxes { detections: &[], model: &model, optical_in_target: sunk };
    let place = ground::locate(&bbox, PERSON, &camera, &options()).unwrap();
    // 1.7 m over 200 pixels at 500 pixels of focal length, and a quarter of a metre of depth.
    assert!((place.position[0] - (1.7 * 500.0 / 200.0 + 0.25)).abs() < 0.05, "{place:?}");
    assert!(place.covariance[(0, 0)].sqrt() > 0.4);
    // Cut off above as well there is nothing to go by.
    let cut = Box2::new(280.0, 0.0, 340.0, 350.0);
    assert_eq!(ground::locate(&cut, PERSON, &camera, &options()), None);
}

#[test]
fn two_cameras_see_one_person() {
    let model = model();
    let (front, side) = (mounted(0.0, 0.0, 0.0), mounted(4.0, -4.0, std::f64::consts::FRAC_PI_2));
    let boxes = [person_box(4.0, 0.0, &model, front, 0.6), person_box(4.0, 0.0, &model, side, 0.5)];
    let cameras = [
        CameraBoxes { detections: &boxes[..1], model: &model, optical_in_target: front },
        CameraBoxes { detections: &boxes[1..], model: &model, optical_in_target: side },
    ];
    let found = fuse(&cameras, None, &options());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!((found[0].score - 0.8).abs() < 1e-5);
    assert!((found[0].position[0] - 4.0).hypot(found[0].position[1]) < 0.15, "{found:?}");
    let alone = fuse(&cameras[..1], None, &options());
    assert!(found[0].covariance[0][0] < alone[0].covariance[0][0] / 2.0);
}

fn any_box() -> impl Strategy<Value = CameraBox> {
    (
        0..3usize,
        0.0..1.2f32,
        -50.0..700.0f32,
        -50.0..500.0f32,
        prop_oneof![9 => -5.0..400.0f32, 1 => Just(f32::NAN)],
        0.0..500.0f32,
    )
        .prop_map(|(class, score, x, y, width, height)| CameraBox {
            class,
            score,
            bbox: Box2::new(x, y, x + width, y + height),
        })
}

fn any_object() -> impl Strategy<Value = LidarObject> {
    let center = [-8.0..8.0f32, -8.0..8.0f32, -1.0..2.0f32];
    (0..3usize, 0.0..1.2f32, center, prop_oneof![9 => 0.0..4.0f32, 1 => Just(f32::INFINITY)], -4.0..4.0f32).prop_map(
        |(class, score, center, side, yaw)| LidarObject {
            class,
            score,
            center,
            size: [side, 0.6, 1.5],
            yaw,
            points: 3,
        },
    )
}

proptest! {
    #[test]
    fn measurements_are_finite_and_their_covariances_positive_definite(
        boxes in prop::collection::vec(any_box(), 0..8),
        objects in prop::collection::vec(any_object(), 0..8),
    ) {
        let found = fuse_one(&boxes, &objects);
        prop_assert!(found.len() <= boxes.len() + objects.len() && found.len() >= objects.len());
        for one in found {
            let numbers = one.position.iter().chain(&one.size).chain([&one.yaw]);
            prop_assert!(numbers.copied().all(f64::is_finite), "{:?}", one);
            prop_assert!((0.0..=1.0).contains(&one.score), "{:?}", one);
            let [[xx, xy], [yx, yy]] = one.covariance;
            prop_assert!(xy == yx && Matrix2::new(xx, xy, yx, yy).cholesky().is_some(), "{:?}", one);
        }
    }
}
