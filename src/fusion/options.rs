//! The numbers of the fusion's rules.

use serde::{Deserialize, Serialize};

use crate::tracking::{ClassProfile, within};

/// When a camera and the lidar mean the same object, and how sure their places are. The defaults suit people and forklifts indoors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FusionOptions {
    /// How each class is built, in the order of the classes; those missing have [`ClassProfile::default`].
    pub profiles: Vec<ClassProfile>,
    /// A camera box belongs to a lidar object of its class when it overlaps its projection by at least this intersection over
    /// union. Default 0.25: a lidar sees legs, or the near side of a truck.
    pub min_iou: f32,
    /// The same when the classes differ. Default 0.5.
    pub other_class_iou: f32,
    /// How high a camera box may be, by the height that its class would have in the image at the lidar object's distance. Smaller ones
    /// are hidden in part; higher ones belong to something nearer. Default `[0.4, 1.6]`.
    pub height_ratio: [f64; 2],
    /// A camera box that overlaps a lidar object of its class by so much is its double, if another box is its partner.
    /// Default 0.5.
    pub explained_iou: f32,
    /// Share of all true pairs that fall into the gate when places on the floor are compared. Default 0.99.
    pub gate_probability: f64,
    /// Standard deviation of a lidar object's place along x and y, in metres. Default 0.06: the middle of a person, not of the
    /// surface that was hit.
    pub lidar_deviation: f64,
    /// What is added to it for each metre of distance. Default 0.01.
    pub lidar_deviation_per_metre: f64,
    /// Standard deviation of each edge of a camera box in pixels.. Default 2.0.
    pub pixel_deviation: f64,
    /// .. and as a share of the box's width or height; both are added as variances. Default 0.04.
    pub box_deviation: f64,
    /// Standard deviation of a camera's pitch in radians: the robot nods and floors are not flat. Default 0.009 (half a degree).
    pub pitch_deviation: f64,
    /// Standard deviation of a camera's yaw in radians. Default 0.009.
    pub yaw_deviation: f64,
    /// A camera box that ends within this many pixels of the image's border is cut off by it. Default 3.0.
    pub border: f32,
    /// What only a camera sees is used up to this distance from the camera along the floor, in metres. Default 10.0.
    pub max_range: f64,
    /// What only a camera sees needs this score. A lower one still supports a lidar object. Default 0.4.
    pub camera_only_score: f32,
}

impl Default for FusionOptions {
    fn default() -> Self {
        Self {
            profiles: Vec::new(),
            min_iou: 0.25,
            other_class_iou: 0.5,
            height_ratio: [0.4, 1.6],
            explained_iou: 0.5,
            gate_probability: 0.99,
            lidar_deviation: 0.06,
            lidar_deviation_per_metre: 0.01,
            pixel_deviation: 2.0,
            box_deviation: 0.04,
            pitch_deviation: 0.009,
            yaw_deviation: 0.009,
            border: 3.0,
            max_range: 10.0,
            camera_only_score: 0.4,
        }
    }
}

impl FusionOptions {
    /// The defaults with what is typical of classes of these names.
    pub fn for_classes(classes: &[String]) -> Self {
        Self { profiles: ClassProfile::of_classes(classes), ..Self::default() }
    }

    /// What is wrong with the numbers, as a text that names the field and says what it must be.
    pub fn validate(&self) -> Result<(), String> {
        for (class, profile) in self.profiles.iter().enumerate() {
            profile.validate().map_err(|reason| format!("profiles[{class}]: {reason}"))?;
        }
        within("min_iou", f64::from(self.min_iou), 0.01, 1.0)?;
        within("other_class_iou", f64::from(self.other_class_iou), 0.01, 1.0)?;
        within("height_ratio[0]", self.height_ratio[0], 0.01, 1.0)?;
        within("height_ratio[1]", self.height_ratio[1], 1.0, 100.0)?;
        within("explained_iou", f64::from(self.explained_iou), 0.01, 1.0)?;
        within("gate_probability", self.gate_probability, 0.5, 0.9999)?;
        within("lidar_deviation", self.lidar_deviation, 1e-3, 5.0)?;
        within("lidar_deviation_per_metre", self.lidar_deviation_per_metre, 0.0, 1.0)?;
        within("pixel_deviation", self.pixel_deviation, 0.1, 100.0)?;
        within("box_deviation", self.box_deviation, 0.0, 1.0)?;
        within("pitch_deviation", self.pitch_deviation, 0.0, 0.5)?;
        within("yaw_deviation", self.yaw_deviation, 0.0, 0.5)?;
        within("border", f64::from(self.border), 0.0, 1000.0)?;
        within("max_range", self.max_range, 0.5, 200.0)?;
        within("camera_only_score", f64::from(self.camera_only_score), 0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_wrong_numbers_are_named() {
        assert_eq!(FusionOptions::for_classes(&["person".into()]).validate(), Ok(()));
        let wrong = FusionOptions { max_range: f64::INFINITY, ..FusionOptions::default() };
        assert!(wrong.validate().unwrap_err().starts_with("max_range"));
        assert!(serde_yaml::from_str::<FusionOptions>("max_rnage: 2.0").is_err());
        assert_eq!(serde_yaml::from_str::<FusionOptions>("max_range: 2.0").unwrap().max_range, 2.0);
    }
}
