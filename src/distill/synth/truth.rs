//! What is really there: boxes around what the camera sees of each object, and around each object in space.

use std::collections::BTreeMap;

use crate::geometry::Box2;

use super::camera::{Camera, Picture};
use super::scene::{Class, Object, ObjectBox, Scene};
use super::vector::{Pose, Vec3};

/// What makes an object count in a picture. Sizes are for a picture 320 pixels wide and grow with the width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Visibility {
    /// Least share of the object's outline within the picture that is not hidden by others.
    pub fraction: f32,
    /// Least width and height of the box, in pixels.
    pub side: f32,
    /// Least number of visible pixels.
    pub pixels: f32,
}

impl Default for Visibility {
    fn default() -> Self {
        Self { fraction: 0.25, side: 6.0, pixels: 50.0 }
    }
}

/// An object in a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    /// The object's number.
    pub id: u16,
    /// What it is.
    pub class: Class,
    /// Tight around the visible pixels (not the hidden parts): from the left edge of the leftmost to the right edge of the rightmost.
    pub bbox: Box2,
    /// Pixels of the object that are visible.
    pub pixels: u32,
    /// Share of the object's outline within the picture that is visible.
    pub fraction: f32,
}

/// All objects that count in a picture, in the order of their numbers.
pub fn sightings(scene: &Scene, camera: &Camera, picture: &Picture, visibility: &Visibility) -> Vec<Sighting> {
    let scale = camera.width as f32 / 320.0;
    let pose = camera.pose(scene.robot());
    let mut found = Vec::new();
    for (id, (bbox, pixels)) in extents(camera, picture) {
        let Some(object) = scene.objects().get(usize::from(id) - 1) else { continue };
        let side = visibility.side * scale;
        if bbox.width() < side || bbox.height() < side || (pixels as f32) < visibility.pixels * scale * scale {
            continue;
        }
        let fraction = visible_fraction(camera, &pose, picture, object);
        if fraction >= visibility.fraction {
            found.push(Sighting { id, class: object.bounding.class, bbox, pixels, fraction });
        }
    }
    found
}

/// The box around and the number of each object's pixels.
fn extents(camera: &Camera, picture: &Picture) -> BTreeMap<u16, (Box2, u32)> {
    let mut found: BTreeMap<u16, (Box2, u32)> = BTreeMap::new();
    for (index, &id) in picture.objects.iter().enumerate() {
        if id == 0 {
            continue;
        }
        let (x, y) = ((index % camera.width as usize) as f32, (index / camera.width as usize) as f32);
        let (bbox, pixels) = found.entry(id).or_insert((Box2::new(x, y, x, y), 0));
        bbox.x_min = bbox.x_min.min(x);
        bbox.y_min = bbox.y_min.min(y);
        bbox.x_max = bbox.x_max.max(x + 1.0);
        bbox.y_max = bbox.y_max.max(y + 1.0);
        *pixels += 1;
    }
    found
}

/// The share of the pixels the object would fill, were it alone, in which it is seen. Large objects are sampled.
fn visible_fraction(camera: &Camera, pose: &Pose, picture: &Picture, object: &Object) -> f32 {
    let (width, height) = (camera.width as usize, camera.height as usize);
    let area = projected(camera, pose, &object.bounding)
        .unwrap_or(Box2::new(0.0, 0.0, width as f32, height as f32))
        .clip(width as f32, height as f32);
    // About a thousand samples are plenty for a share.
    let stride = ((area.area() / 1000.0).sqrt().ceil() as usize).max(1);
    let (mut alone, mut visible) = (0u32, 0u32);
    for row in (area.y_min as usize..(area.y_max.ceil() as usize).min(height)).step_by(stride) {
        for column in (area.x_min as usize..(area.x_max.ceil() as usize).min(width)).step_by(stride) {
            if picture.objects[row * width + column] == object.bounding.id {
                alone += 1;
                visible += 1;
            } else if object.is_on(&camera.ray(pose, column as f32, row as f32)) {
                alone += 1;
            }
        }
    }
    if alone == 0 { 0.0 } else { visible as f32 / alone as f32 }
}

