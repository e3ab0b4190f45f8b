//! People: jointed capsules in clothes of many colours, walking, standing at a rack or sitting in a forklift.

use std::f32::consts::TAU;

use rand::Rng;

use super::assembly::Assembly;
use super::texture::{Texture, pick};
use super::vector::{Pose, Vec3, vec3};

/// What one person looks like; stays the same over time.
#[derive(Debug, Clone)]
pub struct Look {
    height: f32,
    girth: f32,
    skin: Vec3,
    hair: Vec3,
    top: Vec3,
    trousers: Vec3,
    shoes: Vec3,
    vest: Option<Vec3>,
    helmet: Option<Vec3>,
    short_sleeves: bool,
    carries: Option<Vec3>,
    seed: u32,
}

/// What a person is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Posture {
    /// Walking; `phase` in radians, one full turn per two steps.
    Walking(f32),
    /// Walking with both hands on something that is pushed, as [`Self::Walking`].
    Pushing(f32),
    /// Standing with the arms raised by `reach` in `0..=1`.
    Standing {
        /// 0 hanging, 1 reaching forwards and up.
        reach: f32,
    },
    /// Sitting, hands at a wheel; the origin is the floor below the seat, the seat at this height in metres.
    Sitting {
        /// Height of the seat above the origin.
        seat: f32,
    },
}

impl Look {
    /// Somebody.
    pub fn new(rng: &mut impl Rng) -> Self {
        let clothes: [(u8, u8, u8); 12] = [
            (40, 60, 110),
            (170, 40, 40),
            (60, 60, 64),
            (200, 200, 200),
            (50, 100, 70),
            (110, 70, 50),
            (90, 120, 170),
            (30, 30, 32),
            (150, 140, 60),
            (120, 60, 110),
            (230, 225, 210),
            (210, 110, 50),
        ];
        let trousers = [(45, 55, 90), (30, 30, 34), (95, 85, 70), (70, 75, 80), (120, 110, 90), (35, 45, 60)];
        let skins = [(240, 200, 170), (220, 170, 130), (180, 130, 95), (130, 90, 65), (90, 60, 45)];
        let hairs = [(30, 22, 18), (70, 45, 25), (150, 115, 70), (120, 120, 120), (20, 20, 22)];
        let vests = [(200, 235, 30), (255, 110, 20), (230, 245, 60), (250, 60, 30)];
        let helmets = [(240, 200, 30), (235, 235, 235), (40, 90, 170), (200, 50, 40)];
        Self {
            height: rng.random_range(1.55..1.95),
            girth: rng.random_range(0.88..1.25),
            skin: pick(&skins, rng.random()),
            hair: pick(&hairs, rng.random()),
            top: pick(&clothes, rng.random()),
            trousers: pick(&trousers, rng.random()),
            shoes: pick(&[(25, 25, 25), (70, 50, 35), (90, 90, 95)], rng.random()),
            vest: rng.random_bool(0.5).then(|| pick(&vests, rng.random())),
            helmet: rng.random_bool(0.35).then(|| pick(&helmets, rng.random())),
            short_sleeves: rng.random_bool(0.3),
            carries: rng.random_bool(0.15).then(|| super::pallet::cardboard(rng.random())),
            seed: rng.random(),
        }
    }

    /// Metres walked per full turn of the phase (two steps).
    pub fn stride(&self) -> f32 {
        self.height * 0.8
    }

    /// How far before its middle a person who pushes has the hands, in metres. The feet come no farther.
    pub fn reach(&self) -> f32 {
        self.height * 0.34
    }

