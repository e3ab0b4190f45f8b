//! What tracked objects take up, as points for a costmap's obstacle or voxel layer.
//!
//! Points stand on one grid for all objects, with a step of 0.7 times the costmap's resolution. Then every cell of a costmap that
//! lies in a footprint has a point in it, however the costmap is turned and shifted against the track's frame (`map` against `odom`,
//! say).
//!
//! An obstacle layer needs each cell marked once within its limits of height, a voxel layer sees what stands in its way from the side.
//! So the inside has points of one height, the lowest level, and only the outline those of all levels.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::tracking::{ClassProfile, Track, profile_of, within};

#[cfg(test)]
mod tests;

/// The grid's step by the costmap's resolution. A square grid with a step of `s` has a point in every circle with a radius of
/// `s / sqrt(2)`, and a cell, turned anyhow, holds a circle with half its side as radius: steps up to `1 / sqrt(2)` leave no cell empty.
/// A little less, because a cloud's numbers are rounded.
const STEP_SHARE: f64 = 0.7;
/// Sides of an object outside these are no object's, in metres.
const LEAST_SIDE: f64 = 0.01;
const MOST_SIDE: f64 = 30.0;
/// The finest resolution, in metres.
const LEAST_RESOLUTION: f64 = 0.005;
/// Levels at most.
const MOST_LEVELS: usize = 32;
/// Places along the predicted motion at most.
const MOST_PLACES: f64 = 64.0;
/// The longest prediction, in seconds.
const MOST_HORIZON: f64 = 10.0;
/// Slower than this is standing, in m/s.
const STANDING: f64 = 0.05;

/// How objects are filled with points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FootprintOptions {
    /// How far each class is to be kept clear of ([`ClassProfile::inflation`]) and its typical size, in the order of the classes; those
    /// missing have [`ClassProfile::default`].
    pub profiles: Vec<ClassProfile>,
    /// The costmap's resolution in metres: each of its cells that lies in a footprint gets a point. Default 0.05.
    pub resolution: f64,
    /// The lowest point in metres. The layer's `min_obstacle_height` must be below. Default 0.1.
    pub z_min: f64,
    /// Where the highest point stays below, in metres. The layer's `max_obstacle_height` must not be below (Nav2's default for a source
    /// is 0.0, which drops every point). Default 1.8.
    pub z_max: f64,
    /// Levels of points on the outline, evenly between `z_min` and the object's top or `z_max`; inside there are points of the lowest
    /// level alone. An obstacle layer needs one level; a voxel layer that clears along rays one for each of its voxels. Default 3.
    pub levels: usize,
    /// Objects farther from the robot than this, in metres from their nearest edge on their predicted way, are left out by
    /// [`fill_around`]: what is beyond a costmap costs time and marks nothing. Default 10.0.
    pub range: f64,
    /// Seconds of predicted motion that are filled as well; 0 fills the present place only. Default 0.0.
    pub horizon: f64,
    /// Points of one object at most; a coarser grid, which may leave cells empty, is taken where there would be more. Default 20000.
    pub max_points: usize,
}

impl Default for FootprintOptions {
    fn default() -> Self {
        Self {
            profiles: Vec::new(),
            resolution: 0.05,
            z_min: 0.1,
            z_max: 1.8,
            levels: 3,
            range: 10.0,
            horizon: 0.0,
            max_points: 20_000,
        }
    }
}

impl FootprintOptions {
    /// The defaults with what is typical of classes of these names.
    pub fn for_classes(classes: &[String]) -> Self {
        Self { profiles: ClassProfile::of_classes(classes), ..Self::default() }
    }

