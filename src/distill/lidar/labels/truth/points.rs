//! Truth as a class, and an object, for each point.

use std::collections::HashMap;

use super::boxes::{PlacedBox, box_around};
use crate::{
    distill::lidar::labels::{
        LabelledObject, PointTarget, SweepLabels,
        classes::{ClassNumbers, Meaning},
    },
    messages::PointCloud2,
    sensing::{
        point_cloud::{NO_NUMBER, whole_numbers},
        range_image::{Sweep, is_void},
    },
};

/// Class and object of every point, as the message numbers them.
#[derive(Debug, Clone, PartialEq)]
pub struct PointTruth {
    /// Class numbers.
    pub classes: Vec<u32>,
    /// Object numbers; 0 is none.
    pub objects: Option<Vec<u32>>,
}

/// What a labelled cloud says.
///
/// # Errors
/// The field that is missing or does not fit.
pub fn points_of(cloud: &PointCloud2<'_>) -> Result<PointTruth, String> {
    let numbers = |name| whole_numbers(cloud, name).map_err(|error| error.to_string());
    let classes = numbers("class")?.ok_or("it has no field `class`")?;
    Ok(PointTruth { classes, objects: numbers("object")? })
}

/// Labels a sweep by the class of each point. Points of one class and object number are an object, and so are points without object
/// numbers in one of the `boxes` of their class. What an object's box does not tell comes from its points: the middle is that of the
/// rectangle around them along and across the line of sight, and size and yaw, of which points show one side only, are not known.
///
/// # Errors
/// When the truth has another number of points than the sweep.
pub fn label(
    sweep: &Sweep,
    truth: &PointTruth,
    boxes: &[PlacedBox],
    numbers: &ClassNumbers,
) -> Result<SweepLabels, String> {
    let points = sweep.points.len();
    if truth.classes.len() != points {
        return Err(format!("it labels {} points of a sweep with {points}", truth.classes.len()));
    }
    let mut labels = SweepLabels::ignored(points);
    let mut places: HashMap<(u16, ObjectKey), u32> = HashMap::new();
    for (index, point) in sweep.points.iter().enumerate() {
        if is_void(point) {
            continue;
        }
        labels.points[index] = match numbers.of_number(truth.classes[index]) {
            Meaning::Background => PointTarget::BACKGROUND,
            Meaning::Unknown => PointTarget::IGNORED,
            Meaning::Class(class) => {
                let key = match &truth.objects {
                    Some(objects) => Some(objects[index])
                        .filter(|object| *object != 0 && *object != NO_NUMBER)
                        .map(ObjectKey::Number),
                    None => {
                        box_around(boxes, *point, |placed| placed.meaning == Meaning::Class(class)).map(ObjectKey::Box)
                    }
                };
                let object = key.map(|key| {
                    *places.entry((class, key)).or_insert_with(|| {
                        labels.objects.push(object_of(class, key, boxes));
                        labels.objects.len() as u32 - 1
                    })
                });
                PointTarget::of_class(class, object)
            }
        };
    }
    labels.count_points(|_| true);
    place_by_points(&mut labels, sweep);
    Ok(labels)
}

/// What tells objects of one class apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ObjectKey {
    /// Their number.
    Number(u32),
    /// The box that they lie in.
    Box(usize),
}

/// The object with what its box tells; the middle is NaN where there is none.
fn object_of(class: u16, key: ObjectKey, boxes: &[PlacedBox]) -> LabelledObject {
    let known = match key {
        ObjectKey::Number(number) => boxes.iter().find(|placed| placed.object == Some(number)),
        ObjectKey::Box(index) => boxes.get(index),
    };
    known.map_or(
        LabelledObject {
            class: usize::from(class),
            center: [f32::NAN; 3],
            size: None,
            yaw: None,
            score: 1.0,
            points: 0,
        },
        |placed| placed.labelled(class),
    )
}

/// Gives objects without a middle that of their points.
fn place_by_points(labels: &mut SweepLabels, sweep: &Sweep) {
    for (place, object) in labels.objects.iter_mut().enumerate() {
        if !is_void(&object.center) {
            continue;
        }
        let own = labels.points.iter().zip(&sweep.points).filter(|(target, _)| target.object == Some(place as u32));
        let own: Vec<[f32; 3]> = own.map(|(_, point)| *point).collect();
        object.center = middle_of(&own);
    }
}

/// The middle of the upright box around points, turned along the line of sight to them so that it does not depend on how the sensor
/// is turned.
fn middle_of(points: &[[f32; 3]]) -> [f32; 3] {
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point[0], y + point[1]));
    let azimuth = y.atan2(x);
    let (sin, cos) = azimuth.sin_cos();
    let (mut least, mut most) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
    for [x, y, z] in points {
        let turned = [x * cos + y * sin, y * cos - x * sin, *z];
        for axis in 0..3 {
            least[axis] = least[axis].min(turned[axis]);
            most[axis] = most[axis].max(turned[axis]);
        }
    }
    let [along, across, up]: [f32; 3] = std::array::from_fn(|axis| (least[axis] + most[axis]) / 2.0);
    [along * cos - across * sin, along * sin + across * cos, up]
}

