//! Boxes drawn into images, for people.

use embedded_graphics::{
    mono_font::{MonoTextStyle, ascii::FONT_6X10},
    pixelcolor::Rgb888,
    prelude::*,
    primitives::{PrimitiveStyle, Rectangle},
    text::{Baseline, Text},
};
use image::RgbImage;

use super::palette::class_color;
use crate::model::SoftDetection;

/// An image that embedded-graphics draws on.
struct Canvas<'i>(&'i mut RgbImage);

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Canvas<'_> {
    type Color = Rgb888;
    type Error = std::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Self::Error> {
        for Pixel(place, color) in pixels {
            if let (Ok(x), Ok(y)) = (u32::try_from(place.x), u32::try_from(place.y))
                && let Some(pixel) = self.0.get_pixel_mut_checked(x, y)
            {
                pixel.0 = [color.r(), color.g(), color.b()];
            }
        }
        Ok(())
    }
}

/// Draws each detection's box with its class and score.
pub(super) fn draw(image: &mut RgbImage, detections: &[SoftDetection], classes: &[String]) {
    let mut canvas = Canvas(image);
    for detection in detections {
        let (class, score) = detection.best();
        let [red, green, blue] = class_color(class);
        let color = Rgb888::new(red, green, blue);
        let corner = Point::new(detection.bbox.x_min.round() as i32, detection.bbox.y_min.round() as i32);
        let size = Size::new(detection.bbox.width().round() as u32, detection.bbox.height().round() as u32);
        let Ok(()) = Rectangle::new(corner, size).into_styled(PrimitiveStyle::with_stroke(color, 2)).draw(&mut canvas);
        let name = classes.get(class).map_or("?", String::as_str);
        let label = format!("{name} {score:.2}");
        let place = Point::new(corner.x.max(0), (corner.y - 11).max(0));
        let back = Rectangle::new(place, Size::new(6 * label.len() as u32 + 2, 11));
        let Ok(()) = back.into_styled(PrimitiveStyle::with_fill(color)).draw(&mut canvas);
        let style = MonoTextStyle::new(&FONT_6X10, Rgb888::BLACK);
        let text = Text::with_baseline(&label, place + Point::new(1, 1), style, Baseline::Top);
        let Ok(_) = text.draw(&mut canvas);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Box2;

    #[test]
    fn boxes_are_drawn_where_they_are_even_half_outside() {
        let mut image = RgbImage::new(64, 48);
        let detection = |bbox| SoftDetection { bbox, probabilities: vec![0.0, 0.9] };
        let boxes = [detection(Box2::new(20.0, 20.0, 40.0, 40.0)), detection(Box2::new(-10.0, 30.0, 5.0, 90.0))];
        draw(&mut image, &boxes, &["person".into(), "pallet".into()]);
        assert_eq!(image.get_pixel(20, 35).0, [64, 200, 255]);
        assert_eq!(image.get_pixel(30, 30).0, [0, 0, 0]);
    }
}
