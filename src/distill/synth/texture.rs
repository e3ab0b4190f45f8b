//! What surfaces look like: procedural colours over the coordinates of the solid they belong to.

use super::noise::{hash2, hash3, smooth, tinted, unit};
use super::vector::{Pose, Vec3, vec3};

/// A linear colour from 8-bit sRGB values (approximated by a power of 2.2).
pub fn srgb(red: u8, green: u8, blue: u8) -> Vec3 {
    let linear = |value: u8| (value as f32 / 255.0).powf(2.2);
    vec3(linear(red), linear(green), linear(blue))
}

/// A colour out of a list, chosen by hash.
pub fn pick(colors: &[(u8, u8, u8)], seed: u32) -> Vec3 {
    let (red, green, blue) = colors[hash2(seed, 77) as usize % colors.len()];
    srgb(red, green, blue)
}

/// The pattern on a surface.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Texture {
    /// Paint with a little dirt.
    Plain,
    /// Cardboard boxes stacked in a grid of cells of about this size in metres, with tape, labels and dark gaps.
    Cartons(Vec3),
    /// Boards with grain along the longest side.
    Wood,
    /// A concrete floor with lane markings.
    Floor(Markings),
    /// A wall: trapezoidal sheet or painted brick, with a darker band along the floor.
    Wall {
        /// Brick instead of sheet metal.
        brick: bool,
    },
    /// A rack's upright with its rows of holes.
    Holes,
    /// Yellow and black diagonals.
    Hazard,
    /// A high-visibility garment: two bright bands around the body and two over the shoulders.
    Vest,
    /// Goods wrapped in stretch film: pale streaks over the colour.
    Film,
    /// A roller shutter.
    Shutter,
    /// Shines by itself.
    Lamp,
}

/// Where the floor is painted: both aisles' edges and the lanes across the ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Markings {
    /// Lateral position of the two aisles' middles in metres (+ and -).
    pub aisle_y: f32,
    /// Half the distance between an aisle's two lines.
    pub half_lane: f32,
    /// The racks reach from `-rack_x` to `rack_x`.
    pub rack_x: f32,
    /// Middle of the lanes across the ends (+ and -).
    pub end_x: f32,
}

/// How a solid's surface answers light.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surface {
    /// Pattern.
    pub texture: Texture,
    /// Main colour, linear.
    pub color: Vec3,
    /// Makes this surface differ from others of its kind.
    pub seed: u32,
    /// Strength of the mirror-like part, 0 for matt.
    pub gloss: f32,
    /// The frame the pattern lies in, its origin in the middle of the solid.
    pub frame: Pose,
    /// Half the solid's size along the frame's axes.
    pub half: Vec3,
}

impl Surface {
    /// The linear albedo at a point of the surface. `point` and `normal` are in the surface's frame; `footprint` is the width in metres that
    /// one pixel covers there: details finer than that are faded out.
    pub fn albedo(&self, point: Vec3, normal: Vec3, footprint: f32) -> Vec3 {
        match self.texture {
            Texture::Plain => {
                self.color * (0.92 + 0.16 * smooth(point.x * 3.0 + point.z * 1.7, point.y * 3.0 + point.z, self.seed))
            }
            Texture::Cartons(cell) => self.cartons(cell, point, normal, footprint),
            Texture::Wood => self.wood(point, footprint),
            Texture::Floor(markings) => self.floor(markings, point, footprint),
            Texture::Wall { brick } => self.wall(brick, point, normal, footprint),
            Texture::Holes => {
                let row = (point.z / 0.1).fract().abs();
                let across = if normal.x.abs() > normal.y.abs() { point.y } else { point.x };
                let hole = footprint < 0.03 && (0.3..0.7).contains(&row) && across.abs() < 0.018;
                if hole { self.color * 0.15 } else { self.color }
            }
            Texture::Hazard => {
                let stripe = ((point.y + point.z + point.x * 0.2) / 0.16).rem_euclid(1.0);
                if stripe < 0.5 { srgb(235, 190, 20) } else { srgb(25, 25, 25) }
            }
            Texture::Vest => self.vest(point, footprint),
            Texture::Film => {
                let streak = smooth(point.x * 2.0 + point.y * 2.0, point.z * 14.0, self.seed);
                let fold = smooth((point.x + point.y) * 9.0, point.z * 1.5, self.seed ^ 5);
                let base = self.cartons(vec3(0.4, 0.4, 0.3), point, normal, footprint);
                base.lerp(srgb(205, 212, 216), 0.25 + 0.35 * streak * fold)
            }
            Texture::Shutter => {
                let slat = (point.z / 0.12).rem_euclid(1.0);
                self.color * lines(0.75 + 0.3 * slat, 0.95, 0.12, footprint)
            }
            Texture::Lamp => self.color,
        }
    }

