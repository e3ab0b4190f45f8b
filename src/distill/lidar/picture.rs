//! A sweep from above, for people who would rather look than read: points by class, true objects as rings, found ones as crosses.

use std::path::Path;

use image::{Rgb, RgbImage};

use super::labels::SweepLabels;
use crate::{distill::durable, model::lidar::LidarDetections, sensing::range_image::Sweep};

const BACKGROUND: Rgb<u8> = Rgb([250, 250, 250]);
const GRID: Rgb<u8> = Rgb([225, 225, 225]);
const SENSOR: Rgb<u8> = Rgb([0, 0, 0]);
const POINT: Rgb<u8> = Rgb([150, 150, 150]);
const TRUTH: Rgb<u8> = Rgb([0, 0, 0]);
/// Colours of the classes, told apart also by people who see colours differently (Okabe and Ito 2008).
const CLASSES: [Rgb<u8>; 6] = [
    Rgb([213, 94, 0]),
    Rgb([0, 114, 178]),
    Rgb([0, 158, 115]),
    Rgb([204, 121, 167]),
    Rgb([230, 159, 0]),
    Rgb([86, 180, 233]),
];

/// What part of the world a picture shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Metres from the sensor to each edge.
    pub reach: f32,
    /// Pixels to a side.
    pub size: u32,
}

impl Default for View {
    fn default() -> Self {
        Self { reach: 10.0, size: 640 }
    }
}

impl View {
    /// The pixel of a place in the sensor's frame: x (forwards) up, y (left) to the left.
    fn pixel(&self, x: f32, y: f32) -> Option<(i64, i64)> {
        let scale = self.size as f32 / (2.0 * self.reach);
        let (column, row) = ((self.reach - y) * scale, (self.reach - x) * scale);
        (column.is_finite() && row.is_finite()).then_some((column.floor() as i64, row.floor() as i64))
    }
}

/// The colour of a class in pictures.
pub fn class_color(class: usize) -> Rgb<u8> {
    CLASSES[class % CLASSES.len()]
}

/// Draws a sweep: each point in the colour of the class that was found there, what is true as a ring around its centre, what was
/// found as a cross in the colour of its class. Rings and lines every metre from the grid show the scale: lines stand 2 m apart.
pub fn from_above(sweep: &Sweep, truth: Option<&SweepLabels>, found: &LidarDetections, view: View) -> RgbImage {
    let mut image = RgbImage::from_pixel(view.size, view.size, BACKGROUND);
    let mut put = |place: Option<(i64, i64)>, color: Rgb<u8>| {
        if let Some((column, row)) = place
            && let (Ok(column), Ok(row)) = (u32::try_from(column), u32::try_from(row))
            && column < view.size
            && row < view.size
        {
            image.put_pixel(column, row, color);
        }
    };
    let lines = (view.reach / 2.0) as i32;
    for line in -lines..=lines {
        for step in 0..view.size {
            let along = view.reach - (step as f32 + 0.5) * 2.0 * view.reach / view.size as f32;
            put(view.pixel(line as f32 * 2.0, along), GRID);
            put(view.pixel(along, line as f32 * 2.0), GRID);
        }
    }
    let mut square = |place: Option<(i64, i64)>, half: i64, color: Rgb<u8>| {
        let Some((column, row)) = place else { return };
        for down in -half..=half {
            for across in -half..=half {
                put(Some((column + across, row + down)), color);
            }
        }
    };
    square(view.pixel(0.0, 0.0), 2, SENSOR);
    for (point, label) in sweep.points.iter().zip(&found.points) {
        let color = label.class.map_or(POINT, |class| class_color(usize::from(class)));
        square(view.pixel(point[0], point[1]), i64::from(label.class.is_some()), color);
    }
    for object in truth.into_iter().flat_map(|truth| &truth.objects).filter(|object| object.points > 0) {
        let radius = object.size.map_or(0.3, |size| (0.5 * size[0].hypot(size[1])).clamp(0.3, 3.0));
        for step in 0..360 {
            let (sin, cos) = (step as f32).to_radians().sin_cos();
            square(view.pixel(object.center[0] + radius * cos, object.center[1] + radius * sin), 0, TRUTH);
        }
    }
    for object in &found.objects {
        let Some((column, row)) = view.pixel(object.center[0], object.center[1]) else { continue };
        for step in -6..=6 {
            square(Some((column + step, row + step)), 0, class_color(object.class));
            square(Some((column + step, row - step)), 0, class_color(object.class));
        }
    }
    image
}

/// Writes a picture as PNG; the file is whole or not there.
///
/// # Errors
/// The file system refuses, or the picture cannot be encoded.
pub fn write_png(image: &RgbImage, path: &Path) -> std::io::Result<()> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).map_err(std::io::Error::other)?;
    durable::write_bytes(path, bytes.get_ref())
}

#[cfg(test)]
mod tests {
    use super::super::labels::LabelledObject;
    use super::*;
    use crate::model::lidar::{LidarObject, PointLabel};

    #[test]
    fn forwards_is_up_and_left_is_left() {
        let points = vec![[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [f32::NAN; 3], [40.0, 0.0, 0.0]];
        let sweep = Sweep { points, intensities: Vec::new(), rings: Vec::new(), rows: 1 };
        let label = |class| PointLabel { class, score: 0.9, object: None };
        let object =
            LidarObject { class: 0, score: 0.9, center: [4.0, -4.0, 0.0], size: [0.5; 3], yaw: 0.0, points: 3 };
        let found = LidarDetections {
            objects: vec![object],
            points: vec![label(Some(0)), label(None), label(None), label(None)],
            ..LidarDetections::default()
        };
        let truth = LabelledObject { class: 0, center: [-4.0, 0.0, 0.0], size: None, yaw: None, score: 1.0, points: 2 };
        let truth = SweepLabels { points: Vec::new(), objects: vec![truth] };
        let image = from_above(&sweep, Some(&truth), &found, View { reach: 5.0, size: 100 });
        assert_eq!(*image.get_pixel(50, 10), class_color(0), "x forwards is up");
        assert_eq!(*image.get_pixel(10, 50), POINT, "y left is left");
        assert_eq!(*image.get_pixel(90, 10), class_color(0), "the cross stands at its object");
        assert_eq!(*image.get_pixel(50, 87), TRUTH, "a ring around the true centre, 0.3 m wide");
    }
}
