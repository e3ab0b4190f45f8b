//! Counterbalance forklifts: chassis, counterweight, mast, forks, overhead guard, wheels.

use rand::Rng;

use super::assembly::Assembly;
use super::texture::{Texture, pick, srgb};
use super::vector::{Vec3, vec3};

/// What one forklift looks like; stays the same over time.
#[derive(Debug, Clone)]
pub struct Look {
    paint: Vec3,
    dark: Vec3,
    guard: Vec3,
    /// Height of the overhead guard.
    height: f32,
    length: f32,
    width: f32,
    mast: f32,
    hazard: bool,
    beacon: Vec3,
    seed: u32,
}

/// Where the driver's seat is: forwards of the origin and above the floor, in metres.
pub const SEAT: (f32, f32) = (-0.28, 0.92);
/// Where a carried pallet's middle is, forwards of the origin.
pub const LOAD: f32 = 1.48;

impl Look {
    /// Some forklift.
    pub fn new(rng: &mut impl Rng) -> Self {
        let paints = [
            (232, 176, 24),
            (226, 110, 28),
            (190, 40, 36),
            (40, 90, 160),
            (70, 130, 70),
            (200, 200, 198),
            (120, 190, 60),
            (60, 66, 72),
        ];
        let grey = rng.random_range(0.015..0.05);
        Self {
            paint: pick(&paints, rng.random()),
            dark: Vec3::splat(grey),
            guard: if rng.random_bool(0.7) { Vec3::splat(grey * 0.8) } else { pick(&paints, rng.random()) },
            height: rng.random_range(2.0..2.25),
            length: rng.random_range(1.9..2.3),
            width: rng.random_range(1.0..1.2),
            mast: rng.random_range(1.95..2.5),
            hazard: rng.random_bool(0.4),
            beacon: if rng.random_bool(0.6) { vec3(1.4, 0.6, 0.05) } else { vec3(0.2, 0.4, 1.6) },
            seed: rng.random(),
        }
    }

    /// The forklift facing x (forks forwards), its forks `lift` metres above the floor, its beacon on or off.
    pub fn build(&self, lift: f32, beacon: bool) -> Assembly {
        let mut truck = Assembly::new(self.seed);
        let (half_width, rear) = (self.width / 2.0, 0.75 - self.length);
        let (paint, dark) = (self.paint, self.dark);
        let body = |truck: &mut Assembly, from: Vec3, to: Vec3, texture: Texture, color: Vec3, gloss: f32| {
            truck.block((from + to) * 0.5, to - from, texture, color).gloss = gloss;
        };
        // Chassis, hood under the seat, counterweight with a rounded back.
        body(&mut truck, vec3(rear + 0.3, -half_width, 0.18), vec3(0.72, half_width, 0.52), Texture::Plain, paint, 0.3);
        body(
            &mut truck,
            vec3(rear + 0.35, -half_width + 0.08, 0.52),
            vec3(-0.02, half_width - 0.08, 0.86),
            Texture::Plain,
            paint,
            0.3,
        );
        let weight = if self.hazard { Texture::Hazard } else { Texture::Plain };
        body(&mut truck, vec3(rear + 0.05, -half_width, 0.28), vec3(rear + 0.45, half_width, 0.98), weight, dark, 0.2);
        truck.cylinder(
            vec3(rear + 0.2, -half_width + 0.02, 0.98),
            vec3(rear + 0.2, half_width - 0.02, 0.98),
            0.15,
            Texture::Plain,
            dark,
        );
        // Dashboard, steering column, seat.
        body(
            &mut truck,
            vec3(0.42, -half_width + 0.06, 0.52),
            vec3(0.72, half_width - 0.06, 1.08),
            Texture::Plain,
            dark * 1.6,
            0.1,
        );
        truck.cylinder(vec3(0.42, 0.0, 1.0), vec3(0.24, 0.0, 1.22), 0.025, Texture::Plain, dark);
        truck.cylinder(vec3(0.25, 0.0, 1.2), vec3(0.22, 0.0, 1.235), 0.17, Texture::Plain, dark);
        body(&mut truck, vec3(-0.52, -0.24, 0.86), vec3(-0.05, 0.24, 0.94), Texture::Plain, dark, 0.0);
        body(&mut truck, vec3(-0.62, -0.24, 0.9), vec3(-0.5, 0.24, 1.42), Texture::Plain, dark, 0.0);
        self.guard(&mut truck, half_width, rear, beacon);
        self.mast(&mut truck, lift);
        // Wheels: large in front, smaller behind.
        for side in [-1.0, 1.0] {
            let outer = side * (half_width + 0.02);
            let inner = side * (half_width - 0.22);
            let rubber = srgb(28, 28, 30);
            truck.cylinder(vec3(0.45, inner, 0.31), vec3(0.45, outer, 0.31), 0.31, Texture::Plain, rubber);
            truck.cylinder(
                vec3(0.45, outer - side * 0.01, 0.31),
                vec3(0.45, outer + side * 0.01, 0.31),
                0.15,
                Texture::Plain,
                paint,
            );
            truck.cylinder(
                vec3(rear + 0.55, inner, 0.24),
                vec3(rear + 0.55, outer, 0.24),
                0.24,
                Texture::Plain,
                rubber,
            );
            truck.cylinder(
                vec3(rear + 0.55, outer - side * 0.01, 0.24),
                vec3(rear + 0.55, outer + side * 0.01, 0.24),
                0.11,
                Texture::Plain,
                paint,
            );
        }
        truck
    }