    /// What is wrong with the numbers, as a text that names the field and says what it must be.
    pub fn validate(&self) -> Result<(), String> {
        for (class, profile) in self.profiles.iter().enumerate() {
            profile.validate().map_err(|reason| format!("profiles[{class}]: {reason}"))?;
        }
        within("resolution", self.resolution, LEAST_RESOLUTION, 1.0)?;
        within("z_min", self.z_min, -10.0, 10.0)?;
        within("z_max", self.z_max, self.z_min, 20.0)?;
        within("levels", self.levels as f64, 1.0, MOST_LEVELS as f64)?;
        within("range", self.range, 0.5, 1000.0)?;
        within("horizon", self.horizon, 0.0, MOST_HORIZON)?;
        within("max_points", self.max_points as f64, 1.0, 1e6)
    }
}

/// [`fill`] of all tracks within `range` of the robot, which is at `robot` (x and y in metres) in the tracks' frame; of all tracks where
/// that is not known, for what is left out must not be near.
pub fn fill_around(tracks: &[Track], robot: Option<[f64; 2]>, options: &FootprintOptions) -> Vec<[f32; 3]> {
    let is_near = |track: &&Track| {
        robot.is_none_or(|robot| {
            let [x, y, _] = track.position;
            let distance = (x - robot[0]).hypot(y - robot[1]) - Shape::of(track, options).farthest();
            // No number where the robot's or the track's place is none; `fill` sees to the latter.
            distance.is_nan() || distance <= options.range
        })
    };
    tracks.iter().filter(is_near).flat_map(|track| fill(track, options)).collect()
}

/// Points in the track's frame, in metres, that fill the object's footprint - its box, turned, with its class's inflation and rounded
/// corners - and on request all that the footprint sweeps over while it moves on as predicted: inside at the lowest level, on the
/// outline at all levels.
///
/// The points stand on a grid that is the same for all objects, so that two that overlap share cells. There is at least one and are
/// at most `max_points`; none for a track whose numbers are not finite.
pub fn fill(track: &Track, options: &FootprintOptions) -> Vec<[f32; 3]> {
    let mut numbers = track.position.iter().chain(&track.velocity).chain([&track.yaw]);
    if !numbers.all(|value| value.is_finite() && value.abs() < 1e7) {
        return Vec::new();
    }
    let shape = Shape::of(track, options);
    let levels = levels(track, &shape, options);
    let most = options.max_points.max(1);
    let mut spacing = STEP_SHARE * options.resolution.max(LEAST_RESOLUTION);
    while spacing < MOST_SIDE {
        if let Some(cells) = shape.cells(spacing, most) {
            let points = points(&cells, spacing, &levels);
            if points.len() <= most {
                return points;
            }
        }
        spacing *= 1.25;
    }
    // Too few points for any grid.
    let [x, y] = shape.start;
    levels.into_iter().take(most).map(|level| [x as f32, y as f32, level as f32]).collect()
}

/// The points of cells on a grid of this spacing: in the middle of each at the lowest level, at the other levels where a cell
/// beside it is free.
fn points(cells: &BTreeSet<(i64, i64)>, spacing: f64, levels: &[f64]) -> Vec<[f32; 3]> {
    let mut points = Vec::with_capacity(cells.len() * 2);
    for &(column, row) in cells {
        let beside = [(column - 1, row), (column + 1, row), (column, row - 1), (column, row + 1)];
        let is_outline = beside.iter().any(|cell| !cells.contains(cell));
        let middle = |cell: i64| ((cell as f64 + 0.5) * spacing) as f32;
        let count = if is_outline { levels.len() } else { 1 };
        points.extend(levels.iter().take(count).map(|&level| [middle(column), middle(row), level as f32]));
    }
    points
}

/// The heights of the points, the lowest first: inside the object's part between `z_min` and `z_max`, never on its ends, where rounding
/// could have a layer drop them.
fn levels(track: &Track, shape: &Shape, options: &FootprintOptions) -> Vec<f64> {
    let low = if options.z_min.is_finite() { options.z_min } else { 0.0 };
    let high = (track.position[2] + shape.size[2] / 2.0).min(options.z_max).max(low);
    let count = if high > low { options.levels.clamp(1, MOST_LEVELS) } else { 1 };
    (0..count).map(|level| low + (high - low) * (level as f64 + 0.5) / count as f64).collect()
}