    /// How much light the surface sends out by itself.
    pub fn emission(&self) -> f32 {
        if self.texture == Texture::Lamp { 1.0 } else { 0.0 }
    }

    /// The two coordinates along the face that `normal` belongs to, its half sizes, and whether the face is level.
    fn face(&self, point: Vec3, normal: Vec3) -> (f32, f32, f32, f32, bool) {
        let n = normal.abs();
        if n.z >= n.x && n.z >= n.y {
            (point.x, point.y, self.half.x, self.half.y, true)
        } else if n.x >= n.y {
            (point.y, point.z, self.half.y, self.half.z, false)
        } else {
            (point.x, point.z, self.half.x, self.half.z, false)
        }
    }

    fn cartons(&self, cell: Vec3, point: Vec3, normal: Vec3, footprint: f32) -> Vec3 {
        let (u, v, half_u, half_v, level) = self.face(point, normal);
        let cell_u = if normal.x.abs() > normal.y.abs() && !level { cell.y } else { cell.x };
        let cell_v = if level { cell.y } else { cell.z };
        let (count_u, count_v) = ((2.0 * half_u / cell_u).round().max(1.0), (2.0 * half_v / cell_v).round().max(1.0));
        let (size_u, size_v) = (2.0 * half_u / count_u, 2.0 * half_v / count_v);
        let (at_u, at_v) = (((u + half_u) / size_u).max(0.0), ((v + half_v) / size_v).max(0.0));
        let own = hash3(self.seed, (at_u as u32) + 16 * u32::from(level), at_v as u32);
        let (in_u, in_v) = (at_u.fract() * size_u, at_v.fract() * size_v);
        let edge = in_u.min(size_u - in_u).min(in_v).min(size_v - in_v);
        let mut color = tinted(self.color, 0.12, own);
        color = color * (0.94 + 0.12 * smooth(u * 9.0, v * 9.0, own));
        if edge < 0.008 + footprint * 0.3 {
            color = color * if footprint < 0.02 { 0.45 } else { 0.75 };
        } else if (in_u / size_u - 0.5).abs() < 0.5 * (0.05 / size_u).min(0.5) && !own.is_multiple_of(3) {
            color = color.lerp(srgb(190, 165, 120), 0.55);
        }
        let label = !level
            && own & 3 == 1
            && in_u > size_u * 0.58
            && in_u < size_u * 0.9
            && in_v > size_v * 0.5
            && in_v < size_v * 0.85;
        if label {
            let print = footprint < 0.02 && (in_v * 60.0).fract() < 0.4 && in_v < size_v * 0.75;
            color = if print { srgb(40, 40, 40) } else { srgb(235, 235, 230) };
        }
        color
    }

    fn wood(&self, point: Vec3, footprint: f32) -> Vec3 {
        let along_x = self.half.x >= self.half.y;
        let (along, across) = if along_x { (point.x, point.y + point.z) } else { (point.y, point.x + point.z) };
        let grain = smooth(along * 3.0, across * 70.0, self.seed);
        let patch = smooth(along * 2.0, across * 2.0, self.seed ^ 3);
        let strength = (1.0 - footprint * 60.0).max(0.0);
        tinted(self.color, 0.15, self.seed) * (0.8 + 0.25 * patch + 0.25 * strength * (grain - 0.5))
    }

