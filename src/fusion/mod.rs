//! One list of objects on the floor out of what the lidar and the cameras found at the same time.
//!
//! All is in a target frame whose plane z = 0 is the floor. Classes are indices into one list that the caller has made of the
//! lidar's and the cameras' own.

mod evidence;
pub mod footprint;
mod ground;
mod merge;
mod options;
mod projection;
mod solid;
#[cfg(test)]
mod tests;

use nalgebra::Vector2;

use crate::{
    geometry::{Box2, CameraModel, RigidTransform},
    model::lidar::LidarObject,
    tracking::{Measurement, Source, assignment::assign, mahalanobis, profile_of},
};

pub use footprint::FootprintOptions;
pub use options::FusionOptions;

use ground::Located;
use merge::CameraObject;
use projection::View;
use solid::Solid;

/// Something that a camera's detector found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CameraBox {
    /// Index of its class.
    pub class: usize,
    /// Confidence in `[0, 1]`.
    pub score: f32,
    /// Where, in pixels of the image that the camera model is for.
    pub bbox: Box2,
}

/// All that one camera found.
#[derive(Clone, Copy)]
pub struct CameraBoxes<'a> {
    /// The boxes, the detector's own duplicates already suppressed.
    pub detections: &'a [CameraBox],
    /// How the camera sees.
    pub model: &'a CameraModel,
    /// From the optical frame to the target frame, at the image's time.
    pub optical_in_target: RigidTransform,
}

/// All that the lidar found.
#[derive(Clone, Copy)]
pub struct LidarObjects<'a> {
    /// The objects in the sensor's frame.
    pub objects: &'a [LidarObject],
    /// From the sensor's frame to the target frame, at the sweep's time.
    pub sensor_in_target: RigidTransform,
}

/// Boxes of one camera, and objects of the lidar, that are looked at: those of the best scores. Assignment takes time by the third power
/// of their number.
const MOST_OBJECTS: usize = 256;

