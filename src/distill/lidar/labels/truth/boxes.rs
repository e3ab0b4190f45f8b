//! Truth as boxes in space: a point within one is of its class.

use crate::{
    distill::lidar::labels::{
        LabelledObject, PointTarget, SweepLabels,
        classes::{ClassNumbers, Meaning},
    },
    geometry::RigidTransform,
    messages::Detection3DArray,
    sensing::range_image::{Sweep, is_void},
};

/// Points so far outside of a box's sides and top still count, in metres: measurements are noisy and boxes are drawn tight. Not
/// below, where the floor is.
const MARGIN: f32 = 0.05;

/// A box as its message has it.
#[derive(Debug, Clone, PartialEq)]
pub struct TruthBox {
    /// The frame that it is given in.
    pub frame_id: String,
    /// Name or number of the class.
    pub class: String,
    /// Number of the object, where `id` is one.
    pub object: Option<u32>,
    /// From box coordinates (x along the length, origin in the middle) to those of the frame.
    pub pose: RigidTransform,
    /// Length, width, height in metres; a height of 0 means that none is known.
    pub size: [f32; 3],
}

/// The boxes of a message.
///
/// # Errors
/// The field that makes no sense.
pub fn boxes_of(array: &Detection3DArray<'_>) -> Result<Vec<TruthBox>, String> {
    let mut boxes = Vec::with_capacity(array.detections.len());
    for (index, detection) in array.detections.iter().enumerate() {
        let best = detection.results.iter().max_by(|a, b| a.hypothesis.score.total_cmp(&b.hypothesis.score));
        let class = best.ok_or_else(|| format!("field `detections[{index}].results` is empty: no class"))?;
        let (position, turn) = (detection.bbox.center.position, detection.bbox.center.orientation);
        let pose = RigidTransform::from_parts([position.x, position.y, position.z], [turn.x, turn.y, turn.z, turn.w])
            .ok_or_else(|| format!("field `detections[{index}].bbox.center` is no pose"))?;
        let size = detection.bbox.size;
        let size = [size.x as f32, size.y as f32, size.z as f32];
        if !size.iter().all(|side| side.is_finite() && *side >= 0.0) {
            return Err(format!("field `detections[{index}].bbox.size` is no size"));
        }
        let own = detection.header.frame_id;
        boxes.push(TruthBox {
            frame_id: if own.is_empty() { array.header.frame_id } else { own }.to_owned(),
            class: class.hypothesis.class_id.to_owned(),
            object: detection.id.trim().parse().ok(),
            pose,
            size,
        });
    }
    Ok(boxes)
}

/// A box in the frame of the sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedBox {
    /// What its class means.
    pub meaning: Meaning,
    /// Number of the object, where it is known.
    pub object: Option<u32>,
    pose: RigidTransform,
    to_box: RigidTransform,
    size: [f32; 3],
}

impl PlacedBox {
    /// The box, where `to_sweep` brings its frame's coordinates to those of the sweep.
    pub fn new(truth: &TruthBox, to_sweep: &RigidTransform, numbers: &ClassNumbers) -> Self {
        let pose = to_sweep.compose(&truth.pose);
        let meaning = numbers.of_name(&truth.class);
        Self { meaning, object: truth.object, pose, to_box: pose.inverse(), size: truth.size }
    }

    /// The box as a labelled object of a class, without points so far.
    pub fn labelled(&self, class: u16) -> LabelledObject {
        LabelledObject {
            class: usize::from(class),
            center: self.pose.translation().map(|coordinate| coordinate as f32),
            size: Some(self.size),
            yaw: Some(self.pose.yaw() as f32),
            score: 1.0,
            points: 0,
        }
    }

    /// How far from the middle to the border a point within the box is (0 to 1), `None` outside.
    pub fn depth(&self, point: [f32; 3]) -> Option<f32> {
        let local = self.to_box.apply_f32(point);
        let half = self.size.map(|side| side / 2.0);
        let mut share = 0.0f32;
        for axis in 0..2 {
            share = share.max(local[axis].abs() / (half[axis] + MARGIN));
        }
        if self.size[2] > 0.0 {
            if local[2] < -half[2] {
                return None;
            }
            share = share.max(local[2].abs() / (half[2] + MARGIN));
        }
        (share <= 1.0).then_some(share)
    }
}

/// The box that a point lies in, of several the one that it lies deepest in.
pub fn box_around(boxes: &[PlacedBox], point: [f32; 3], wanted: impl Fn(&PlacedBox) -> bool) -> Option<usize> {
    let within = boxes.iter().enumerate().filter(|(_, placed)| wanted(placed));
    let depths = within.filter_map(|(index, placed)| placed.depth(point).map(|depth| (index, depth)));
    depths.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
}