    /// The body in this posture, facing x. Proportions after Drillis and Contini's segment lengths (hip 0.53, knee 0.285, shoulder 0.82 of the height).
    pub fn build(&self, posture: Posture) -> Assembly {
        let mut body = Assembly::new(self.seed);
        let h = self.height;
        let (thigh, shin, upper_arm, forearm) = (0.245 * h, 0.246 * h, 0.175 * h, 0.15 * h);
        let (swing, hip_height, lean) = match posture {
            Posture::Walking(phase) | Posture::Pushing(phase) => {
                let swing = phase.rem_euclid(TAU);
                let lean = if matches!(posture, Posture::Pushing(_)) { 0.12 } else { 0.06 };
                (Some(swing), 0.53 * h - 0.012 * h * (1.0 - (2.0 * swing).cos()), lean)
            }
            Posture::Standing { reach } => (None, 0.53 * h, 0.04 * reach),
            Posture::Sitting { seat } => (None, seat + 0.09, -0.1),
        };
        let hip = vec3(0.0, 0.0, hip_height);
        for (side, turn) in [(1.0, 0.0), (-1.0, TAU / 2.0)] {
            // Angles from straight down, positive forwards.
            let (hip_angle, knee_bend) = match (posture, swing) {
                (Posture::Sitting { .. }, _) => (1.45, 1.35),
                (_, Some(swing)) => {
                    let phase = swing + turn;
                    (0.05 + 0.46 * phase.sin(), 0.1 + 0.75 * (phase + 0.9).cos().max(0.0).powi(2))
                }
                _ => (0.03 * side, 0.04),
            };
            let top = hip + vec3(0.0, side * 0.05 * h, 0.0);
            let knee = top + down(hip_angle) * thigh;
            let ankle = knee + down(hip_angle - knee_bend) * shin;
            body.capsule(top, knee, 0.046 * h * self.girth, Texture::Plain, self.trousers);
            body.capsule(knee, ankle, 0.034 * h, Texture::Plain, self.trousers * 0.95);
            let toes = Pose::pitched(ankle + vec3(0.04 * h, 0.0, -0.015 * h), (knee_bend - hip_angle) * 0.5);
            body.turned(toes, vec3(0.15 * h, 0.055 * h, 0.045 * h), Texture::Plain, self.shoes);
        }
        let spine = vec3(lean.sin(), 0.0, lean.cos());
        let shoulder = hip + spine * (0.285 * h);
        self.torso(&mut body, hip, shoulder, spine);
        let carrying = self.carries.filter(|_| matches!(posture, Posture::Walking(_)));
        for (side, turn) in [(1.0, TAU / 2.0), (-1.0, 0.0)] {
            let (arm_angle, elbow_bend) = match (posture, swing) {
                _ if carrying.is_some() => (0.35, 1.2),
                (Posture::Sitting { .. }, _) => (0.55, 0.75),
                (Posture::Pushing(_), _) => (0.7, 0.45),
                (Posture::Standing { reach }, _) => (0.05 + 1.5 * reach, 0.15 + 0.5 * reach),
                (_, Some(swing)) => (0.42 * (swing + turn).sin(), 0.35 + 0.2 * (swing + turn).sin()),
                _ => (0.0, 0.2),
            };
            let top = shoulder + vec3(0.0, side * 0.112 * h * self.girth.min(1.1), -0.01 * h);
            let elbow = top + (down(arm_angle) + vec3(0.0, side * 0.1, 0.0)) * upper_arm;
            let wrist = elbow + down(arm_angle + elbow_bend) * forearm;
            body.capsule(top, elbow, 0.031 * h * self.girth, Texture::Plain, self.top);
            let sleeve = if self.short_sleeves { self.skin } else { self.top };
            body.capsule(elbow, wrist, 0.025 * h, Texture::Plain, sleeve);
            body.capsule(
                wrist + down(arm_angle + elbow_bend) * (0.03 * h),
                wrist,
                0.026 * h,
                Texture::Plain,
                self.skin,
            );
        }
        if let Some(color) = carrying {
            let size = vec3(0.32, 0.42, 0.28);
            body.block(shoulder + vec3(0.33, 0.0, -0.22), size, Texture::Cartons(vec3(1.0, 1.0, 1.0)), color);
        }
        self.head(&mut body, shoulder, spine);
        body
    }

