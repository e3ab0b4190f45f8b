//! Made-up scenes for tests: people are upright cylinders before a wall, on a floor.

use super::{projection::Viewpoint, seen_box::ClassedBox};
use crate::{
    geometry::{Box2, CameraModel, RigidTransform},
    messages::CameraInfo,
    sensing::range_image::Sweep,
};

/// Length, width and height of a staged person in metres.
pub(super) const PERSON: [f32; 3] = [0.5, 0.5, 1.75];
const RADIUS: f64 = 0.25;
const HEIGHT: f64 = 1.75;
/// Nothing farther is measured, in metres.
const REACH: f64 = 40.0;

/// A robot in the origin of `odom`, with a camera and a lidar.
pub(super) struct Stage {
    pub camera: CameraModel,
    /// The optical frame in the robot's.
    pub base_from_optical: RigidTransform,
    /// The lidar in the robot's frame.
    pub base_from_sensor: RigidTransform,
    people: Vec<[f64; 2]>,
    wall: Option<f64>,
    rings: Vec<f64>,
    beams: usize,
}

impl Stage {
    /// A lidar of 16 rings over the camera.
    pub fn cloud() -> Self {
        let rings = (0..16).map(|ring| (-15.0 + 2.0 * f64::from(ring)).to_radians()).collect();
        Self::new([0.0, 0.0, 1.6], rings, 450)
    }

    /// A scanner at the height of the shins.
    pub fn scan() -> Self {
        Self::new([0.3, 0.0, 0.3], vec![0.0], 720)
    }

    fn new(mount: [f64; 3], rings: Vec<f64>, beams: usize) -> Self {
        let k = [256.0, 0.0, 159.5, 0.0, 256.0, 95.5, 0.0, 0.0, 1.0];
        let info = CameraInfo { width: 320, height: 192, k, ..CameraInfo::default() };
        Self {
            camera: CameraModel::from_info(&info).unwrap(),
            base_from_optical: camera_mount(0.0, 5.0),
            base_from_sensor: RigidTransform::from_yaw(mount, 0.0),
            people: Vec::new(),
            wall: None,
            rings,
            beams,
        }
    }

    /// Someone stands there, in `odom`.
    pub fn person(&mut self, x: f64, y: f64) {
        self.people.push([x, y]);
    }

    /// A wall across, so far ahead.
    pub fn wall(&mut self, x: f64) {
        self.wall = Some(x);
    }

    /// The camera and the lidar of the robot that looks along x.
    pub fn viewpoint(&self) -> Viewpoint<'_> {
        Viewpoint {
            camera: &self.camera,
            optical_from_sensor: self.base_from_optical.inverse().compose(&self.base_from_sensor),
            base_from_optical: Some(self.base_from_optical),
        }
    }

    /// The boxes of the people that the camera shows wholly, were nothing before them, by their numbers; for the robot that looks along x.
    pub fn numbered_boxes(&self) -> Vec<(usize, ClassedBox)> {
        let optical_from_base = self.base_from_optical.inverse();
        let mut boxes = Vec::new();
        for (number, [x, y]) in self.people.iter().enumerate() {
            let mut bbox: Option<Box2> = None;
            for step in 0..72 {
                let (sin, cos) = (f64::from(step) * 5.0).to_radians().sin_cos();
                for z in [0.0, HEIGHT] {
                    let rim = optical_from_base.apply([x + RADIUS * cos, y + RADIUS * sin, z]);
                    let Some(pixel) = self.camera.project(rim) else { continue };
                    let [x, y] = pixel.map(|coordinate| (coordinate + 0.5) as f32);
                    let grown = bbox.get_or_insert(Box2::new(x, y, x, y));
                    *grown = Box2::new(grown.x_min.min(x), grown.y_min.min(y), grown.x_max.max(x), grown.y_max.max(y));
                }
            }
            let Some(bbox) = bbox else { continue };
            if bbox.is_valid() && bbox.clip(320.0, 192.0) == bbox {
                boxes.push((number, ClassedBox { bbox, class: 0, score: 0.9, is_sure: true }));
            }
        }
        boxes
    }

    /// [`Self::numbered_boxes`] without their numbers.
    pub fn boxes(&self) -> Vec<ClassedBox> {
        self.numbered_boxes().into_iter().map(|(_, given)| given).collect()
    }

    /// A sweep of the robot in the origin, turned by so many radians, and for each point who it lies on.
    pub fn sweep(&self, yaw: f64) -> (Sweep, Vec<Option<usize>>) {
        let odom_from_sensor = RigidTransform::from_yaw([0.0; 3], yaw).compose(&self.base_from_sensor);
        let mut sweep =
            Sweep { points: Vec::new(), intensities: Vec::new(), rings: Vec::new(), rows: self.rings.len() };
        let mut truth = Vec::new();
        for ring in &self.rings {
            for beam in 0..self.beams {
                let azimuth = std::f64::consts::TAU * (beam as f64 / self.beams as f64 - 0.5);
                let (rise, planar) = ring.sin_cos();
                let direction = [planar * azimuth.cos(), planar * azimuth.sin(), rise];
                let (range, who) = self.cast(odom_from_sensor.translation(), odom_from_sensor.rotate(direction));
                let point = direction.map(|part| (part * range) as f32);
                sweep.points.push(if range < REACH { point } else { [f32::NAN; 3] });
                truth.push(who.filter(|_| range < REACH));
            }
        }
        (sweep, truth)
    }

    /// How far a ray of length 1 gets, and to whom.
    fn cast(&self, origin: [f64; 3], ray: [f64; 3]) -> (f64, Option<usize>) {
        let mut nearest = (f64::INFINITY, None);
        let mut meet = |range: f64, who: Option<usize>| {
            if range > 0.0 && range < nearest.0 {
                nearest = (range, who);
            }
        };
        if ray[2] < 0.0 {
            meet(-origin[2] / ray[2], None);
        }
        if let Some(x) = self.wall {
            meet((x - origin[0]) / ray[0], None);
        }
        for (number, person) in self.people.iter().enumerate() {
            let [dx, dy] = [origin[0] - person[0], origin[1] - person[1]];
            let a = ray[0] * ray[0] + ray[1] * ray[1];
            let b = dx * ray[0] + dy * ray[1];
            let inside = b * b - a * (dx * dx + dy * dy - RADIUS * RADIUS);
            if inside <= 0.0 || a <= 0.0 {
                continue;
            }
            let range = (-b - inside.sqrt()) / a;
            if (0.0..=HEIGHT).contains(&(origin[2] + range * ray[2])) {
                meet(range, Some(number));
            }
        }
        nearest
    }
}

/// The optical frame of a camera 1.2 m over the floor that is turned to the left and looks down by so many degrees.
pub(super) fn camera_mount(yaw: f64, pitch: f64) -> RigidTransform {
    let half = pitch.to_radians() / 2.0;
    let turned = RigidTransform::from_yaw([0.25, 0.0, 1.2], yaw.to_radians());
    let pitched = RigidTransform::from_parts([0.0; 3], [0.0, half.sin(), 0.0, half.cos()]).unwrap();
    let optical = RigidTransform::from_parts([0.0; 3], [-0.5, 0.5, -0.5, 0.5]).unwrap();
    turned.compose(&pitched).compose(&optical)
}