    fn floor(&self, markings: Markings, point: Vec3, footprint: f32) -> Vec3 {
        let (x, y) = (point.x, point.y);
        let broad = smooth(x * 0.35, y * 0.35, self.seed);
        let fine = smooth(x * 3.1, y * 3.1, self.seed ^ 9);
        let grit = if footprint < 0.03 { smooth(x * 40.0, y * 40.0, self.seed ^ 11) - 0.5 } else { 0.0 };
        let mut color = self.color * (0.78 + 0.3 * broad + 0.14 * fine + 0.12 * grit);
        // Joints of the slab every six metres, and tyre marks along the lanes.
        let joint = |c: f32| (c / 6.0 - (c / 6.0).round()).abs() * 6.0 < 0.012 + footprint * 0.3;
        if joint(x) || joint(y) {
            color = color * 0.72;
        }
        let from_lane = (y.abs() - markings.aisle_y).abs();
        let tyre = (from_lane - 0.55).abs();
        if tyre < 0.14 {
            color = color * (1.0 - 0.22 * smooth(x * 0.7, y * 8.0, self.seed ^ 21) * (1.0 - tyre / 0.14));
        }
        let width = 0.05 + footprint * 0.2;
        let worn = smooth(x * 5.0, y * 5.0, self.seed ^ 31) > 0.2;
        let along_aisle = x.abs() < markings.rack_x && (from_lane - markings.half_lane).abs() < width;
        let across_end = x.abs() > markings.rack_x && {
            let from_end = (x.abs() - markings.end_x).abs();
            (from_end - markings.half_lane).abs() < width
        };
        if (along_aisle || across_end) && worn {
            return color.lerp(srgb(225, 180, 35), 0.8);
        }
        // A zebra crossing where the aisles meet the end lanes.
        let zebra = (x.abs() - markings.rack_x - 0.55).abs() < 0.45 && from_lane < markings.half_lane;
        if zebra && (y / 0.7).rem_euclid(1.0) < 0.5 && worn {
            return color.lerp(srgb(220, 220, 215), 0.75);
        }
        color
    }

    fn wall(&self, brick: bool, point: Vec3, normal: Vec3, footprint: f32) -> Vec3 {
        let u = if normal.x.abs() > normal.y.abs() { point.y } else { point.x };
        let height = point.z + self.half.z;
        let mut color = self.color * (0.88 + 0.2 * smooth(u * 0.5, height * 0.8, self.seed));
        if height < 1.2 {
            color = color.scaled(vec3(0.55, 0.6, 0.68));
        }
        if brick {
            let row = (height / 0.2).floor();
            let shift = if (row as i32) & 1 == 0 { 0.0 } else { 0.5 };
            let column = u / 0.45 + shift;
            let own = hash3(self.seed, column.floor() as i32 as u32, row as u32);
            color = color * (0.92 + 0.16 * unit(own));
            let mortar = (height / 0.2).fract() < 0.08 || column.rem_euclid(1.0) < 0.04;
            color * if mortar { lines(0.75, 0.97, 0.1, footprint) } else { 1.0 }
        } else {
            let rib = (u / 0.3).rem_euclid(1.0);
            color * if rib < 0.3 { lines(0.82, 0.95, 0.15, footprint) } else { 1.0 }
        }
    }

    fn vest(&self, point: Vec3, footprint: f32) -> Vec3 {
        let height = point.z / self.half.z.max(1e-3);
        let band = (height + 0.62).abs() < 0.12 || (height + 0.12).abs() < 0.12;
        let brace = height > -0.1 && (point.y.abs() / self.half.y.max(1e-3) - 0.55).abs() < 0.16;
        if (band || brace) && footprint < 0.08 { srgb(215, 218, 215) } else { self.color }
    }
}

/// A shade of fine lines: `sharp` near by, fading to their `mean` where one pixel covers more than `period` metres.
fn lines(sharp: f32, mean: f32, period: f32, footprint: f32) -> f32 {
    let fade = (2.0 - 3.0 * footprint / period).clamp(0.0, 1.0);
    sharp * fade + mean * (1.0 - fade)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_texture_stays_a_colour() {
        let markings = Markings { aisle_y: 3.5, half_lane: 1.6, rack_x: 10.0, end_x: 12.0 };
        let textures = [
            Texture::Plain,
            Texture::Cartons(Vec3::splat(0.4)),
            Texture::Wood,
            Texture::Floor(markings),
            Texture::Wall { brick: true },
            Texture::Wall { brick: false },
            Texture::Holes,
            Texture::Hazard,
            Texture::Vest,
            Texture::Film,
            Texture::Shutter,
            Texture::Lamp,
        ];
        for (index, texture) in textures.into_iter().enumerate() {
            let surface = Surface {
                texture,
                color: srgb(200, 150, 90),
                seed: 3,
                gloss: 0.0,
                frame: Pose::IDENTITY,
                half: Vec3::splat(0.5),
            };
            for i in 0..500u32 {
                let at = |k: u32| unit(hash3(i, k, index as u32)) * 30.0 - 15.0;
                let normal = vec3(at(3), at(4), at(5)).normalized();
                let color = surface.albedo(vec3(at(0), at(1), at(2)), normal, 0.01);
                for channel in [color.x, color.y, color.z] {
                    assert!((0.0..=1.5).contains(&channel), "{texture:?}: {channel}");
                }
            }
        }
    }
}