    fn guard(&self, truck: &mut Assembly, half_width: f32, rear: f32, beacon: bool) {
        let top = self.height;
        let y = half_width - 0.07;
        for side in [-1.0, 1.0] {
            truck.capsule(vec3(0.6, side * y, 0.9), vec3(0.36, side * y, top), 0.035, Texture::Plain, self.guard);
            truck.capsule(
                vec3(rear + 0.4, side * y, 0.9),
                vec3(rear + 0.55, side * y, top),
                0.035,
                Texture::Plain,
                self.guard,
            );
            truck.capsule(
                vec3(rear + 0.55, side * y, top),
                vec3(0.36, side * y, top),
                0.035,
                Texture::Plain,
                self.guard,
            );
            // Working lamps on the front posts.
            let lamp = if self.seed & 1 == 0 { Texture::Lamp } else { Texture::Plain };
            truck.capsule(
                vec3(0.45, side * y, top - 0.2),
                vec3(0.46, side * y, top - 0.2),
                0.06,
                lamp,
                vec3(1.2, 1.2, 1.1),
            );
        }
        let (front, back) = (0.36, rear + 0.55);
        for bar in 0..6 {
            let x = back + (front - back) * bar as f32 / 5.0;
            truck.block(vec3(x, 0.0, top), vec3(0.05, 2.0 * y, 0.03), Texture::Plain, self.guard);
        }
        let (texture, color) = if beacon { (Texture::Lamp, self.beacon) } else { (Texture::Plain, self.beacon * 0.4) };
        truck.cylinder(
            vec3(back + 0.1, y * 0.6, top + 0.02),
            vec3(back + 0.1, y * 0.6, top + 0.15),
            0.05,
            texture,
            color,
        );
    }

    fn mast(&self, truck: &mut Assembly, lift: f32) {
        let steel = self.dark * 1.3;
        let (x, top) = (0.83, self.mast.max(lift + 1.2));
        for side in [-1.0, 1.0] {
            truck
                .block(vec3(x, side * 0.34, (0.08 + top) / 2.0), vec3(0.14, 0.08, top - 0.08), Texture::Plain, steel)
                .gloss = 0.2;
            truck.block(
                vec3(x + 0.03, side * 0.24, (0.12 + top) / 2.0),
                vec3(0.08, 0.05, top - 0.2),
                Texture::Plain,
                steel * 1.4,
            );
            // Forks: heel and blade.
            truck.block(vec3(0.97, side * 0.27, lift + 0.28), vec3(0.05, 0.11, 0.5), Texture::Plain, srgb(60, 62, 66));
            truck.block(vec3(1.52, side * 0.27, lift + 0.03), vec3(1.1, 0.11, 0.045), Texture::Plain, srgb(72, 74, 78));
        }
        for z in [0.35, top - 0.06] {
            truck.block(vec3(x, 0.0, z), vec3(0.1, 0.7, 0.1), Texture::Plain, steel);
        }
        truck
            .cylinder(
                vec3(x - 0.02, 0.0, 0.2),
                vec3(x - 0.02, 0.0, top - 0.1),
                0.04,
                Texture::Plain,
                srgb(150, 152, 156),
            )
            .gloss = 0.6;
        // Fork carriage and load backrest.
        for z in [0.1, 0.48] {
            truck.block(vec3(0.92, 0.0, lift + z), vec3(0.05, 0.98, 0.09), Texture::Plain, steel);
        }
        for bar in -3..=3 {
            truck.block(vec3(0.93, bar as f32 * 0.15, lift + 0.85), vec3(0.03, 0.025, 0.75), Texture::Plain, steel);
        }
        truck.block(vec3(0.93, 0.0, lift + 1.22), vec3(0.03, 0.98, 0.04), Texture::Plain, steel);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn has_the_size_of_a_forklift_and_stands_on_the_floor() {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(1);
        for _ in 0..20 {
            let bounds = Look::new(&mut rng).build(0.1, true).bounds();
            assert!((-0.001..0.01).contains(&bounds.min.z));
            assert!((2.0..2.8).contains(&bounds.max.z));
            let size = bounds.max - bounds.min;
            assert!((2.8..4.0).contains(&size.x) && (1.0..1.4).contains(&size.y), "{size:?}");
        }
    }
}