/// A footprint and where it goes.
struct Shape {
    size: [f64; 3],
    inflation: f64,
    sin: f64,
    cos: f64,
    start: [f64; 2],
    /// What it moves on within the horizon, in metres.
    motion: [f64; 2],
}

impl Shape {
    fn of(track: &Track, options: &FootprintOptions) -> Self {
        let profile = profile_of(&options.profiles, track.class);
        let mut size = track.size;
        for (side, typical) in size.iter_mut().zip(profile.size) {
            if !(LEAST_SIDE..=MOST_SIDE).contains(&*side) {
                *side = typical.clamp(LEAST_SIDE, MOST_SIDE);
            }
        }
        let [x, y] = track.velocity;
        let is_moving = x.hypot(y) >= STANDING && options.horizon > 0.0;
        let horizon = if is_moving { options.horizon.min(MOST_HORIZON) } else { 0.0 };
        let (sin, cos) = track.yaw.sin_cos();
        Self {
            size,
            inflation: profile.inflation.clamp(0.0, 5.0),
            sin,
            cos,
            start: [track.position[0], track.position[1]],
            motion: [x * horizon, y * horizon],
        }
    }

    /// Nothing of it, on its way, is farther than this from where it is now, in metres.
    fn farthest(&self) -> f64 {
        self.size[0].hypot(self.size[1]) / 2.0 + self.inflation + self.motion[0].hypot(self.motion[1])
    }

    /// The cells (column, row) of a grid of this spacing that the footprint covers on its way; `None` when there are more than
    /// `most`.
    fn cells(&self, spacing: f64, most: usize) -> Option<BTreeSet<(i64, i64)>> {
        let cell = |value: f64| (value / spacing).floor() as i64;
        let half = [self.size[0] / 2.0, self.size[1] / 2.0];
        let reach = [
            (half[0] * self.cos).abs() + (half[1] * self.sin).abs() + self.inflation,
            (half[0] * self.sin).abs() + (half[1] * self.cos).abs() + self.inflation,
        ];
        let around = (2.0 * reach[0] / spacing + 1.0) * (2.0 * reach[1] / spacing + 1.0);
        // A long thin footprint that stands askew fills little of the rectangle around it, which must be looked through all the same.
        if around > 16.0 * (most as f64 + 1.0) {
            return None;
        }
        // Places so near to each other that nothing between them is left out.
        let way = self.motion[0].hypot(self.motion[1]);
        let stride = (half[0].min(half[1]) + self.inflation).max(spacing);
        let places = (way / stride).ceil().clamp(0.0, MOST_PLACES) as usize;
        let mut cells = BTreeSet::new();
        for place in 0..=places {
            let share = if places == 0 { 0.0 } else { place as f64 / places as f64 };
            let center = [self.start[0] + share * self.motion[0], self.start[1] + share * self.motion[1]];
            // However small it is, it is somewhere.
            cells.insert((cell(center[0]), cell(center[1])));
            for column in cell(center[0] - reach[0])..=cell(center[0] + reach[0]) {
                for row in cell(center[1] - reach[1])..=cell(center[1] + reach[1]) {
                    let x = (column as f64 + 0.5) * spacing - center[0];
                    let y = (row as f64 + 0.5) * spacing - center[1];
                    let along = ((x * self.cos + y * self.sin).abs() - half[0]).max(0.0);
                    let across = ((y * self.cos - x * self.sin).abs() - half[1]).max(0.0);
                    if along.hypot(across) <= self.inflation {
                        cells.insert((column, row));
                    }
                }
                if cells.len() > most && cells.len() > 1 {
                    return None;
                }
            }
        }
        Some(cells)
    }
}
