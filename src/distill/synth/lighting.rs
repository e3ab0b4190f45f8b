//! Rows of ceiling lamps over the two aisles, and how much of their light reaches a surface.

use super::noise::{hash2, hash3, unit};
use super::vector::{Vec3, vec3};

/// How much of a lamp's length counts for shadows, in metres.
const LAMP_LENGTH: f32 = 0.4;

/// The lamps: two rows, at `+-row_y`, parallel to the aisles.
#[derive(Debug, Clone, Copy)]
pub struct Lighting {
    /// Distance of each row from the middle of the hall.
    pub row_y: f32,
    /// Metres between lamps of a row.
    pub spacing: f32,
    /// Height of the lamps.
    pub height: f32,
    /// Colour and strength of the lamps.
    pub direct: Vec3,
    /// Colour and strength of the light from everywhere.
    pub ambient: Vec3,
    /// Decides which lamps are weak and which flicker.
    pub seed: u32,
}

impl Lighting {
    /// The middle of lamp `index` of the row at positive (`side` 1) or negative (`side` 0) y.
    pub fn lamp(&self, index: i32, side: u32) -> Vec3 {
        let y = if side == 1 { self.row_y } else { -self.row_y };
        vec3((index as f32 + 0.5) * self.spacing, y, self.height)
    }

    /// The brightness of a lamp at one time step: most are steady, some weak, a few flicker.
    pub fn level(&self, index: i32, side: u32, step: u32) -> f32 {
        let own = hash3(self.seed, index as u32, side);
        let steady = 0.8 + 0.4 * unit(hash2(own, 1));
        match own % 13 {
            0 => 0.25 * steady,
            1 => steady * (0.35 + 0.65 * unit(hash2(own, step)).round()),
            _ => steady * (1.0 + 0.03 * (unit(hash2(own, step)) - 0.5)),
        }
    }

    /// The light arriving at `point` with `normal`, `lit(lamp)` telling whether the way to a place of a lamp is free.
    /// `dither` in `-0.5..=0.5` moves that place along the lamp: varied between neighbouring pixels it softens the shadows' edges.
    pub fn arriving(&self, point: Vec3, normal: Vec3, step: u32, dither: f32, lit: impl Fn(Vec3) -> bool) -> Vec3 {
        let position = point.x / self.spacing - 0.5;
        let below = position.floor();
        // Only half way between two lamps both count, so that most points need a single shadow ray.
        let share = (2.0 * (position - below) - 0.5).clamp(0.0, 1.0);
        let share = share * share * (3.0 - 2.0 * share);
        // Near the middle of the hall both rows count.
        let upper = (0.5 + point.y / 3.0).clamp(0.0, 1.0);
        let mut direct = 0.0;
        for (side, row) in [(0, 1.0 - upper), (1, upper)] {
            for (next, weight) in [(0, 1.0 - share), (1, share)] {
                let weight = weight * row;
                if weight < 0.02 {
                    continue;
                }
                let index = below as i32 + next;
                let lamp = self.lamp(index, side) + vec3(dither * LAMP_LENGTH, 0.0, -0.1);
                let way = lamp - point;
                let distance = way.length();
                let cosine = normal.dot(way) / distance.max(0.3);
                if cosine > 0.0 && lit(lamp) {
                    // Stronger near the lamp; the reference is the floor right below it.
                    let near = (self.height / distance.max(1.0)).min(2.0);
                    direct += weight * cosine * near * self.level(index, side, step);
                }
            }
        }
        let sky = 0.7 + 0.3 * normal.z;
        self.ambient * sky + self.direct * direct
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIGHTING: Lighting = Lighting {
        row_y: 4.0,
        spacing: 5.0,
        height: 6.0,
        direct: Vec3::splat(1.0),
        ambient: Vec3::splat(0.2),
        seed: 4,
    };

    #[test]
    fn shadow_leaves_only_the_ambient_light() {
        let up = vec3(0.0, 0.0, 1.0);
        let shadow = LIGHTING.arriving(vec3(1.0, 3.0, 0.0), up, 0, 0.1, |_| false);
        assert!((shadow.x - 0.2).abs() < 1e-6);
        assert!(LIGHTING.arriving(vec3(1.0, 3.0, 0.0), up, 0, 0.1, |_| true).x > 0.5);
        let below = LIGHTING.arriving(vec3(1.0, 3.0, 0.0), -up, 0, 0.1, |_| true);
        assert!(below.x < 0.2);
    }

    #[test]
    fn light_changes_smoothly_along_the_floor() {
        let up = vec3(0.0, 0.0, 1.0);
        let mut last: Option<f32> = None;
        for i in 0..400 {
            let light = LIGHTING.arriving(vec3(i as f32 * 0.05, 4.0, 0.0), up, 0, 0.1, |_| true).x;
            if let Some(last) = last {
                assert!((light - last).abs() < 0.12, "jump at {i}: {last} -> {light}");
            }
            last = Some(light);
        }
    }
}