/// The box in the picture (not cut at its edges) around an upright box in space; none when part of that is beside or behind the camera.
pub fn projected(camera: &Camera, pose: &Pose, object: &ObjectBox) -> Option<Box2> {
    let mut bbox: Option<Box2> = None;
    for corner in object.corners() {
        let (column, row) = camera.project(pose.unapply(corner))?;
        // Pixel centres have whole coordinates there, box edges are counted from the pixel's corner.
        let (x, y) = (column + 0.5, row + 0.5);
        let grown = bbox.get_or_insert(Box2::new(x, y, x, y));
        *grown = Box2::new(grown.x_min.min(x), grown.y_min.min(y), grown.x_max.max(x), grown.y_max.max(y));
    }
    bbox
}

/// All objects whose middle is within `reach` metres of the robot, as seen from `base_link`, in the order of their numbers.
pub fn boxes_around(scene: &Scene, reach: f32) -> Vec<ObjectBox> {
    let flat = |v: Vec3| (v.x * v.x + v.y * v.y).sqrt();
    let seen = scene.objects().iter().map(|object| object.bounding.seen_from(scene.robot()));
    seen.filter(|object| flat(object.center) <= reach).collect()
}

#[cfg(test)]
mod tests {
    use super::super::scene::Warehouse;
    use super::*;

    #[test]
    fn boxes_hold_every_visible_pixel_and_no_row_or_column_more() {
        let camera = Camera::new(160, 96);
        let mut seen = 0;
        for seed in 0..4 {
            let warehouse = Warehouse::new(seed);
            let scene = warehouse.at(seed as f32 * 5.0);
            let picture = camera.picture(&scene, 0);
            for sighting in sightings(&scene, &camera, &picture, &Visibility::default()) {
                let own = picture.objects.iter().enumerate().filter(|&(_, &id)| id == sighting.id);
                let (mut touches, mut count) = ([false; 4], 0);
                for (index, _) in own {
                    let (x, y) = ((index % 160) as f32, (index / 160) as f32);
                    let bbox = sighting.bbox;
                    assert!(x >= bbox.x_min && x + 1.0 <= bbox.x_max && y >= bbox.y_min && y + 1.0 <= bbox.y_max);
                    let now = [x == bbox.x_min, y == bbox.y_min, x + 1.0 == bbox.x_max, y + 1.0 == bbox.y_max];
                    touches = std::array::from_fn(|i| touches[i] || now[i]);
                    count += 1;
                }
                assert_eq!((touches, count), ([true; 4], sighting.pixels));
                assert!(sighting.bbox.x_max <= 160.0 && sighting.bbox.y_max <= 96.0);
                assert!((0.25..=1.0).contains(&sighting.fraction));
                seen += 1;
            }
        }
        assert!(seen >= 8, "only {seen} objects seen");
    }

    #[test]
    fn the_middle_of_a_fully_visible_object_lies_in_its_box() {
        let camera = Camera::new(160, 96);
        let mut checked = 0;
        for seed in 0..6 {
            let warehouse = Warehouse::new(seed);
            let scene = warehouse.at(2.0);
            let picture = camera.picture(&scene, 0);
            let pose = camera.pose(scene.robot());
            for sighting in sightings(&scene, &camera, &picture, &Visibility::default()) {
                let object = &scene.objects()[sighting.id as usize - 1].bounding;
                let Some(around) = projected(&camera, &pose, object) else { continue };
                // Visible pixels never leave the projected box around the whole object.
                let slack = 1.0;
                assert!(sighting.bbox.x_min >= around.x_min - slack && sighting.bbox.x_max <= around.x_max + slack);
                assert!(sighting.bbox.y_min >= around.y_min - slack && sighting.bbox.y_max <= around.y_max + slack);
                let cut = around.clip(160.0, 96.0) != around;
                if sighting.fraction > 0.999 && !cut {
                    let (x, y) = camera.project(pose.unapply(object.center)).unwrap();
                    let (x, y) = (x + 0.5, y + 0.5);
                    let bbox = sighting.bbox;
                    assert!(x > bbox.x_min && x < bbox.x_max && y > bbox.y_min && y < bbox.y_max, "{sighting:?}");
                    checked += 1;
                }
            }
        }
        assert!(checked >= 3, "only {checked} fully visible objects");
    }
}
