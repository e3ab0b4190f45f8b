//! The sections of a lidar experiment, with their defaults.

use serde::{Deserialize, Serialize};

use super::{
    evaluate::{JudgeBy, JudgeOptions},
    labels::ConsistencyOptions,
};
use crate::{distill::config::Complaint, model::lidar::RangeChannel};

/// The grid that sweeps are laid on. What is left out is told by the recordings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SensorConfig {
    /// Rows: 1, the default, for a laser scan, the rings of a lidar with several.
    pub rows: usize,
    /// Columns; by default, with one row, as many as a scan has beams. Rounded up to a multiple of 4 by widening the grid.
    pub columns: Option<usize>,
    /// First and last edge of the columns in radians, anticlockwise, zero forwards.
    pub azimuth: Option<[f32; 2]>,
    /// Lowest and highest edge of the rows in radians, for several rows.
    pub elevation: Option<[f32; 2]>,
    /// Metres that range channels are scaled by; what is further counts as this far. Default 20.
    pub max_range: f32,
    /// What the network sees of each cell; by default what suits the rows.
    pub channels: Option<Vec<RangeChannel>>,
}

impl Default for SensorConfig {
    fn default() -> Self {
        Self { rows: 1, columns: None, azimuth: None, elevation: None, max_range: 20.0, channels: None }
    }
}

impl SensorConfig {
    /// What the network sees of each cell.
    pub fn channels(&self) -> Vec<RangeChannel> {
        self.channels
            .clone()
            .unwrap_or_else(|| if self.rows == 1 { RangeChannel::scan() } else { RangeChannel::cloud() })
    }

    pub(super) fn check(&self) -> Result<(), Complaint> {
        if !(1..=1024).contains(&self.rows) {
            return Err(("sensor.rows", format!("{} must be in 1..1024", self.rows)));
        }
        match self.columns {
            Some(columns) if !(16..=8192).contains(&columns) => {
                return Err(("sensor.columns", format!("{columns} must be in 16..8192")));
            }
            None if self.rows > 1 => {
                let mend = "with several rows say how many columns there are, for instance 1024";
                return Err(("sensor.columns", mend.into()));
            }
            _ => {}
        }
        for (key, edges) in [("sensor.azimuth", self.azimuth), ("sensor.elevation", self.elevation)] {
            if let Some([low, high]) = edges
                && !(low.is_finite() && high.is_finite() && low < high)
            {
                return Err((key, format!("[{low}, {high}] must be [least, most] in radians")));
            }
        }
        if !(self.max_range.is_finite() && self.max_range > 0.0) {
            return Err(("sensor.max_range", format!("{} must be metres above 0", self.max_range)));
        }
        if self.channels.as_ref().is_some_and(Vec::is_empty) {
            return Err(("sensor.channels", "is empty; leave it out for those that suit the rows".into()));
        }
        Ok(())
    }
}

/// The student network; its inputs and outputs are the sensor's and the classes'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LidarStudentSection {
    /// Channels at half the columns, an even number; half as many at all columns, twice as many at a quarter. Default 32.
    pub width: usize,
    /// Residual blocks at half and at a quarter of the columns. Default 2.
    pub depth: usize,
}

impl Default for LidarStudentSection {
    fn default() -> Self {
        Self { width: 32, depth: 2 }
    }
}

/// Weights and shape of the losses, see [`super::loss`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LidarLossConfig {
    /// Weight of the class term. Default 1.
    pub class: f32,
    /// Exponent of the focal loss: how much well predicted points are spared; 0 is plain cross entropy. Default 2.
    pub focus: f32,
    /// Share of an object's points in the class term against the others' (alpha of the focal loss). Default 0.5.
    pub balance: f32,
    /// How much objects of few points count in the class term beside those of many: with 0 each point counts alike, with 1 each object,
    /// with 0.5 the root of its points. Default 0.
    pub object_balance: f32,
    /// Weight of the votes for centres. Default 1.
    pub vote: f32,
    /// Weight of sizes and yaws, where they are known. Default 0.25.
    #[serde(rename = "box")]
    pub boxes: f32,
    /// Error in metres up to which smooth L1 is quadratic. Default 0.1.
    pub smooth: f32,
}

impl Default for LidarLossConfig {
    fn default() -> Self {
        Self { class: 1.0, focus: 2.0, balance: 0.5, object_balance: 0.0, vote: 1.0, boxes: 0.25, smooth: 0.1 }
    }
}