/// Joins what cameras and lidar found into one list in the target frame: first the lidar's objects, then what only cameras saw.
///
/// - **Lidar and camera.** The corners of each lidar box, projected into a camera, span a box in its image. Camera boxes and lidar
///   boxes are assigned to each other by intersection over union, as long as the camera box is about as high as its class would be at
///   the lidar's distance; camera boxes left over then by the Mahalanobis distance of their own place on the floor from lidar objects
///   that have no box in this camera yet. A pair keeps the lidar's place, size and yaw; class and score are combined by Dempster's rule.
/// - **Lidar alone** keeps its score.
/// - **Camera alone.** The range is that at which the ray through the middle of the box's lower edge meets the floor; where the ray
///   does not, that at which something of the class's typical height is as high as the box. When the lower edge is cut off by the
///   image, only an upper bound is known, and the place is the middle of what is possible. Covariances come from pixels and angles
///   through the derivative of the range: long along the ray, narrow across. What lies beyond `max_range` is left out, and so is a box
///   of the same class that overlaps a lidar object which has another box already: it is its double.
/// - **Several cameras.** What several cameras alone saw is one object when the Mahalanobis distance says so; their places are
///   weighted by their inverse covariances.
///
/// Of more than 256 boxes of a camera, or objects of the lidar, those of the best scores count; what is not finite is left out.
pub fn fuse(
    cameras: &[CameraBoxes<'_>],
    lidar: Option<&LidarObjects<'_>>,
    options: &FusionOptions,
) -> Vec<Measurement> {
    let mut solids: Vec<Solid> = lidar.map_or_else(Vec::new, |lidar| Solid::all(lidar, options));
    let mut alone: Vec<CameraObject> = Vec::new();
    for (number, camera) in cameras.iter().enumerate() {
        let detections = strongest(camera.detections.iter().copied().filter(is_sound), |detection| detection.score);
        let camera = &CameraBoxes { detections: &detections, ..*camera };
        let views: Vec<Option<View>> = solids.iter().map(|solid| View::of(solid, camera)).collect();
        let located: Vec<Option<Located>> = camera
            .detections
            .iter()
            .map(|detection| ground::locate(&detection.bbox, detection.class, camera, options))
            .collect();
        let pairs = pair(camera, &solids, &views, &located, options);
        for ((detection, place), found) in camera.detections.iter().zip(&located).zip(&pairs) {
            if let Some(solid) = *found {
                solids[solid].hear(detection);
                continue;
            }
            let is_double = solids.iter().zip(&views).enumerate().any(|(place, (solid, view))| {
                solid.class() == detection.class
                    && pairs.contains(&Some(place))
                    && view.as_ref().is_some_and(|view| view.hull.iou(&detection.bbox) >= options.explained_iou)
            });
            if let (false, Some(place)) = (is_double || detection.score < options.camera_only_score, place) {
                alone.push(CameraObject {
                    camera: number,
                    class: detection.class,
                    score: detection.score.min(1.0),
                    place: *place,
                });
            }
        }
    }
    let mut measurements: Vec<Measurement> = solids.iter().map(Solid::measurement).collect();
    measurements.extend(merge::merge(alone, options).iter().map(|object| of_camera(object, options)));
    measurements
}

/// At most [`MOST_OBJECTS`]: those of the best scores, else all in their order.
fn strongest<T>(found: impl Iterator<Item = T>, score: impl Fn(&T) -> f32) -> Vec<T> {
    let mut found: Vec<T> = found.collect();
    if found.len() > MOST_OBJECTS {
        found.sort_by(|a, b| score(b).total_cmp(&score(a)));
        found.truncate(MOST_OBJECTS);
    }
    found
}

/// Whether a camera's detection is one.
fn is_sound(detection: &CameraBox) -> bool {
    detection.bbox.is_valid() && detection.score.is_finite() && detection.score > 0.0
}

/// For each detection of a camera the lidar object that it shows.
fn pair(
    camera: &CameraBoxes<'_>,
    solids: &[Solid],
    views: &[Option<View>],
    located: &[Option<Located>],
    options: &FusionOptions,
) -> Vec<Option<usize>> {
    let by_overlap: Vec<Vec<Option<f64>>> = camera
        .detections
        .iter()
        .map(|detection| {
            let cost = |(solid, view): (&Solid, &Option<View>)| {
                let view = view.as_ref()?;
                view.cost(solid, detection, camera, options)
            };
            solids.iter().zip(views).map(cost).collect()
        })
        .collect();
    let mut pairs = assign(solids.len(), &by_overlap, &vec![projection::HIGHEST_COST; by_overlap.len()]);

    let mut taken = vec![false; solids.len()];
    for solid in pairs.iter().flatten() {
        taken[*solid] = true;
    }
    let gate = mahalanobis::gate(options.gate_probability);
    let by_place: Vec<Vec<Option<f64>>> = (0..camera.detections.len())
        .map(|place| {
            let detection = &camera.detections[place];
            let located = located[place].as_ref().filter(|_| pairs[place].is_none());
            (0..solids.len())
                .map(|number| {
                    let solid = &solids[number];
                    let view = views[number].as_ref().filter(|view| {
                        // Beside each other in the image they are two, whatever the uncertain range says.
                        view.hull.x_min < detection.bbox.x_max && detection.bbox.x_min < view.hull.x_max
                    });
                    if taken[number] || view.is_none() || solid.class() != detection.class {
                        return None;
                    }
                    let located = located?;
                    let difference = located.position - solid.place();
                    mahalanobis::squared_distance(&difference, &(located.covariance + solid.covariance()))
                        .filter(|distance| *distance <= gate)
                })
                .collect()
        })
        .collect();
    let second = assign(solids.len(), &by_place, &vec![gate; by_place.len()]);
    for (first, second) in pairs.iter_mut().zip(second) {
        *first = first.or(second);
    }
    pairs
}

/// The measurement of what only cameras saw: on the floor, as large as its class typically is.
fn of_camera(object: &CameraObject, options: &FusionOptions) -> Measurement {
    let size = profile_of(&options.profiles, object.class).size;
    let position: Vector2<f64> = object.place.position;
    let covariance = &object.place.covariance;
    Measurement {
        class: object.class,
        score: object.score,
        position: [position[0], position[1], size[2] / 2.0],
        covariance: [[covariance[(0, 0)], covariance[(0, 1)]], [covariance[(1, 0)], covariance[(1, 1)]]],
        size,
        yaw: 0.0,
        source: Source::Camera,
    }
}
