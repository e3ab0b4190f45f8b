//! The camera: a pinhole without distortion, with exposure, vignetting, blur and sensor noise.

use rayon::prelude::*;

use super::noise::{gaussian, hash2, hash3, unit};
use super::scene::Scene;
use super::shapes::Ray;
use super::vector::{Pose, Vec3, vec3};

/// The camera's measures. Pixel centres have whole coordinates, as in `sensor_msgs/CameraInfo`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Focal length in pixels, equal in both directions.
    pub focal: f32,
    /// Column of the optical axis.
    pub center_x: f32,
    /// Row of the optical axis.
    pub center_y: f32,
    /// `camera_link` (x forwards) in `base_link`.
    pub mount: Pose,
}

/// What the camera saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Red, green, blue, row by row: `height * width * 3` bytes.
    pub rgb: Vec<u8>,
    /// The number of the object at each pixel's centre, 0 for background: `height * width`.
    pub objects: Vec<u16>,
}

/// Extra rays for a pixel on an edge, as offsets from its centre.
const EXTRA: [(f32, f32); 2] = [(-0.3, 0.25), (0.3, -0.25)];
/// Places along the lamps for each pixel of a square of four: see [`super::lighting::Lighting::arriving`].
const DITHER: [f32; 4] = [-0.5, 0.17, 0.5, -0.17];
/// Nothing in the hall is farther away.
const FARTHEST: f32 = 200.0;

#[derive(Debug, Clone, Copy)]
struct Sample {
    light: Vec3,
    solid: u32,
    object: u16,
}

impl Camera {
    /// The robot's camera: 1.2 m high, looking 5 degrees down, 64 degrees wide.
    pub fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            focal: width as f32 * 0.8,
            center_x: (width as f32 - 1.0) / 2.0,
            center_y: (height as f32 - 1.0) / 2.0,
            mount: Pose::pitched(vec3(0.25, 0.0, 1.2), 5.0f32.to_radians()),
        }
    }

    /// `camera_optical_frame` (z forwards, x right, y down; REP-103) in `camera_link`.
    pub fn optical() -> Pose {
        Pose { origin: Vec3::default(), axes: [vec3(0.0, -1.0, 0.0), vec3(0.0, 0.0, -1.0), vec3(1.0, 0.0, 0.0)] }
    }

    /// The optical frame in `odom`, for a robot whose base stands at `robot`.
    pub fn pose(&self, robot: &Pose) -> Pose {
        robot.then(&self.mount).then(&Self::optical())
    }

    /// The ray through a point of the image, `pose` being the optical frame.
    pub(super) fn ray(&self, pose: &Pose, column: f32, row: f32) -> Ray {
        let direction = vec3((column - self.center_x) / self.focal, (row - self.center_y) / self.focal, 1.0);
        Ray::new(pose.origin, pose.rotate(direction.normalized()))
    }

    /// The column and row at which a point of the optical frame appears; none at less than 5 cm before the camera or behind it.
    pub fn project(&self, point: Vec3) -> Option<(f32, f32)> {
        (point.z > 0.05)
            .then(|| (self.center_x + self.focal * point.x / point.z, self.center_y + self.focal * point.y / point.z))
    }

    /// Takes picture number `frame` of the scene. The same scene and number give the same bytes.
    pub fn picture(&self, scene: &Scene, frame: u32) -> Picture {
        let pose = self.pose(scene.robot());
        let width = self.width as usize;
        let mut samples = vec![Sample { light: Vec3::default(), solid: 0, object: 0 }; width * self.height as usize];
        samples.par_chunks_mut(width).enumerate().for_each(|(row, line)| {
            for (column, sample) in line.iter_mut().enumerate() {
                *sample = self.sample(scene, &pose, column as f32, row as f32);
            }
        });
        let mut light = vec![Vec3::default(); samples.len()];
        light.par_chunks_mut(width).enumerate().for_each(|(row, line)| {
            for (column, light) in line.iter_mut().enumerate() {
                *light = self.smoothed(scene, &pose, &samples, column, row);
            }
        });
        let rgb = self.develop(scene, frame, &light);
        Picture { rgb, objects: samples.iter().map(|sample| sample.object).collect() }
    }

    fn sample(&self, scene: &Scene, pose: &Pose, column: f32, row: f32) -> Sample {
        let ray = self.ray(pose, column, row);
        let Some(hit) = scene.nearest(&ray, FARTHEST) else {
            return Sample { light: Vec3::default(), solid: u32::MAX, object: 0 };
        };
        let dither = DITHER[(row as usize & 1) * 2 + (column as usize & 1)];
        // Seen at a slant, a pixel covers more of the surface, but textures fade too early if all of that counts.
        let slant = (-hit.normal.dot(ray.direction)).max(0.15).sqrt();
        let footprint = hit.distance / (self.focal * slant);
        Sample { light: scene.shade(&ray, &hit, footprint, dither), solid: hit.solid, object: hit.object }
    }

    /// The pixel's light, averaged over more rays where its neighbours show another solid.
    fn smoothed(&self, scene: &Scene, pose: &Pose, samples: &[Sample], column: usize, row: usize) -> Vec3 {
        let (width, height) = (self.width as usize, self.height as usize);
        let index = row * width + column;
        let own = samples[index];
        let luminance = |sample: &Sample| sample.light.dot(vec3(0.3, 0.6, 0.1));
        let differs = |other: usize| {
            let other = &samples[other];
            other.solid != own.solid
                && (luminance(other) - luminance(&own)).abs() > 0.04 + 0.1 * luminance(&own).min(luminance(other))
        };
        let on_edge = (column > 0 && differs(index - 1))
            || (column + 1 < width && differs(index + 1))
            || (row > 0 && differs(index - width))
            || (row + 1 < height && differs(index + width));
        if !on_edge {
            return own.light;
        }
        let mut sum = own.light;
        for (right, down) in EXTRA {
            sum += self.sample(scene, pose, column as f32 + right, row as f32 + down).light;
        }
        sum * (1.0 / (1.0 + EXTRA.len() as f32))
    }

    /// Lens, exposure, noise and gamma.
    fn develop(&self, scene: &Scene, frame: u32, light: &[Vec3]) -> Vec<u8> {
        let (width, height) = (self.width as usize, self.height as usize);
        let seed = scene.noise_seed();
        let mean =
            light.iter().map(|l| l.x.min(1.0) + l.y.min(1.0) + l.z.min(1.0)).sum::<f32>() / (3.0 * light.len() as f32);
        let gain = exposure(seed, frame, mean);
        let tint = white_balance(seed);
        let curve = gamma_curve();
        let grain = hash2(seed, frame);
        let mut rgb = vec![0; width * height * 3];
        rgb.par_chunks_mut(width * 3).enumerate().for_each(|(row, line)| {
            let (above, below) = (row.saturating_sub(1) * width, (row + 1).min(height - 1) * width);
            for column in 0..width {
                let (left, right) = (column.saturating_sub(1), (column + 1).min(width - 1));
                let middle = row * width;
                // A lens a little softer than the pixels.
                let around =
                    light[middle + left] + light[middle + right] + light[above + column] + light[below + column];
                let blurred = light[middle + column] * 0.6 + around * 0.1;
                let (x, y) = (column as f32 - self.center_x, row as f32 - self.center_y);
                let vignette = 1.0 - 0.3 * (x * x + y * y) / (self.focal * self.focal);
                let signal = blurred.scaled(tint) * (gain * vignette);
                let pixel = hash3(grain, column as u32, row as u32);
                for (channel, value) in [signal.x, signal.y, signal.z].into_iter().enumerate() {
                    // Read noise, and shot noise whose variance grows with the signal.
                    let deviation = (2.5e-5 * gain * gain + 4e-4 * gain * value).sqrt();
                    let noisy = (value + deviation * gaussian(hash2(pixel, channel as u32))).max(0.0);
                    let place = (noisy / (1.0 + 0.22 * noisy)).sqrt() * (curve.len() - 1) as f32;
                    line[column * 3 + channel] = curve[(place as usize).min(curve.len() - 1)];
                }
            }
        });
        rgb
    }
}

