//! The hall: floor, walls, ceiling with lamps, racks full of goods, and clutter that is none of the classes.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::assembly::Assembly;
use super::lighting::Lighting;
use super::pallet::{cardboard, goods};
use super::route::Route;
use super::scene::Class;
use super::shapes::Bounds;
use super::texture::{Markings, Texture, pick, srgb};
use super::vector::{Vec3, vec3};
use super::{cart, cone};

/// Length of one rack bay in metres.
const BAY: f32 = 2.7;
/// Depth of a rack row in metres.
const RACK_DEPTH: f32 = 1.0;

/// The measures of one hall. Two aisles run along x at `y = +-route.half_y`; racks stand on both sides of each, walls all around.
#[derive(Debug, Clone, Copy)]
pub struct Hall {
    /// What the robot drives.
    pub route: Route,
    /// Free width between the racks of an aisle.
    pub aisle_width: f32,
    /// The racks reach from `-rack_x` to `rack_x`.
    pub rack_x: f32,
    /// The end walls stand at `+-wall_x`.
    pub wall_x: f32,
    /// The side walls stand at `+-wall_y`.
    pub wall_y: f32,
    /// Height of the ceiling.
    pub ceiling: f32,
    /// The lamps.
    pub lighting: Lighting,
    bays: usize,
    rack_height: f32,
}

impl Hall {
    /// Some hall.
    pub fn new(rng: &mut Pcg64Mcg) -> Self {
        let bays = rng.random_range(6..=9);
        let rack_x = bays as f32 * BAY / 2.0;
        let aisle_width = rng.random_range(5.0..5.6);
        let half_y = RACK_DEPTH + 0.1 + aisle_width / 2.0;
        let rack_height = rng.random_range(4.8..6.2);
        let ceiling = rack_height + rng.random_range(1.6..2.6);
        let warm = rng.random_range(0.0..1.0f32);
        let bright = rng.random_range(0.75..1.15);
        let lighting = Lighting {
            row_y: half_y,
            spacing: rng.random_range(4.2..6.5),
            height: ceiling - 0.7,
            direct: vec3(1.0, 0.97 - 0.06 * warm, 0.97 - 0.2 * warm) * (0.62 * bright),
            ambient: vec3(0.95, 0.98, 1.04 - 0.1 * warm) * (0.32 * bright),
            seed: rng.random(),
        };
        Self {
            route: Route { half_x: rack_x + 2.4, half_y, radius: 2.5, clockwise: rng.random_bool(0.5) },
            aisle_width,
            rack_x,
            wall_x: rack_x + 7.5,
            wall_y: half_y + aisle_width / 2.0 + RACK_DEPTH + 0.35,
            ceiling,
            lighting,
            bays,
            rack_height,
        }
    }

    /// Everything of the hall that is background.
    pub fn build(&self, rng: &mut Pcg64Mcg) -> Assembly {
        let mut hall = Assembly::new(rng.random());
        self.shell(&mut hall, rng);
        let steel = pick(&[(40, 70, 140), (30, 90, 160), (60, 110, 80), (110, 114, 118), (150, 60, 40)], rng.random());
        let beam = pick(&[(226, 110, 30), (235, 150, 30), (200, 60, 40), (190, 190, 190)], rng.random());
        for y in self.rack_rows() {
            self.rack_row(&mut hall, rng, y, steel, beam);
        }
        hall
    }

    /// The y of the middles of the rows of racks.
    fn rack_rows(&self) -> [f32; 4] {
        let outer = self.route.half_y + self.aisle_width / 2.0 + RACK_DEPTH / 2.0 + 0.02;
        [-outer, -RACK_DEPTH / 2.0 - 0.07, RACK_DEPTH / 2.0 + 0.07, outer]
    }

    /// The boxes around the rows of racks, with the guards at their ends.
    pub fn racks(&self) -> [Bounds; 4] {
        self.rack_rows().map(|y| {
            let half = vec3(self.rack_x + 0.2, RACK_DEPTH / 2.0 + 0.05, 0.0);
            let middle = vec3(0.0, y, 0.0);
            Bounds { min: middle - half, max: middle + half + vec3(0.0, 0.0, self.rack_height) }
        })
    }

