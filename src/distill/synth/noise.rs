//! Randomness by hash: the value belongs to what it is asked for (seed, frame, pixel), not to the order of asking, so that threads do not matter.

use super::vector::{Vec3, vec3};

/// Scrambles 32 bits (the two-round multiply-xorshift mixer `lowbias32` found by Wellons' hash prospector).
#[inline(always)]
pub fn hash(value: u32) -> u32 {
    let mut x = value;
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// A hash of two numbers.
#[inline(always)]
pub fn hash2(a: u32, b: u32) -> u32 {
    hash(a ^ hash(b.wrapping_add(0x9e37_79b9)))
}

/// A hash of three numbers.
#[inline(always)]
pub fn hash3(a: u32, b: u32, c: u32) -> u32 {
    hash2(hash2(a, b), c)
}

/// A hash as a number in `[0, 1)`.
#[inline(always)]
pub fn unit(hash: u32) -> f32 {
    (hash >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// A value near the standard normal distribution: the four bytes of a hash summed (Irwin-Hall of order 4, variance 1, range +-3.45).
#[inline(always)]
pub fn gaussian(hash: u32) -> f32 {
    let sum = (hash & 0xff) + ((hash >> 8) & 0xff) + ((hash >> 16) & 0xff) + (hash >> 24);
    // The mean of the sum is 510 and its variance 4 * (256^2 - 1) / 12.
    (sum as f32 - 510.0) * (1.0 / 147.800_1)
}

/// Smooth noise over the plane with features of about one unit, in `[0, 1]`.
pub fn smooth(x: f32, y: f32, seed: u32) -> f32 {
    let (x_floor, y_floor) = (x.floor(), y.floor());
    let (u, v) = (x - x_floor, y - y_floor);
    let (u, v) = (u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v));
    let (i, j) = (x_floor as i32 as u32, y_floor as i32 as u32);
    let corner = |di: u32, dj: u32| unit(hash3(seed, i.wrapping_add(di), j.wrapping_add(dj)));
    let low = corner(0, 0) * (1.0 - u) + corner(1, 0) * u;
    let high = corner(0, 1) * (1.0 - u) + corner(1, 1) * u;
    low * (1.0 - v) + high * v
}

/// A colour from a hash: each channel of `base` varied by up to `amount` of itself, mostly together.
pub fn tinted(base: Vec3, amount: f32, seed: u32) -> Vec3 {
    let shade = 1.0 + amount * (2.0 * unit(hash2(seed, 1)) - 1.0);
    let vary = |channel: u32| shade * (1.0 + 0.25 * amount * (2.0 * unit(hash2(seed, 2 + channel)) - 1.0));
    base.scaled(vec3(vary(0), vary(1), vary(2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaussian_has_mean_zero_and_variance_one() {
        let values: Vec<f64> = (0..40_000).map(|i| gaussian(hash2(7, i)) as f64).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.02, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.03, "variance {variance}");
    }

    #[test]
    fn smooth_noise_is_continuous_across_cells() {
        for i in -3..4 {
            let (left, right) = (smooth(i as f32 - 1e-4, 0.3, 5), smooth(i as f32 + 1e-4, 0.3, 5));
            assert!((left - right).abs() < 1e-2);
            assert!((0.0..=1.0).contains(&left));
        }
    }
}