/// Automatic exposure that follows the picture's mean about two thirds of the way, with a setting that wanders and now and then jumps.
fn exposure(seed: u32, frame: u32, mean: f32) -> f32 {
    let automatic = (0.26 / mean.max(0.01)).clamp(0.2, 6.0).powf(0.65);
    let wander = 1.0 + 0.12 * (frame as f32 * 0.05 + unit(hash2(seed, 41)) * 6.0).sin();
    let setting = 0.8 + 0.45 * unit(hash3(seed, 43, frame / 37));
    automatic * wander * setting
}

fn white_balance(seed: u32) -> Vec3 {
    let shift = |channel: u32| 1.0 + 0.08 * (2.0 * unit(hash3(seed, 47, channel)) - 1.0);
    vec3(shift(0), 1.0, shift(2))
}

/// 8-bit values by the square root of the linear signal.
fn gamma_curve() -> Vec<u8> {
    (0..1024).map(|i| ((i as f32 / 1023.0).powf(2.0 / 2.2) * 255.0).round() as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::super::scene::Warehouse;
    use super::*;

    #[test]
    fn a_ray_projects_back_to_its_pixel() {
        let camera = Camera::new(320, 192);
        let ray = camera.ray(&Pose::IDENTITY, 17.0, 130.5);
        let (column, row) = camera.project(ray.at(4.0)).unwrap();
        assert!((column - 17.0).abs() < 1e-3 && (row - 130.5).abs() < 1e-3);
        assert!(camera.project(vec3(0.0, 0.0, -1.0)).is_none());
    }

    #[test]
    fn the_optical_frame_looks_forwards() {
        let pose = Camera::new(320, 192).pose(&Pose::IDENTITY);
        assert!(pose.axes[2].x > 0.99, "z forwards");
        assert!(pose.axes[0].y < -0.99, "x right");
        assert!(pose.axes[1].z < -0.99, "y down");
    }

    #[test]
    fn pictures_repeat_and_differ_in_their_noise() {
        let warehouse = Warehouse::new(11);
        let scene = warehouse.at(1.0);
        let camera = Camera::new(80, 48);
        let picture = camera.picture(&scene, 3);
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(picture, one_thread.install(|| camera.picture(&scene, 3)));
        let other = camera.picture(&scene, 4);
        assert_eq!(picture.objects, other.objects);
        assert_ne!(picture.rgb, other.rgb);
        let mean = picture.rgb.iter().map(|&v| v as f64).sum::<f64>() / picture.rgb.len() as f64;
        assert!((50.0..200.0).contains(&mean), "mean brightness {mean}");
    }
}
