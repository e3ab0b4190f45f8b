//! Made inputs: the same on every board, so that their figures can be compared. The network's time does not depend on what is seen; that
//! of decoding does a little, so there is something to see.

use image::{Rgb, RgbImage};

use crate::sensing::range_image::{RangeGrid, Sweep, VOID};

/// Half of the made room's length and width, in metres from the sensor.
const WALLS: [f32; 2] = [8.0, 5.0];
/// The floor lies so far under the sensor, in metres.
const FLOOR: f32 = 0.6;
/// Radius of the made legs, in metres.
const LEG: f32 = 0.07;
/// Legs in the made room.
const LEGS: u32 = 6;
/// Upright things in a made picture.
const THINGS: u32 = 5;

/// A picture of a floor, a wall and some upright things, with the noise of a sensor. The same seed gives the same picture.
pub fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
    let (wide, high) = (width.max(1) as f32, height.max(1) as f32);
    // Left, right, top, bottom as shares of the picture, and a color.
    let things: Vec<([f32; 4], [u8; 3])> = (0..THINGS)
        .map(|number| {
            let [place, size, color] = [0, 1, 2].map(|what| chance(number, what, seed));
            let (half, tall) = (0.02 + 0.05 * size, 0.15 + 0.4 * size);
            let bottom = 0.55 + 0.4 * size;
            let shade = (255.0 * color) as u8;
            ([place - half, place + half, bottom - tall, bottom], [shade, 255 - shade, shade / 2 + 60])
        })
        .collect();
    RgbImage::from_fn(width, height, |x, y| {
        let (across, down) = (x as f32 / wide, y as f32 / high);
        let seen = things.iter().rev().find(|([left, right, top, bottom], _)| {
            (*left..*right).contains(&across) && (*top..*bottom).contains(&down)
        });
        let color = match seen {
            Some((_, color)) => *color,
            None if down < 0.5 => [170, 172, 168],
            None => [(90.0 + 80.0 * (down - 0.5)) as u8, (88.0 + 80.0 * (down - 0.5)) as u8, 84],
        };
        let noise = (16.0 * chance(x, y, seed)) as u8;
        Rgb(color.map(|value| value.saturating_add(noise)))
    })
}

/// A sweep of a room with walls, a floor and some legs, a point in the middle of each cell of the grid as an organised cloud. The same
/// seed gives the same sweep.
pub fn sweep(grid: &RangeGrid, seed: u32) -> Sweep {
    let legs: Vec<[f32; 2]> = (0..LEGS)
        .map(|number| {
            let place = |what: u32, half: f32| (1.6 * chance(number, what, seed) - 0.8) * half;
            [place(3, WALLS[0]), place(4, WALLS[1])]
        })
        .collect();
    let point = |cell: usize| {
        let (sin, cos) = grid.azimuth_of(cell % grid.columns).sin_cos();
        let slope = if grid.rows == 1 { 0.0 } else { grid.elevation_of(cell / grid.columns).tan() };
        let walls = (WALLS[0] / cos.abs()).min(WALLS[1] / sin.abs());
        let floor = if slope < 0.0 { FLOOR / -slope } else { f32::INFINITY };
        let distance = legs.iter().filter_map(|leg| hit(*leg, [cos, sin])).fold(walls.min(floor), f32::min);
        if distance.is_finite() { [distance * cos, distance * sin, distance * slope] } else { VOID }
    };
    Sweep { points: (0..grid.cells()).map(point).collect(), rows: grid.rows.max(1), ..Sweep::default() }
}

/// How far away a ray from the sensor meets a leg, in metres along the floor.
fn hit(leg: [f32; 2], ray: [f32; 2]) -> Option<f32> {
    let along = leg[0] * ray[0] + leg[1] * ray[1];
    let beside = leg[0] * ray[1] - leg[1] * ray[0];
    let depth = LEG * LEG - beside * beside;
    (along > LEG && depth > 0.0).then(|| along - depth.sqrt())
}

/// A number from 0 to 1 that looks random, and is the same everywhere (the mixer `lowbias32` of Wellons 2018).
fn chance(x: u32, y: u32, seed: u32) -> f32 {
    let mut mixed =
        x.wrapping_mul(0x9E37_79B9) ^ y.wrapping_mul(0x85EB_CA6B).rotate_left(13) ^ seed.wrapping_mul(0xC2B2_AE35);
    for _ in 0..2 {
        mixed ^= mixed >> 16;
        mixed = mixed.wrapping_mul(0x7FEB_352D);
        mixed ^= mixed >> 15;
        mixed = mixed.wrapping_mul(0x846C_A68B);
    }
    (mixed >> 8) as f32 / (1u32 << 24) as f32
}

#[cfg(test)]
mod tests {
    use std::f32::consts::PI;

    use super::*;
    use crate::sensing::range_image::{RangeImage, is_void};

    #[test]
    fn pictures_are_the_same_everywhere_and_not_flat() {
        let one = picture(64, 48, 3);
        assert_eq!((one.dimensions(), &one), ((64, 48), &picture(64, 48, 3)));
        assert_ne!(one, picture(64, 48, 4));
        let mean = one.as_raw().iter().map(|&value| f64::from(value)).sum::<f64>() / one.as_raw().len() as f64;
        let spread = one.as_raw().iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>().sqrt();
        assert!(mean > 60.0 && mean < 200.0 && spread > 100.0, "{mean} {spread}");
        assert_eq!(picture(0, 5, 1).dimensions(), (0, 5));
    }

    #[test]
    fn sweeps_fill_the_cells_of_their_grid_within_the_room() {
        for grid in [
            RangeGrid { rows: 1, columns: 360, azimuth: [-PI, PI], elevation: [0.0; 2] },
            RangeGrid { rows: 8, columns: 90, azimuth: [-1.0, 1.0], elevation: [-0.3, 0.2] },
        ] {
            let made = sweep(&grid, 1);
            assert_eq!((made.len(), made.rows, made.valid()), (grid.cells(), grid.rows, grid.cells()));
            let image = RangeImage::project(&made, &grid);
            let filled = image.points.iter().filter(|point| !is_void(point)).count();
            assert!(filled * 100 >= grid.cells() * 95, "{filled} of {}", grid.cells());
            for [x, y, z] in &made.points {
                assert!(x.abs() < WALLS[0] + 0.01 && y.abs() < WALLS[1] + 0.01 && *z > -FLOOR - 0.01, "{x} {y} {z}");
            }
            assert_ne!(made, sweep(&grid, 2));
        }
        // Some beams end at a leg, in front of the walls.
        let around = RangeGrid { rows: 1, columns: 3600, azimuth: [-PI, PI], elevation: [0.0; 2] };
        let before = |point: &[f32; 3]| point[0].abs() < 7.5 && point[1].abs() < 4.5;
        assert!(sweep(&around, 1).points.iter().filter(|point| before(point)).count() > 20);
    }
}
