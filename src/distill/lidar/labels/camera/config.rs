//! The entry of an experiment that has camera teachers label lidar points.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::{config::no_class, scores::check_scores};

/// The robot's frame on the floor: the first of these that the transforms know.
pub(super) const BASE_FRAMES: [&str; 2] = ["base_footprint", "base_link"];
/// The frame that stands still, where none is named.
pub(super) const FIXED_FRAME: &str = "odom";

/// Length, width and height in metres of what warehouse robots meet.
const KNOWN_SIZES: [(&str, [f32; 3]); 6] = [
    ("person", [0.5, 0.5, 1.75]),
    ("forklift", [2.2, 1.1, 2.1]),
    ("pallet", [1.2, 0.9, 0.9]),
    ("pallet_truck", [1.6, 0.6, 1.2]),
    ("car", [4.3, 1.8, 1.5]),
    ("truck", [7.0, 2.5, 3.0]),
];

/// Camera teachers as a source of labels. The teachers themselves are the experiment's.
///
/// ```yaml
/// labels:
///   - camera:
///       topic: /camera/image_raw        # may be left out when there is only one camera
///       info: /camera/camera_info       # default: the one beside the images
///       min_score: 0.5
///       uncertain_score: 0.15
///       max_time_offset: 0.05
///       size_priors: {person: [0.5, 0.5, 1.75]}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraLabels {
    /// The topic of the images; may be left out when the recording has one only.
    pub topic: Option<String>,
    /// The CameraInfo topic. Default: `camera_info` beside the images, or else the recording's only one.
    pub info: Option<String>,
    /// Boxes with at least this score give labels. Default 0.5.
    pub min_score: f32,
    /// Points in boxes with a score between this and `min_score` are ignored; weaker boxes are not looked at. Default 0.15.
    pub uncertain_score: f32,
    /// A sweep without an image nearer in time than this gets no labels, in seconds. Default 0.05.
    pub max_time_offset: f64,
    /// The frame that stands still while the robot moves. Default `odom`; in a recording that has no `odom`, the robot is taken to
    /// stand still between image and sweep.
    pub fixed_frame: Option<String>,
    /// The robot's frame with its origin on the floor. Default: `base_footprint`, or else `base_link`.
    pub base_frame: Option<String>,
    /// Points of a cloud that lie lower than this above the floor are the floor, in metres. Default 0.1.
    pub floor_height: f64,
    /// What lies so far before or behind an object within its box is clearly something else, in metres. Default 0.5.
    pub clear_depth: f64,
    /// Points nearer than this to an edge of a box are ignored, in degrees seen from the camera. Default 0.5.
    pub border_degrees: f64,
    /// An object of fewer points teaches the class of its points, but neither its middle nor that it is one. Default 2.
    pub min_points: usize,
    /// Length, width and height in metres that objects of a class mostly have. They tell an object from what is behind it, and how far
    /// behind its visible side its middle is. Common classes of a warehouse have defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub size_priors: BTreeMap<String, [f32; 3]>,
}

impl Default for CameraLabels {
    fn default() -> Self {
        Self {
            topic: None,
            info: None,
            min_score: 0.5,
            uncertain_score: 0.15,
            max_time_offset: 0.05,
            fixed_frame: None,
            base_frame: None,
            floor_height: 0.1,
            clear_depth: 0.5,
            border_degrees: 0.5,
            min_points: 2,
            size_priors: BTreeMap::new(),
        }
    }
}

impl CameraLabels {
    /// The size that objects of a class mostly have, where that is known.
    pub fn size_prior(&self, class: &str) -> Option<[f32; 3]> {
        let known = || KNOWN_SIZES.iter().find(|(name, _)| *name == class).map(|(_, size)| *size);
        self.size_priors.get(class).copied().or_else(known)
    }

    /// Says whether the entry makes sense for these classes.
    ///
    /// # Errors
    /// The key (`min_score`, say) and what is wrong with it.
    pub fn check(&self, classes: &[String]) -> Result<(), (String, String)> {
        let wrong = |key: &str, message: String| Err((key.to_owned(), message));
        check_scores(self.min_score, self.uncertain_score).map_err(|(key, message)| (key.to_owned(), message))?;
        if !(0.0..=10.0).contains(&self.max_time_offset) {
            return wrong("max_time_offset", format!("must be 0 to 10 seconds, not {}", self.max_time_offset));
        }
        if !(0.0..=1.0).contains(&self.floor_height) {
            return wrong("floor_height", format!("must be 0 to 1 metres, not {}", self.floor_height));
        }
        if !(0.05..=10.0).contains(&self.clear_depth) {
            return wrong("clear_depth", format!("must be 0.05 to 10 metres, not {}", self.clear_depth));
        }
        if !(0.0..=10.0).contains(&self.border_degrees) {
            return wrong("border_degrees", format!("must be 0 to 10 degrees, not {}", self.border_degrees));
        }
        for (class, size) in &self.size_priors {
            if !classes.contains(class) {
                return wrong("size_priors", no_class(class, classes));
            }
            if !size.iter().all(|extent| (0.01..=100.0).contains(extent)) {
                let message = format!("`{class}` must have length, width and height of 0.01 to 100 m, not {size:?}");
                return wrong("size_priors", message);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(yaml: &str) -> String {
        let config: CameraLabels = serde_yaml::from_str(yaml).unwrap();
        config.check(&["person".to_owned()]).err().map(|(key, message)| format!("{key}: {message}")).unwrap_or_default()
    }

    #[test]
    fn nothing_need_be_said() {
        let config: CameraLabels = serde_yaml::from_str("{}").unwrap();
        assert_eq!(config, CameraLabels::default());
        assert_eq!(config.check(&[]), Ok(()));
        let written = serde_yaml::to_string(&config).unwrap();
        assert_eq!(serde_yaml::from_str::<CameraLabels>(&written).unwrap(), config);
        assert!(serde_yaml::from_str::<CameraLabels>("{min_scor: 0.5}").is_err());
    }

    #[test]
    fn own_sizes_come_before_the_known_ones() {
        let config: CameraLabels = serde_yaml::from_str("size_priors: {person: [0.6, 0.4, 1.6]}").unwrap();
        assert_eq!(config.size_prior("person"), Some([0.6, 0.4, 1.6]));
        assert_eq!(config.size_prior("pallet"), Some([1.2, 0.9, 0.9]));
        assert_eq!(config.size_prior("unicorn"), None);
    }

    #[test]
    fn wrong_values_are_named() {
        for (yaml, key) in [
            ("min_score: 1.5", "min_score: "),
            ("{min_score: 0.3, uncertain_score: 0.4}", "uncertain_score: "),
            ("max_time_offset: -1", "max_time_offset: "),
            ("max_time_offset: .nan", "max_time_offset: "),
            ("clear_depth: 0", "clear_depth: "),
            ("size_priors: {unicorn: [1, 1, 1]}", "size_priors: the student has no class `unicorn`"),
            ("size_priors: {person: [1, 0, 1]}", "size_priors: `person`"),
        ] {
            assert!(complaint(yaml).starts_with(key), "{yaml}: {}", complaint(yaml));
        }
    }
}