    fn torso(&self, body: &mut Assembly, hip: Vec3, shoulder: Vec3, spine: Vec3) {
        let h = self.height;
        let (texture, color) = self.vest.map_or((Texture::Plain, self.top), |vest| (Texture::Vest, vest));
        let radius = 0.062 * h * self.girth;
        let middle = hip.lerp(shoulder, 0.5);
        let frame = Pose { origin: middle, axes: [vec3(spine.z, 0.0, -spine.x), vec3(0.0, 1.0, 0.0), spine] };
        let half = vec3(radius, 0.12 * h, 0.18 * h);
        let mut part = |a: Vec3, b: Vec3, radius: f32| {
            let surface = body.capsule(a, b, radius, texture, color);
            (surface.frame, surface.half) = (frame, half);
        };
        for side in [-1.0, 1.0] {
            let y = vec3(0.0, side * 0.048 * h * self.girth, 0.0);
            part(hip + y + spine * (0.02 * h), shoulder + y - spine * (0.03 * h), radius);
        }
        let across = vec3(0.0, 0.085 * h, 0.0);
        part(shoulder - across - spine * (0.015 * h), shoulder + across - spine * (0.015 * h), 0.045 * h);
        body.capsule(
            hip - vec3(0.0, 0.045 * h, 0.0),
            hip + vec3(0.0, 0.045 * h, 0.0),
            0.064 * h * self.girth,
            Texture::Plain,
            self.trousers,
        );
    }

    fn head(&self, body: &mut Assembly, shoulder: Vec3, spine: Vec3) {
        let h = self.height;
        let at = |up: f32, forwards: f32| shoulder + spine * (up * h) + vec3(forwards * h, 0.0, 0.0);
        body.capsule(at(0.0, 0.0), at(0.06, 0.005), 0.03 * h, Texture::Plain, self.skin);
        body.capsule(at(0.095, 0.012), at(0.125, 0.012), 0.046 * h, Texture::Plain, self.skin);
        if let Some(helmet) = self.helmet {
            body.capsule(at(0.138, 0.004), at(0.14, 0.004), 0.062 * h, Texture::Plain, helmet).gloss = 0.6;
            body.cylinder(at(0.132, 0.02), at(0.137, 0.02), 0.072 * h, Texture::Plain, helmet);
        } else {
            body.capsule(at(0.13, -0.008), at(0.136, -0.008), 0.05 * h, Texture::Plain, self.hair);
        }
    }
}

/// The direction straight down, swung forwards by `angle` radians.
fn down(angle: f32) -> Vec3 {
    vec3(angle.sin(), 0.0, -angle.cos())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn who_pushes_has_the_hands_where_the_cart_begins_and_kicks_it_not() {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(6);
        for _ in 0..20 {
            let look = Look::new(&mut rng);
            for step in 0..16 {
                let front = look.build(Posture::Pushing(step as f32 / 16.0 * TAU)).bounds().max.x;
                assert!((0.96 * look.reach()..=look.reach()).contains(&front), "{front} of {}", look.reach());
            }
        }
    }

    #[test]
    fn a_walker_stands_on_the_floor_and_is_as_tall_as_a_person() {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(5);
        for _ in 0..20 {
            let look = Look::new(&mut rng);
            for step in 0..16 {
                let bounds = look.build(Posture::Walking(step as f32 / 16.0 * TAU)).bounds();
                assert!((-0.06..0.08).contains(&bounds.min.z), "feet at {}", bounds.min.z);
                assert!((1.45..2.15).contains(&bounds.max.z), "head at {}", bounds.max.z);
                assert!(bounds.max.x - bounds.min.x < 1.4 && bounds.max.y - bounds.min.y < 0.9);
            }
        }
    }
}
