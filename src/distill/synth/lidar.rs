//! The laser scanner and the 16-ring lidar: ranges with noise and dropped beams, and what each beam met.

use std::f32::consts::TAU;

use rayon::prelude::*;

use super::noise::{gaussian, hash2, hash3, unit};
use super::scene::Scene;
use super::shapes::Ray;
use super::vector::{Pose, Vec3, vec3};

/// One measurement of a beam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Return {
    /// Metres, infinite where nothing came back.
    pub range: f32,
    /// Strength of the echo, 0 to 255.
    pub intensity: f32,
    /// Label of the class the beam met (see [`super::Class::label`]), 0 for background or nothing.
    pub class: u16,
    /// Number of the object the beam met, 0 for background or nothing.
    pub object: u16,
}

/// A sensor that sends beams around itself; ring by ring, each from the back anticlockwise, all at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Lidar {
    /// The sensor's frame in `base_link`.
    pub mount: Pose,
    /// Beams per ring.
    pub beams: usize,
    /// Elevation of each ring in radians, lowest first.
    pub rings: Vec<f32>,
    /// Nothing nearer is measured, in metres.
    pub nearest: f32,
    /// Nothing farther is measured, in metres.
    pub farthest: f32,
    /// Standard deviation of the range, in metres.
    pub noise: f32,
    /// Share of beams lost for no reason.
    pub dropout: f32,
    /// Keeps the noise of two sensors apart.
    pub salt: u32,
}

impl Lidar {
    /// The safety scanner: 720 beams, 0.3 m above the floor.
    pub fn scanner() -> Self {
        Self {
            mount: Pose::at(vec3(0.3, 0.0, 0.3)),
            beams: 720,
            rings: vec![0.0],
            nearest: 0.1,
            farthest: 25.0,
            noise: 0.01,
            dropout: 0.003,
            salt: 0x5ca1,
        }
    }

    /// The 3-D lidar: 16 rings from -15 to +15 degrees of 450 beams, 1.6 m above the floor.
    pub fn spinning() -> Self {
        Self {
            mount: Pose::at(vec3(0.0, 0.0, 1.6)),
            beams: 450,
            rings: (0..16).map(|ring| (-15.0 + 2.0 * ring as f32).to_radians()).collect(),
            nearest: 0.4,
            farthest: 60.0,
            noise: 0.015,
            dropout: 0.01,
            salt: 0x11da,
        }
    }

    /// The first beam's azimuth in radians.
    pub fn first_azimuth(&self) -> f32 {
        -TAU / 2.0
    }

    /// The angle between beams in radians.
    pub fn step(&self) -> f32 {
        TAU / self.beams as f32
    }

    /// The direction of a beam in the sensor's frame.
    pub fn direction(&self, ring: usize, beam: usize) -> Vec3 {
        let (sin_up, cos_up) = self.rings[ring].sin_cos();
        let (sin, cos) = (self.first_azimuth() + beam as f32 * self.step()).sin_cos();
        vec3(cos_up * cos, cos_up * sin, sin_up)
    }

    /// Measures sweep number `sweep` of the scene: `rings * beams` returns, ring by ring.
    pub fn measure(&self, scene: &Scene, sweep: u32) -> Vec<Return> {
        let pose = scene.robot().then(&self.mount);
        let seed = hash3(scene.noise_seed(), self.salt, sweep);
        let mut returns =
            vec![Return { range: f32::INFINITY, intensity: 0.0, class: 0, object: 0 }; self.rings.len() * self.beams];
        returns.par_chunks_mut(90).enumerate().for_each(|(chunk, part)| {
            for (offset, out) in part.iter_mut().enumerate() {
                let index = chunk * 90 + offset;
                let direction = self.direction(index / self.beams, index % self.beams);
                let ray = Ray::new(pose.origin, pose.rotate(direction));
                if let Some(measured) = self.beam(scene, &ray, hash2(seed, index as u32)) {
                    *out = measured;
                }
            }
        });
        returns
    }

    fn beam(&self, scene: &Scene, ray: &Ray, seed: u32) -> Option<Return> {
        let hit = scene.nearest(ray, self.farthest)?;
        let surface = hit.surface;
        let local = surface.frame.unapply(ray.at(hit.distance));
        let albedo = surface.albedo(local, surface.frame.unrotate(hit.normal), 0.02);
        let facing = (-hit.normal.dot(ray.direction)).clamp(0.0, 1.0);
        let echo = albedo.x.clamp(0.0, 1.0) * facing;
        // Dark surfaces and those seen at a slant are lost more often, the farther the more.
        let lost = self.dropout + 0.25 * (1.0 - echo).powi(12) * (hit.distance / self.farthest).sqrt();
        if unit(hash2(seed, 1)) < lost || hit.distance < self.nearest {
            return None;
        }
        let range = hit.distance + self.noise * gaussian(hash2(seed, 2));
        Some(Return {
            range: range.clamp(self.nearest, self.farthest),
            intensity: (255.0 * echo).round(),
            class: scene.class(hit.object).map_or(0, |class| class.label()),
            object: hit.object,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Class, Warehouse};
    use super::*;

    #[test]
    fn beams_labelled_as_an_object_end_in_its_box() {
        let mut people = 0;
        for seed in 0..3 {
            let warehouse = Warehouse::new(seed);
            let scene = warehouse.at(3.0);
            for lidar in [Lidar::scanner(), Lidar::spinning()] {
                let pose = scene.robot().then(&lidar.mount);
                for (index, measured) in lidar.measure(&scene, 0).into_iter().enumerate() {
                    let Some(class) = scene.class(measured.object) else {
                        assert_eq!(measured.class, 0);
                        continue;
                    };
                    let direction = lidar.direction(index / lidar.beams, index % lidar.beams);
                    let point = pose.apply(direction * measured.range);
                    let bounding = &scene.objects()[measured.object as usize - 1].bounding;
                    assert_eq!(measured.class, class.label());
                    assert!(bounding.contains(point, 4.0 * lidar.noise), "{point:?} outside {bounding:?}");
                    people += usize::from(class == Class::Person);
                }
            }
        }
        assert!(people > 50, "only {people} beams met a person");
    }

    #[test]
    fn the_scanner_sees_most_beams_return_and_some_lost() {
        let warehouse = Warehouse::new(2);
        let returns = Lidar::scanner().measure(&warehouse.at(0.0), 0);
        let lost = returns.iter().filter(|r| r.range.is_infinite()).count();
        assert!(lost > 0 && lost < returns.len() / 4, "{lost} lost");
    }
}