    fn shell(&self, hall: &mut Assembly, rng: &mut Pcg64Mcg) {
        let (x, y, top) = (self.wall_x, self.wall_y, self.ceiling);
        let markings = Markings {
            aisle_y: self.route.half_y,
            half_lane: self.aisle_width / 2.0 - 1.1,
            rack_x: self.rack_x,
            end_x: self.route.half_x,
        };
        let concrete = pick(&[(150, 150, 148), (130, 134, 136), (164, 160, 150), (112, 122, 116)], rng.random());
        let size = vec3(2.0 * x + 1.0, 2.0 * y + 1.0, 0.4);
        hall.block(vec3(0.0, 0.0, -0.2), size, Texture::Floor(markings), concrete).gloss = rng.random_range(0.05..0.3);
        hall.block(
            vec3(0.0, 0.0, top + 0.2),
            size,
            Texture::Plain,
            pick(&[(120, 122, 124), (90, 94, 98), (170, 170, 166)], rng.random()),
        );
        let wall =
            pick(&[(206, 204, 196), (180, 188, 194), (200, 186, 160), (160, 168, 164), (176, 110, 84)], rng.random());
        let texture = Texture::Wall { brick: rng.random_bool(0.4) };
        for side in [-1.0, 1.0] {
            hall.block(vec3(side * (x + 0.15), 0.0, top / 2.0), vec3(0.3, 2.0 * y + 0.6, top), texture, wall);
            hall.block(vec3(0.0, side * (y + 0.15), top / 2.0), vec3(2.0 * x, 0.3, top), texture, wall);
        }
        // Trusses and lamps under the ceiling.
        let trusses = (2.0 * x / 5.0) as i32;
        for index in 0..=trusses {
            let at = -x + 2.0 * x * (index as f32 + 0.5) / (trusses as f32 + 1.0);
            hall.block(vec3(at, 0.0, top - 0.15), vec3(0.14, 2.0 * y, 0.3), Texture::Plain, srgb(150, 154, 158));
        }
        let last = (x / self.lighting.spacing) as i32;
        for index in -last..last {
            for side in [0, 1] {
                let glow = vec3(1.0, 0.98, 0.92) * (1.6 * self.lighting.level(index, side, 0));
                let at = self.lighting.lamp(index, side) + vec3(0.0, 0.0, 0.06);
                hall.block(at, vec3(1.4, 0.34, 0.1), Texture::Lamp, glow);
            }
        }
        self.end_walls(hall, rng);
    }

    /// Dock doors, extinguishers and signs on the end walls.
    fn end_walls(&self, hall: &mut Assembly, rng: &mut Pcg64Mcg) {
        let (x, y) = (self.wall_x, self.wall_y);
        for side in [-1.0, 1.0] {
            let doors = rng.random_range(1..=3);
            let color = pick(&[(170, 176, 180), (70, 110, 160), (210, 205, 190), (120, 140, 110)], rng.random());
            for door in 0..doors {
                let at = -y + 2.0 * y * (door as f32 + 0.5) / doors as f32 + rng.random_range(-0.8..0.8);
                let height = rng.random_range(3.0..3.8);
                hall.block(vec3(side * x, at, height / 2.0), vec3(0.12, 3.0, height), Texture::Shutter, color);
                for post in [-1.0, 1.0] {
                    hall.block(
                        vec3(side * (x - 0.1), at + post * 1.65, 0.6),
                        vec3(0.14, 0.14, 1.2),
                        Texture::Hazard,
                        color,
                    );
                }
                let extinguisher = vec3(side * (x - 0.14), at + 2.1, 0.9);
                hall.cylinder(
                    extinguisher,
                    extinguisher + vec3(0.0, 0.0, 0.5),
                    0.08,
                    Texture::Plain,
                    srgb(200, 30, 25),
                )
                .gloss = 0.5;
            }
        }
    }

    fn rack_row(&self, hall: &mut Assembly, rng: &mut Pcg64Mcg, y: f32, steel: Vec3, beam: Vec3) {
        let height = self.rack_height;
        for post in 0..=self.bays {
            let x = -self.rack_x + post as f32 * BAY;
            for side in [-0.5, 0.5] {
                let at = vec3(x, y + side * (RACK_DEPTH - 0.08), height / 2.0);
                hall.block(at, vec3(0.1, 0.08, height), Texture::Holes, steel);
            }
            for brace in 0..4 {
                let z = 0.4 + brace as f32 * (height - 0.8) / 3.0;
                hall.block(vec3(x, y, z), vec3(0.04, RACK_DEPTH - 0.1, 0.05), Texture::Plain, steel);
            }
            if post == 0 || post == self.bays {
                let outside = if post == 0 { -0.12 } else { 0.12 };
                hall.block(vec3(x + outside, y, 0.2), vec3(0.1, RACK_DEPTH + 0.1, 0.4), Texture::Hazard, beam);
                hall.block(vec3(x + outside * 0.5, y, 2.6), vec3(0.03, 0.5, 0.5), Texture::Plain, srgb(240, 235, 215));
            }
        }
        let levels = rng.random_range(3..=4);
        let clearance = (height - 0.4) / levels as f32;
        for level in 0..levels {
            let z = 0.12 + level as f32 * clearance;
            for bay in 0..self.bays {
                let x = -self.rack_x + (bay as f32 + 0.5) * BAY;
                for side in [-0.5, 0.5] {
                    let at = vec3(x, y + side * (RACK_DEPTH - 0.06), z);
                    hall.block(at, vec3(BAY - 0.1, 0.05, 0.12), Texture::Plain, beam);
                }
                hall.block(
                    vec3(x, y, z + 0.05),
                    vec3(BAY - 0.12, RACK_DEPTH - 0.14, 0.03),
                    Texture::Plain,
                    srgb(140, 142, 144),
                );
                if !rng.random_bool(0.1) {
                    fill_bay(hall, rng, vec3(x, y, z + 0.066), clearance - 0.3);
                }
            }
        }
    }
}