/// Labels a sweep by boxes alone. Boxes without points are left out: nothing of them was measured.
pub fn label(sweep: &Sweep, boxes: &[PlacedBox]) -> SweepLabels {
    let mut objects = Vec::new();
    let places: Vec<Option<u32>> = boxes
        .iter()
        .map(|placed| match placed.meaning {
            Meaning::Class(class) => {
                objects.push(placed.labelled(class));
                Some(objects.len() as u32 - 1)
            }
            Meaning::Background | Meaning::Unknown => None,
        })
        .collect();
    let target = |point: &[f32; 3]| {
        if is_void(point) {
            return PointTarget::IGNORED;
        }
        let Some(index) = box_around(boxes, *point, |_| true) else { return PointTarget::BACKGROUND };
        match boxes[index].meaning {
            Meaning::Class(class) => PointTarget::of_class(class, places[index]),
            Meaning::Background => PointTarget::BACKGROUND,
            Meaning::Unknown => PointTarget::IGNORED,
        }
    };
    let mut labels = SweepLabels { points: sweep.points.iter().map(target).collect(), objects };
    labels.count_points(|object| object.points > 0);
    labels
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::messages::{
        BoundingBox3D, Detection3D, Header, ObjectHypothesis, ObjectHypothesisWithPose, Point, Pose, Quaternion,
        Vector3,
    };

    /// A sweep with these points in one row.
    pub fn sweep(points: &[[f32; 3]]) -> Sweep {
        Sweep { points: points.to_vec(), intensities: Vec::new(), rings: Vec::new(), rows: 1 }
    }

    /// A box of a class, turned about z.
    pub fn detection<'a>(class: &'a str, id: &'a str, center: [f64; 3], yaw: f64, size: [f64; 3]) -> Detection3D<'a> {
        let [x, y, z] = center;
        let orientation = Quaternion { x: 0.0, y: 0.0, z: (yaw / 2.0).sin(), w: (yaw / 2.0).cos() };
        let center = Pose { position: Point { x, y, z }, orientation };
        let hypothesis = ObjectHypothesis { class_id: class, score: 0.9 };
        Detection3D {
            header: Header::default(),
            results: vec![ObjectHypothesisWithPose { hypothesis, ..ObjectHypothesisWithPose::default() }],
            bbox: BoundingBox3D { center, size: Vector3 { x: size[0], y: size[1], z: size[2] } },
            id,
        }
    }

    fn placed(detections: Vec<Detection3D<'_>>, classes: &[&str]) -> Vec<PlacedBox> {
        let array = Detection3DArray { header: Header::default(), detections };
        let classes: Vec<String> = classes.iter().map(|class| (*class).into()).collect();
        let numbers = ClassNumbers::new(&classes, None);
        let boxes = boxes_of(&array).unwrap();
        boxes.iter().map(|truth| PlacedBox::new(truth, &RigidTransform::identity(), &numbers)).collect()
    }

    #[test]
    fn points_within_a_turned_box_are_its_objects() {
        let quarter = std::f64::consts::FRAC_PI_2;
        let boxes = placed(
            vec![
                detection("person", "4", [2.0, 0.0, 1.0], quarter, [1.0, 0.4, 2.0]),
                detection("pallet", "5", [-2.0, 0.0, 0.5], 0.0, [1.0, 1.0, 1.0]),
                detection("person", "6", [9.0, 9.0, 1.0], 0.0, [1.0, 1.0, 2.0]),
            ],
            &["person"],
        );
        let points = [
            [2.0, 0.45, 1.0],          // along the turned length
            [2.45, 0.0, 1.0],          // beyond the turned width
            [2.24, 0.0, 1.0],          // within the margin
            [2.0, 0.0, -0.03],         // the floor under it
            [-2.0, 0.0, 0.5],          // a class that is not looked for
            [f32::NAN, f32::NAN, 0.0], // nothing
        ];
        let labels = label(&sweep(&points), &boxes);
        let person = PointTarget::of_class(0, Some(0));
        let background = PointTarget::BACKGROUND;
        assert_eq!(labels.points, [person, background, person, background, background, PointTarget::IGNORED]);
        let [object] = &labels.objects[..] else { panic!("{:?}", labels.objects) };
        assert_eq!((object.points, object.center, object.size), (2, [2.0, 0.0, 1.0], Some([1.0, 0.4, 2.0])));
        assert!((f64::from(object.yaw.unwrap()) - quarter).abs() < 1e-6);
        assert_eq!(boxes[0].object, Some(4));
    }

    #[test]
    fn a_point_in_two_boxes_belongs_to_the_one_it_is_deeper_in() {
        let boxes = placed(
            vec![
                detection("a", "", [0.0, 0.0, 0.0], 0.0, [2.0, 2.0, 0.0]),
                detection("b", "", [1.0, 0.0, 0.0], 0.0, [1.0, 1.0, 0.0]),
            ],
            &["a", "b"],
        );
        // Boxes without height reach up and down without end.
        let labels = label(&sweep(&[[0.9, 0.0, 5.0], [0.3, 0.0, 0.0], [0.55, 0.0, 0.0]]), &boxes);
        let classes: Vec<u32> = labels.points.iter().filter_map(|point| point.object).collect();
        assert_eq!(classes, [1, 0, 0]);
    }

    #[test]
    fn boxes_that_are_none_are_told_by_their_field() {
        let array = |detection| Detection3DArray { header: Header::default(), detections: vec![detection] };
        let good = || detection("a", "x", [0.0; 3], 0.0, [1.0; 3]);
        assert_eq!(boxes_of(&array(good())).unwrap()[0].object, None);
        let mut wrong = good();
        wrong.results.clear();
        assert!(boxes_of(&array(wrong)).unwrap_err().contains("detections[0].results"));
        let mut wrong = good();
        wrong.bbox.size.y = f64::NAN;
        assert!(boxes_of(&array(wrong)).unwrap_err().contains("bbox.size"));
        let mut wrong = good();
        wrong.bbox.center.orientation = Quaternion { x: 0.0, y: 0.0, z: 0.0, w: 0.0 };
        assert!(boxes_of(&array(wrong)).unwrap_err().contains("bbox.center"));
    }
}