impl LidarLossConfig {
    pub(super) fn check(&self) -> Result<(), Complaint> {
        let not_negative = [
            ("losses.class", self.class),
            ("losses.focus", self.focus),
            ("losses.vote", self.vote),
            ("losses.box", self.boxes),
        ];
        for (key, value) in not_negative {
            if !(value.is_finite() && value >= 0.0) {
                return Err((key, format!("{value} must be a number >= 0")));
            }
        }
        if !(self.balance > 0.0 && self.balance < 1.0) {
            return Err(("losses.balance", format!("{} must be above 0 and below 1", self.balance)));
        }
        if !(0.0..=1.0).contains(&self.object_balance) {
            return Err(("losses.object_balance", format!("{} must be in 0..1", self.object_balance)));
        }
        if !(self.smooth.is_finite() && self.smooth > 0.0) {
            return Err(("losses.smooth", format!("{} must be metres above 0", self.smooth)));
        }
        Ok(())
    }
}

/// What is done to the sweeps while training, each sweep anew in each epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LidarAugmentConfig {
    /// Probability of mirroring left and right. Default 0.5.
    pub mirror: f32,
    /// Largest turn in degrees, by whole columns; a sensor that sees the full circle is turned by any angle unless this is 0.
    /// Default 10.
    pub shift: f32,
    /// Factors of all distances, drawn evenly in between. Default [0.9, 1.1].
    pub range_scale: [f32; 2],
    /// Probability of losing each point. Default 0.02.
    pub dropout: f32,
    /// Deviation in metres of the noise that is added to each range. Default 0.01.
    pub noise: f32,
}

impl Default for LidarAugmentConfig {
    fn default() -> Self {
        Self { mirror: 0.5, shift: 10.0, range_scale: [0.9, 1.1], dropout: 0.02, noise: 0.01 }
    }
}

impl LidarAugmentConfig {
    /// No change at all.
    pub fn none() -> Self {
        Self { mirror: 0.0, shift: 0.0, range_scale: [1.0, 1.0], dropout: 0.0, noise: 0.0 }
    }

    pub(super) fn check(&self) -> Result<(), Complaint> {
        for (key, value) in [("augment.mirror", self.mirror), ("augment.dropout", self.dropout)] {
            if !(0.0..=1.0).contains(&value) {
                return Err((key, format!("{value} must be in 0..1")));
            }
        }
        if !(0.0..=180.0).contains(&self.shift) {
            return Err(("augment.shift", format!("{} must be degrees in 0..180", self.shift)));
        }
        let [low, high] = self.range_scale;
        if !(low > 0.1 && low <= high && high <= 10.0) {
            return Err(("augment.range_scale", format!("[{low}, {high}] must be [least, most] within 0.1..10")));
        }
        if !(0.0..=1.0).contains(&self.noise) {
            return Err(("augment.noise", format!("{} must be metres in 0..1", self.noise)));
        }
        Ok(())
    }
}

/// A second training with labels of the student's own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LidarSelfTraining {
    /// What makes predictions over time agree.
    pub consistency: ConsistencyOptions,
}

/// How the student is judged, by the validation block while it is trained and by the test block at the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LidarEvaluateConfig {
    /// Distances in metres within which a centre that was found is right (Beyer et al. 2016). Default [0.5, 0.25].
    pub distances: Vec<f32>,
    /// Objects that fewer points lie on need not be found. Default 1.
    pub min_points: usize,
    /// What is farther away is not judged, in metres; 0, the default, is no limit.
    pub max_distance: f32,
}

impl Default for LidarEvaluateConfig {
    fn default() -> Self {
        Self { distances: vec![0.5, 0.25], min_points: 1, max_distance: 0.0 }
    }
}

impl LidarEvaluateConfig {
    pub(super) fn check(&self) -> Result<(), Complaint> {
        let is_distance = |&distance: &f32| distance.is_finite() && distance > 0.0;
        if self.distances.is_empty() || !self.distances.iter().all(is_distance) {
            let mend = format!("{:?} must be one or several distances above 0 in metres", self.distances);
            return Err(("evaluate.distances", mend));
        }
        if !(self.max_distance.is_finite() && self.max_distance >= 0.0) {
            return Err(("evaluate.max_distance", format!("{} must be metres, or 0 for no limit", self.max_distance)));
        }
        Ok(())
    }

    /// How sweeps are judged by these.
    pub fn options(&self, by: JudgeBy) -> JudgeOptions {
        let Self { distances, min_points, max_distance } = self.clone();
        JudgeOptions { by, distances, min_points, max_distance, ..JudgeOptions::default() }
    }
}