/// Goods side by side on one shelf; `at` is the middle of the shelf's top.
fn fill_bay(hall: &mut Assembly, rng: &mut Pcg64Mcg, at: Vec3, clearance: f32) {
    let end = BAY / 2.0 - 0.12;
    let mut x = -end;
    let uniform = rng.random_bool(0.4);
    let common = (rng.random_range(0.4..1.2f32), rng.random_range(0.35..0.95f32), rng.random::<u32>());
    while x < end - 0.3 {
        let (wide, high, own) =
            if uniform { common } else { (rng.random_range(0.3..1.25), rng.random_range(0.3..1.0), rng.random()) };
        let wide = wide.min(end - x);
        let size = vec3(wide - 0.03, rng.random_range(0.6..RACK_DEPTH - 0.1), (high * clearance).clamp(0.2, clearance));
        let center = at + vec3(x + wide / 2.0, rng.random_range(-0.05..0.05), size.z / 2.0);
        match rng.random_range(0..12) {
            0..=6 => {
                let cell = vec3(rng.random_range(0.3..0.7), 0.5, rng.random_range(0.25..0.5));
                hall.block(center, size, Texture::Cartons(cell), cardboard(own));
            }
            7..=8 => {
                // Plastic totes, in a stack of their own colour.
                hall.block(center, size, Texture::Cartons(vec3(0.6, 0.4, 0.3)), goods(own)).gloss = 0.25;
            }
            9 => {
                hall.block(center, size, Texture::Film, goods(own)).gloss = 0.4;
            }
            10 => {
                let (radius, along) = ((wide / 2.0 - 0.03).min(0.4), size.y / 2.0);
                let middle = vec3(center.x, center.y, at.z + radius);
                hall.cylinder(
                    middle - vec3(0.0, along, 0.0),
                    middle + vec3(0.0, along, 0.0),
                    radius,
                    Texture::Plain,
                    goods(own),
                );
            }
            _ => {}
        }
        x += wide + rng.random_range(0.0..0.12);
    }
}

/// Something that stands about in a warehouse, up to 1.2 m long.
#[derive(Debug, Clone)]
pub struct Clutter {
    /// Its pieces, all in one frame.
    pub pieces: Vec<Assembly>,
    /// What each piece is to a warehouse that was asked for such objects (see [`super::Extras`]). To any other, and where there is
    /// none, it is background.
    pub class: Option<Class>,
}

/// Some clutter.
pub fn clutter(rng: &mut Pcg64Mcg) -> Clutter {
    let mut thing = Assembly::new(rng.random());
    let mut class = None;
    match rng.random_range(0..5) {
        0 => {
            // Cartons on the bare floor.
            for _ in 0..rng.random_range(1..=3) {
                let size = vec3(rng.random_range(0.3..0.6), rng.random_range(0.3..0.5), rng.random_range(0.25..0.6));
                let at = vec3(rng.random_range(-0.4..0.4), rng.random_range(-0.2..0.2), size.z / 2.0);
                thing.block(at, size, Texture::Cartons(Vec3::splat(2.0)), cardboard(rng.random()));
            }
        }
        1 => {
            cart::roll_container(&mut thing, rng, srgb(150, 154, 158));
            class = Some(Class::Cart);
        }
        2 => {
            let look = cone::Look::usual();
            look.build(&mut thing, -0.4);
            let first = thing.solids.len();
            look.build(&mut thing, 0.3);
            let second = thing.split_off(first);
            return Clutter { pieces: vec![thing, second], class: Some(Class::Cone) };
        }
        3 => {
            // A waste bin on wheels.
            let color = pick(&[(50, 110, 60), (60, 64, 70), (40, 80, 150), (200, 170, 40)], rng.random());
            thing.block(vec3(0.0, 0.0, 0.6), vec3(0.58, 0.7, 0.96), Texture::Plain, color).gloss = 0.2;
            thing.block(vec3(0.0, 0.0, 1.1), vec3(0.62, 0.76, 0.06), Texture::Plain, color * 0.8);
            for side in [-1.0, 1.0] {
                let at = vec3(side * 0.25, 0.3, 0.1);
                thing.cylinder(
                    at - vec3(0.03, 0.0, 0.0),
                    at + vec3(0.03, 0.0, 0.0),
                    0.1,
                    Texture::Plain,
                    srgb(25, 25, 25),
                );
            }
        }
        _ => {
            // A drum on the floor.
            let color = goods(rng.random());
            thing.cylinder(vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.9), 0.29, Texture::Plain, color).gloss = 0.4;
            thing.cylinder(vec3(0.0, 0.0, 0.42), vec3(0.0, 0.0, 0.46), 0.3, Texture::Plain, color * 0.8);
        }
    }
    Clutter { pieces: vec![thing], class }
}
