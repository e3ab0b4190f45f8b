//! Recorded inputs, small enough to stand in a bundle: as the network sees them, which is all that its answers hang on.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use image::{RgbImage, codecs::jpeg::JpegEncoder, imageops};
use serde::{Deserialize, Serialize};

use super::SampleError;
use crate::sensing::InputSpec;
use crate::sensing::image::decode_compressed_bytes;
use crate::sensing::letterbox::Letterbox;
use crate::sensing::range_image::{RangeGrid, RangeImage, Sweep, VOID};

/// One sample takes at most so many bytes of JSON, so that two find room.
const MAX_SAMPLE_BYTES: usize = 48_000;
/// JPEG qualities that are tried one after the other, until an image is small enough.
const QUALITIES: [u8; 4] = [90, 75, 50, 25];
/// The least step between two ranges, in metres: what sensors measure.
const LEAST_STEP: f32 = 1e-4;

/// An input as it stands in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleInput {
    /// A JPEG file in base64, as large as the network's input shows it.
    Image(String),
    /// A sweep as distances in the cells of the bundle's range grid.
    Ranges {
        /// Metres of one step.
        step: f32,
        /// For each cell its distance in steps as `u16`, least byte first, in base64; 0 is void.
        cells: String,
    },
}

impl SampleInput {
    /// An image as the network's input shows it: shrunk into the input's size, its border left out. Coded so that it takes no more
    /// room than a sample has, if that can be.
    ///
    /// # Errors
    /// An image that JPEG cannot hold.
    pub fn of_image(image: &RgbImage, input: &InputSpec) -> Result<Self, SampleError> {
        let (width, height) = Letterbox::new(image.width(), image.height(), input).size();
        let small = imageops::resize(image, width, height, imageops::FilterType::Triangle);
        let mut coded = String::new();
        for quality in QUALITIES {
            let mut bytes = Vec::new();
            let encoded = JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(&small);
            encoded.map_err(|error| SampleError::Input(error.to_string()))?;
            coded = BASE64_STANDARD.encode(&bytes);
            if coded.len() <= MAX_SAMPLE_BYTES {
                break;
            }
        }
        Ok(Self::Image(coded))
    }

    /// A sweep as the network's input shows it: the nearest distance in each cell of the grid.
    pub fn of_sweep(sweep: &Sweep, grid: &RangeGrid) -> Self {
        let ranges = RangeImage::project(sweep, grid).ranges;
        let farthest = ranges.iter().copied().filter(|range| range.is_finite()).fold(0.0, f32::max);
        let step = (farthest / f32::from(u16::MAX)).max(LEAST_STEP);
        // A cast of what is not a number gives 0, which is void.
        let steps =
            ranges.iter().map(|range| if range.is_finite() { (range / step).round().max(1.0) as u16 } else { 0 });
        let bytes: Vec<u8> = steps.flat_map(u16::to_le_bytes).collect();
        Self::Ranges { step, cells: BASE64_STANDARD.encode(bytes) }
    }

    /// The image.
    ///
    /// # Errors
    /// No image, or a broken one.
    pub(super) fn image(&self) -> Result<RgbImage, SampleError> {
        let Self::Image(coded) = self else { return Err(SampleError::Input("it is no image".into())) };
        decode_compressed_bytes(&decoded(coded)?).map_err(|error| SampleError::Input(error.to_string()))
    }

    /// The sweep: a point in the middle of each cell of the grid, as an organised cloud.
    ///
    /// # Errors
    /// No ranges, or not one for each cell of the grid.
    pub(super) fn sweep(&self, grid: &RangeGrid) -> Result<Sweep, SampleError> {
        let Self::Ranges { step, cells } = self else { return Err(SampleError::Input("it is no sweep".into())) };
        let bytes = decoded(cells)?;
        if bytes.len() != 2 * grid.cells() {
            let reason = format!("it has {} bytes for the {} cells of the grid", bytes.len(), grid.cells());
            return Err(SampleError::Input(reason));
        }
        let point = |(cell, pair): (usize, &[u8; 2])| {
            let steps = u16::from_le_bytes(*pair);
            if steps == 0 {
                return VOID;
            }
            let range = f32::from(steps) * step;
            let (sin, cos) = grid.azimuth_of(cell % grid.columns).sin_cos();
            if grid.rows == 1 {
                return [range * cos, range * sin, 0.0];
            }
            let (rise, level) = grid.elevation_of(cell / grid.columns).sin_cos();
            [range * level * cos, range * level * sin, range * rise]
        };
        let points = bytes.as_chunks::<2>().0.iter().enumerate().map(point).collect();
        Ok(Sweep { points, rows: grid.rows, ..Sweep::default() })
    }
}

fn decoded(base64: &str) -> Result<Vec<u8>, SampleError> {
    BASE64_STANDARD.decode(base64).map_err(|error| SampleError::Input(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::f32::consts::PI;

    use super::*;

    #[test]
    fn an_image_is_kept_as_the_network_sees_it() {
        let image = RgbImage::from_fn(640, 480, |x, y| image::Rgb([x as u8, y as u8, (x + y) as u8]));
        let spec = InputSpec { width: 320, height: 192, ..InputSpec::default() };
        let sample = SampleInput::of_image(&image, &spec).unwrap();
        let SampleInput::Image(coded) = &sample else { panic!("an image stays an image") };
        assert!(coded.len() <= MAX_SAMPLE_BYTES, "{}", coded.len());
        assert_eq!(sample.image().unwrap().dimensions(), (256, 192));
        assert!(matches!(SampleInput::Image("no base64!".into()).image(), Err(SampleError::Input(_))));
        assert!(sample.sweep(&RangeGrid { rows: 1, columns: 4, azimuth: [0.0, 1.0], elevation: [0.0; 2] }).is_err());
    }

    #[test]
    fn a_sweep_is_kept_to_a_fraction_of_a_millimetre() {
        for grid in [
            RangeGrid { rows: 1, columns: 90, azimuth: [-PI, PI], elevation: [0.0; 2] },
            RangeGrid { rows: 4, columns: 90, azimuth: [-PI, PI], elevation: [-0.2, 0.2] },
        ] {
            let steps: Vec<u8> = (0..grid.cells()).flat_map(|cell| (cell as u16 % 7 * 900).to_le_bytes()).collect();
            let made = SampleInput::Ranges { step: 0.002, cells: BASE64_STANDARD.encode(steps) };
            let sweep = made.sweep(&grid).unwrap();
            assert_eq!(sweep.rows, grid.rows);
            let again = SampleInput::of_sweep(&sweep, &grid).sweep(&grid).unwrap();
            for (one, other) in sweep.points.iter().zip(&again.points) {
                let gap = one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert_eq!(one[0].is_nan(), other[0].is_nan());
                assert!(gap < 5e-4, "{one:?} {other:?}");
            }
            assert!(made.sweep(&RangeGrid { columns: 80, ..grid }).is_err());
        }
    }
}
