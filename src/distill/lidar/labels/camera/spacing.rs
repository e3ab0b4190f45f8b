//! How far apart the points of a sweep are, seen from the lidar.

use std::collections::BTreeMap;

use crate::sensing::range_image::Sweep;

/// Angles less than this apart, in radians, are the same direction.
const SAME: f64 = 1e-5;
/// A sweep whose elevations lie closer together than this, in radians, is planar.
const FLAT: f64 = 0.01;
/// Where a sweep is too small to tell, in radians.
const UNKNOWN: f64 = 0.02;
/// Points are never taken to lie farther apart than this, in radians.
const WIDEST: f64 = 0.15;

/// The angles between neighbouring points, in radians, seen from the lidar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spacing {
    /// Between points of one ring.
    pub across: f64,
    /// Between rings; nothing for a planar scan.
    pub up: Option<f64>,
    /// Between these elevations the lidar sees anything at all; zeros where there are no points.
    pub elevations: [f64; 2],
}

impl Spacing {
    /// Measures a sweep. Rings are those that the cloud numbers, or its rows; a cloud without either is taken to be evenly strewn.
    pub fn of(sweep: &Sweep) -> Self {
        let has_rings = sweep.rings.len() == sweep.points.len();
        let width = if sweep.rows > 1 { sweep.points.len().div_ceil(sweep.rows).max(1) } else { usize::MAX };
        let mut rings: BTreeMap<usize, Vec<[f64; 2]>> = BTreeMap::new();
        let (mut lowest, mut highest, mut points) = (f64::INFINITY, f64::NEG_INFINITY, 0);
        for (index, point) in sweep.points.iter().enumerate() {
            let [x, y, z] = point.map(f64::from);
            let distance = x.hypot(y);
            if !(distance + z).is_finite() {
                continue;
            }
            let (azimuth, elevation) = (y.atan2(x), z.atan2(distance));
            (lowest, highest, points) = (lowest.min(elevation), highest.max(elevation), points + 1);
            let ring = if has_rings { usize::from(sweep.rings[index]) } else { index / width };
            rings.entry(ring).or_default().push([azimuth, elevation]);
        }
        let seen = if points == 0 { [0.0; 2] } else { [lowest, highest] };
        let is_planar = seen[1] - seen[0] < FLAT;
        if !is_planar && rings.len() < 2 {
            return Self::strewn(points, seen);
        }
        let mut steps = Vec::with_capacity(points);
        let mut elevations = Vec::with_capacity(rings.len());
        for ring in rings.values() {
            let mut azimuths: Vec<f64> = ring.iter().map(|direction| direction[0]).collect();
            azimuths.sort_unstable_by(f64::total_cmp);
            steps.extend(gaps(&azimuths));
            elevations.push(ring.iter().map(|direction| direction[1]).sum::<f64>() / ring.len() as f64);
        }
        elevations.sort_unstable_by(f64::total_cmp);
        let across = median(steps);
        let up = (!is_planar).then(|| median(gaps(&elevations).collect()));
        Self { across, up, elevations: seen }
    }

    /// Points without rings, evenly over a full turn between two elevations.
    fn strewn(points: usize, elevations: [f64; 2]) -> Self {
        let field = std::f64::consts::TAU * (elevations[1] - elevations[0]);
        let step = (field / points.max(1) as f64).sqrt().clamp(SAME, WIDEST);
        Self { across: step, up: Some(step), elevations }
    }
}

fn gaps(sorted: &[f64]) -> impl Iterator<Item = f64> + '_ {
    sorted.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > SAME)
}

fn median(mut steps: Vec<f64>) -> f64 {
    steps.sort_unstable_by(f64::total_cmp);
    steps.get(steps.len() / 2).map_or(UNKNOWN, |step| step.min(WIDEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beams_and_rings_are_measured_though_some_are_void() {
        let mut sweep = Sweep { points: Vec::new(), intensities: Vec::new(), rings: Vec::new(), rows: 4 };
        for ring in 0..4 {
            for beam in 0..90 {
                let (azimuth, elevation) = (f64::from(beam) * 0.02, f64::from(ring) * 0.04);
                let point = [azimuth.cos(), azimuth.sin(), elevation.tan()].map(|v| v as f32);
                sweep.points.push(if beam % 7 == 3 { [f32::NAN; 3] } else { point });
            }
        }
        let found = Spacing::of(&sweep);
        assert!((found.across - 0.02).abs() < 1e-4 && (found.up.unwrap() - 0.04).abs() < 1e-4, "{found:?}");
        assert!(found.elevations[0].abs() < 1e-6 && (found.elevations[1] - 0.12).abs() < 1e-6, "{found:?}");
        let scan = Sweep { points: sweep.points[..90].to_vec(), intensities: Vec::new(), rings: Vec::new(), rows: 1 };
        let found = Spacing::of(&scan);
        assert!((found.across - 0.02).abs() < 1e-4 && found.up.is_none(), "{found:?}");
    }

    #[test]
    fn a_sweep_without_echoes_has_some_spacing() {
        let empty = Sweep { points: vec![[f32::NAN; 3]; 5], intensities: Vec::new(), rings: Vec::new(), rows: 1 };
        assert_eq!(Spacing::of(&empty), Spacing { across: UNKNOWN, up: None, elevations: [0.0; 2] });
    }
}
