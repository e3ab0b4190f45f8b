//! Traffic cones: a square foot and rings that grow narrower.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::assembly::Assembly;
use super::texture::{Texture, pick, srgb};
use super::vector::{Vec3, vec3};

/// Rings above the foot.
const RINGS: usize = 5;

/// What one kind of cone looks like.
#[derive(Debug, Clone)]
pub struct Look {
    /// 1 is 0.69 m high.
    size: f32,
    foot: Vec3,
    paint: Vec3,
    /// Which rings are bands that reflect, the lowest first.
    bands: [bool; RINGS],
}

impl Look {
    /// The cone that stands about in any warehouse: orange with one white band.
    pub fn usual() -> Self {
        let bands = [false, false, true, false, false];
        Self { size: 1.0, foot: srgb(230, 80, 20), paint: srgb(235, 85, 20), bands }
    }

    /// Some cone, 0.5 to 0.95 m high.
    pub fn new(rng: &mut Pcg64Mcg) -> Self {
        let paint = pick(&[(235, 85, 20), (230, 60, 30), (240, 120, 25), (235, 190, 20), (170, 210, 40)], rng.random());
        let bands = match rng.random_range(0..4u8) {
            0 => [false; RINGS],
            1 => [false, true, false, true, false],
            _ => [false, false, true, false, false],
        };
        let foot = if rng.random_bool(0.4) { srgb(35, 35, 38) } else { paint };
        Self { size: rng.random_range(0.72..1.38), foot, paint, bands }
    }

    /// Adds one that stands `ahead` metres before the thing's origin.
    pub fn build(&self, thing: &mut Assembly, ahead: f32) {
        let size = self.size;
        let foot = vec3(0.36, 0.36, 0.04) * size;
        thing.block(vec3(ahead, 0.0, 0.02 * size), foot, Texture::Plain, self.foot);
        for (ring, is_band) in self.bands.into_iter().enumerate() {
            let z = 0.04 + ring as f32 * 0.13;
            let color = if is_band { srgb(235, 235, 230) } else { self.paint };
            thing.cylinder(
                vec3(ahead, 0.0, z * size),
                vec3(ahead, 0.0, (z + 0.13) * size),
                (0.14 - 0.025 * ring as f32) * size,
                Texture::Plain,
                color,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn is_small_and_stands_on_the_floor() {
        let mut rng = Pcg64Mcg::seed_from_u64(2);
        for _ in 0..20 {
            let mut cone = Assembly::new(1);
            Look::new(&mut rng).build(&mut cone, 0.0);
            let bounds = cone.bounds();
            assert!(bounds.min.z.abs() < 1e-4 && (0.45..1.0).contains(&bounds.max.z), "{bounds:?}");
            assert!((0.25..0.5).contains(&(bounds.max.x - bounds.min.x)), "{bounds:?}");
            assert!(bounds.center().x.abs() < 1e-4 && bounds.center().y.abs() < 1e-4, "{bounds:?}");
        }
    }
}