#[cfg(test)]
mod tests {
    use super::{
        super::boxes::{
            boxes_of,
            tests::{detection, sweep},
        },
        *,
    };
    use crate::{
        distill::lidar::labels::PointClass,
        geometry::RigidTransform,
        messages::{Detection3DArray, Header, PointField},
    };

    fn numbers() -> ClassNumbers {
        ClassNumbers::new(&["person".into(), "forklift".into()], None)
    }

    fn boxes(detections: Vec<crate::messages::Detection3D<'_>>) -> Vec<PlacedBox> {
        let array = Detection3DArray { header: Header::default(), detections };
        let identity = RigidTransform::identity();
        boxes_of(&array).unwrap().iter().map(|truth| PlacedBox::new(truth, &identity, &numbers())).collect()
    }

    #[test]
    fn objects_take_their_box_by_number_or_their_points_middle() {
        let points = [[4.0, 0.0, 0.0], [4.2, 1.0, 0.4], [0.0, 3.0, 0.0], [-1.0, 3.0, 0.0], [9.0, 0.0, 0.0]];
        let sweep = sweep(&[&points[..], &[[f32::NAN; 3], [1.0, 1.0, 0.0]]].concat());
        let truth = PointTruth { classes: vec![1, 1, 2, 2, 0, 0, 2], objects: Some(vec![7, 7, 8, 8, 0, 0, 0]) };
        let known = boxes(vec![detection("person", "7", [4.1, 0.5, 1.0], 0.3, [0.6, 0.5, 1.8])]);
        let labels = label(&sweep, &truth, &known, &numbers()).unwrap();
        let objects: Vec<Option<u32>> = labels.points.iter().map(|point| point.object).collect();
        assert_eq!(objects, [Some(0), Some(0), Some(1), Some(1), None, None, None]);
        assert_eq!(labels.points[4], PointTarget::BACKGROUND);
        assert_eq!(labels.points[5], PointTarget::IGNORED);
        assert_eq!(labels.points[6], PointTarget::of_class(1, None));
        let [person, forklift] = &labels.objects[..] else { panic!("{:?}", labels.objects) };
        assert_eq!((person.class, person.points, person.center), (0, 2, [4.1, 0.5, 1.0]));
        assert_eq!(person.size, Some([0.6, 0.5, 1.8]));
        assert_eq!((forklift.class, forklift.points, forklift.size, forklift.yaw), (1, 2, None, None));
        let [x, y, _] = forklift.center;
        assert!((x + 0.5).abs() < 0.1 && (y - 3.0).abs() < 0.1, "{:?}", forklift.center);
    }

    #[test]
    fn without_object_numbers_boxes_of_the_class_tell_objects_apart() {
        let sweep = sweep(&[[2.0, 0.0, 0.5], [5.0, 0.0, 0.5], [8.0, 0.0, 0.5]]);
        let truth = PointTruth { classes: vec![1, 1, 1], objects: None };
        let known = boxes(vec![
            detection("forklift", "1", [2.0, 0.0, 0.5], 0.0, [1.0; 3]),
            detection("person", "2", [5.0, 0.0, 0.5], 0.0, [1.0; 3]),
        ]);
        let labels = label(&sweep, &truth, &known, &numbers()).unwrap();
        let objects: Vec<Option<u32>> = labels.points.iter().map(|point| point.object).collect();
        assert_eq!(objects, [None, Some(0), None]);
        assert!(labels.points.iter().all(|point| point.class == PointClass::Class(0)));
        assert_eq!(labels.objects[0].center, [5.0, 0.0, 0.5]);
    }

    #[test]
    fn the_middle_turns_with_the_sensor() {
        let points = [[3.0, -1.0, 0.0], [3.0, 1.0, 0.2], [4.0, 0.0, 0.0f32]];
        let [x, y, z] = middle_of(&points);
        assert!((x - 3.5).abs() < 1e-6 && y.abs() < 1e-6 && (z - 0.1).abs() < 1e-6);
        let (sin, cos) = 1.1f32.sin_cos();
        let turn = |[x, y, z]: [f32; 3]| [x * cos - y * sin, x * sin + y * cos, z];
        let (found, expected) = (middle_of(&points.map(turn)), turn([x, y, z]));
        assert!((0..3).all(|axis| (found[axis] - expected[axis]).abs() < 1e-5), "{found:?} {expected:?}");
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let field = |name, offset| PointField { name, offset, datatype: PointField::UINT8, count: 1 };
        let data = [1, 5, 0, 0];
        let cloud =
            |fields| PointCloud2 { height: 1, width: 2, fields, point_step: 2, data: &data, ..Default::default() };
        let truth = points_of(&cloud(vec![field("class", 0), field("object", 1)])).unwrap();
        assert_eq!(truth, PointTruth { classes: vec![1, 0], objects: Some(vec![5, 0]) });
        assert_eq!(points_of(&cloud(vec![field("class", 0)])).unwrap().objects, None);
        assert!(points_of(&cloud(vec![field("object", 0)])).unwrap_err().contains("no field `class`"));
        let error = label(&sweep(&[[1.0; 3]]), &truth, &[], &numbers()).unwrap_err();
        assert!(error.contains("2 points of a sweep with 1"), "{error}");
    }
}
