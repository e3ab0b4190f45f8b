//! The labeller in the synthetic warehouse, with the true boxes in the place of the teachers': what is wrong then is its own doing.

use std::time::Duration;

use super::{CalibrationEstimate, CameraImage, CameraLabeller, CameraLabels};
use crate::{
    distill::{
        lidar::labels::{PointClass, SweepLabels},
        synth::{
            CLASSES, Pose, Vec3, Warehouse,
            camera::Camera,
            lidar::{Lidar, Return},
            truth::{Visibility, sightings},
        },
    },
    geometry::{CameraModel, FusedBox, RigidTransform},
    messages::{CameraInfo, Header, Time, TransformStamped},
    sensing::{range_image::Sweep, transforms::TransformBuffer},
};

const SECOND: i64 = 1_000_000_000;

fn rigid(pose: &Pose) -> RigidTransform {
    let origin = [pose.origin.x, pose.origin.y, pose.origin.z].map(f64::from);
    RigidTransform::from_parts(origin, pose.quaternion()).unwrap()
}

fn insert(buffer: &mut TransformBuffer, stamp: i64, [parent, child]: [&str; 2], transform: &RigidTransform) {
    let header = Header { stamp: Time::from_nanoseconds(stamp), frame_id: parent };
    let stamped = TransformStamped { header, child_frame_id: child, transform: transform.to_message() };
    buffer.insert(&stamped, parent == "base_link").unwrap();
}

/// What a lidar measured, as a sweep.
pub fn sweep(lidar: &Lidar, returns: &[Return]) -> Sweep {
    let point = |(index, measured): (usize, &Return)| {
        if measured.range.is_infinite() {
            return [f32::NAN; 3];
        }
        let point = lidar.direction(index / lidar.beams, index % lidar.beams) * measured.range;
        [point.x, point.y, point.z]
    };
    let points = returns.iter().enumerate().map(point).collect();
    Sweep { points, intensities: Vec::new(), rings: Vec::new(), rows: lidar.rings.len() }
}

/// Points by what was said of them, all classes together.
#[derive(Debug, Default)]
struct Tally {
    right: usize,
    wrong: usize,
    missed: usize,
    background: usize,
}

impl Tally {
    fn add(&mut self, labels: &SweepLabels, returns: &[Return]) {
        for (point, measured) in labels.points.iter().zip(returns).filter(|(point, _)| point.weight > 0.0) {
            match point.class {
                PointClass::Class(class) if class + 1 == measured.class => self.right += 1,
                PointClass::Class(_) => self.wrong += 1,
                PointClass::Background if measured.class > 0 => self.missed += 1,
                PointClass::Background => self.background += 1,
            }
        }
    }
}

/// Labels sweeps of the scanner and of the spinning lidar, the camera being turned by so many degrees more to the left than the
/// transforms say: the tallies of both, and what the calibration looks like.
fn label(turned: f32) -> ([Tally; 2], CalibrationEstimate) {
    let camera = Camera::new(320, 192);
    let (focal, x, y) = (f64::from(camera.focal), f64::from(camera.center_x), f64::from(camera.center_y));
    let k = [focal, 0.0, x, 0.0, focal, y, 0.0, 0.0, 1.0];
    let info = CameraInfo { width: 320, height: 192, k, ..CameraInfo::default() };
    let model = CameraModel::from_info(&info).unwrap();
    let lidars = [Lidar::scanner(), Lidar::spinning()];
    let warehouse = Warehouse::new(3);
    let mut transforms = TransformBuffer::new(Duration::from_secs(100));
    let mount = camera.mount.then(&Pose::yawed(Vec3::default(), -turned.to_radians())).then(&Camera::optical());
    insert(&mut transforms, 0, ["base_link", "optical"], &rigid(&mount));
    for (name, lidar) in ["laser", "lidar"].into_iter().zip(&lidars) {
        insert(&mut transforms, 0, ["base_link", name], &rigid(&lidar.mount));
    }
    let (mut images, mut sweeps) = (Vec::new(), Vec::new());
    for number in 0..14_u16 {
        let scene = warehouse.at(f32::from(number) * 1.5);
        let stamp = i64::from(number) * SECOND * 3 / 2;
        insert(&mut transforms, stamp, ["odom", "base_link"], &rigid(scene.robot()));
        let picture = camera.picture(&scene, number.into());
        let seen = sightings(&scene, &camera, &picture, &Visibility::default());
        let boxes = seen.iter().map(|sighting| FusedBox {
            bbox: sighting.bbox,
            probabilities: CLASSES.iter().map(|class| if *class == sighting.class { 1.0 } else { 0.0 }).collect(),
            agreement: 1.0,
            trust: 1.0,
        });
        images.push(CameraImage { stamp, boxes: boxes.collect() });
        sweeps.push((stamp, lidars.each_ref().map(|lidar| lidar.measure(&scene, number.into()))));
    }
    let classes = CLASSES.map(|class| class.name().to_owned());
    let mut labeller =
        CameraLabeller::from_boxes(model, "optical", images, transforms, &classes, &CameraLabels::default());
    let mut tallies = [Tally::default(), Tally::default()];
    for (place, name) in ["laser", "lidar"].into_iter().enumerate() {
        for (stamp, returns) in &sweeps {
            let labels = labeller.label(*stamp, name, &sweep(&lidars[place], &returns[place]));
            tallies[place].add(&labels, &returns[place]);
        }
    }
    let calibration = labeller.calibration().unwrap();
    assert_eq!(labeller.unlabelled().without_transform, 0);
    (tallies, calibration)
}

#[test]
fn points_labelled_by_true_boxes_are_right() {
    let (tallies, calibration) = label(0.0);
    for tally in tallies {
        let said = tally.right + tally.wrong;
        assert!(tally.right > 200, "{tally:?}");
        assert!(tally.right * 100 >= said * 95, "of what is called an object, 95 % is it: {tally:?}");
        assert!(tally.missed * 100 <= (tally.right + tally.missed) * 18, "little is called background: {tally:?}");
        assert!(tally.background > tally.right / 2, "{tally:?}");
    }
    assert!(!calibration.is_suspect, "{calibration:?}");
}

#[test]
fn a_wrong_calibration_is_noticed_in_the_warehouse() {
    let (_, calibration) = label(3.0);
    assert!(calibration.is_suspect, "{calibration:?}");
    assert!((calibration.yaw_degrees - 3.0).abs() <= 0.7 && calibration.pitch_degrees.abs() <= 0.7, "{calibration:?}");
}
