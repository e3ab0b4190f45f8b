//! Colours of augmentation: one affine map of RGB.

use rand::Rng;

use crate::distill::config::ColorJitter;

/// An affine map of RGB values in 0-255: `out = matrix * in + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColorMap {
    matrix: [[f32; 3]; 3],
    offset: [f32; 3],
}

/// Luma of ITU-R BT.601.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

impl ColorMap {
    /// Leaves colours alone.
    pub const IDENTITY: Self = Self { matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], offset: [0.0; 3] };

    /// Draws brightness, contrast, saturation and hue within the limits.
    pub fn random(limits: &ColorJitter, rng: &mut impl Rng) -> Self {
        let mut draw = |limit: f64| (limit * (2.0 * rng.random::<f64>() - 1.0)) as f32;
        let (brightness, contrast) = (1.0 + draw(limits.brightness), 1.0 + draw(limits.contrast));
        let (saturation, hue) = (1.0 + draw(limits.saturation), draw(limits.hue).to_radians());
        Self::new(brightness, contrast, saturation, hue)
    }

    /// Factors of brightness, contrast (about middle grey) and saturation, and a turn of the hue in radians about the grey axis.
    pub fn new(brightness: f32, contrast: f32, saturation: f32, hue: f32) -> Self {
        // Rodrigues' rotation about (1, 1, 1) keeps greys grey.
        let (sine, cosine) = hue.sin_cos();
        let (along, across) = ((1.0 - cosine) / 3.0, sine / 3.0_f32.sqrt());
        let turn = [
            [cosine + along, along - across, along + across],
            [along + across, cosine + along, along - across],
            [along - across, along + across, cosine + along],
        ];
        let gain = brightness * contrast;
        let mut matrix = [[0.0; 3]; 3];
        for row in 0..3 {
            for column in 0..3 {
                let turned = turn[row][column];
                let grey: f32 = (0..3).map(|k| LUMA[k] * turn[k][column]).sum();
                matrix[row][column] = gain * (saturation * turned + (1.0 - saturation) * grey);
            }
        }
        Self { matrix, offset: [127.5 * (1.0 - contrast); 3] }
    }

    /// Maps pixels that are given as their red, green and blue, and writes them limited to 0-255, `[pixels, 3]`. What was given is
    /// overwritten.
    pub fn apply(&self, [red, green, blue]: [&mut [f32]; 3], pixels: &mut [u8]) {
        // Apart from the writing, for so the compiler takes several pixels at a time.
        for ((red, green), blue) in red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()) {
            let pixel = [*red, *green, *blue];
            let mapped = |row: usize| {
                let [a, b, c] = self.matrix[row];
                a * pixel[0] + b * pixel[1] + c * pixel[2] + self.offset[row] + 0.5
            };
            (*red, *green, *blue) = (mapped(0), mapped(1), mapped(2));
        }
        for (((pixel, red), green), blue) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(red).zip(green).zip(blue) {
            // A float-to-integer cast limits to 0-255 by itself.
            *pixel = [*red as u8, *green as u8, *blue as u8];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(map: &ColorMap, pixel: [f32; 3]) -> [u8; 3] {
        let ([mut red, mut green, mut blue], mut mapped) = (pixel.map(|value| [value]), [0; 3]);
        map.apply([&mut red, &mut green, &mut blue], &mut mapped);
        mapped
    }

    #[test]
    fn pixels_of_a_row_are_mapped_each_by_itself() {
        let map = ColorMap::new(1.3, 0.8, 1.4, 0.4);
        let row: Vec<[f32; 3]> =
            (0..37).map(|x| [x as f32 * 6.9, 255.0 - x as f32 * 5.3, (x * x % 251) as f32 + 0.25]).collect();
        let [mut red, mut green, mut blue] =
            [0, 1, 2].map(|channel| -> Vec<f32> { row.iter().map(|pixel| pixel[channel]).collect() });
        let mut mapped = vec![0; 3 * row.len()];
        map.apply([&mut red, &mut green, &mut blue], &mut mapped);
        for (pixel, mapped) in row.iter().zip(mapped.chunks_exact(3)) {
            for ((value, [a, b, c]), offset) in mapped.iter().zip(map.matrix).zip(map.offset) {
                assert_eq!(*value, (a * pixel[0] + b * pixel[1] + c * pixel[2] + offset + 0.5) as u8, "{pixel:?}");
            }
        }
    }

    #[test]
    fn identity_and_grey_stay() {
        assert_eq!(applied(&ColorMap::new(1.0, 1.0, 1.0, 0.0), [10.0, 200.0, 90.0]), [10, 200, 90]);
        assert_eq!(applied(&ColorMap::new(1.0, 1.0, 0.3, 0.7), [90.0, 90.0, 90.0]), [90, 90, 90]);
    }

    #[test]
    fn each_part_does_what_its_name_says() {
        assert_eq!(applied(&ColorMap::new(1.5, 1.0, 1.0, 0.0), [100.0, 50.0, 200.0]), [150, 75, 255]);
        let flat = applied(&ColorMap::new(1.0, 0.0, 1.0, 0.0), [3.0, 250.0, 99.0]);
        assert_eq!(flat, [128, 128, 128]);
        let [r, g, b] = applied(&ColorMap::new(1.0, 1.0, 0.0, 0.0), [200.0, 100.0, 0.0]);
        assert!(r == g && g == b && (118..=119).contains(&r));
        let third = std::f32::consts::TAU / 3.0;
        assert_eq!(applied(&ColorMap::new(1.0, 1.0, 1.0, third), [200.0, 100.0, 50.0]), [50, 200, 100]);
    }
}
