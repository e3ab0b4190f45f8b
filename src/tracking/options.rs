//! The numbers of the tracker's rules.

use serde::{Deserialize, Serialize};

use super::{ClassProfile, within};

/// When things are taken for the same, for real and for gone. The defaults suit people and forklifts indoors, seen 5 to 40 times
/// per second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackerOptions {
    /// How each class is built and moves, in the order of the classes; those missing have [`ClassProfile::default`].
    pub profiles: Vec<ClassProfile>,
    /// Share of an object's own measurements that fall into its gate, in `[0.5, 0.9999]`. Default 0.999:
    /// what falls outside loses the track an update and starts a second one, which is worse than a wide gate.
    pub gate_probability: f64,
    /// The same for a measurement of another class than the track's, which must lie nearer. Default 0.95.
    pub other_class_gate_probability: f64,
    /// How often a detector takes an object for one of another class; it costs a measurement of another class
    /// `-2 ln(confusion)` against one of the same class. Default 0.05.
    pub confusion: f64,
    /// Pairs of classes that are never taken for each other. Default none.
    pub never_confused: Vec<[usize; 2]>,
    /// Measurements of a lower score continue tracks but start none (after ByteTrack, Zhang et al. 2022). Default 0.3.
    pub birth_score: f32,
    /// A measurement this near to a track of its class that had one of its own at the same moment is its double and starts no
    /// track, in metres. Default 0.3.
    pub birth_separation: f64,
    /// A track is tentative until it was seen this often.. Default 3.
    pub confirm_hits: u32,
    /// .. within this many seconds. Default 1.0.
    pub confirm_window: f64,
    /// A track that only cameras saw, and a lidar at least once did not where it should have, is tentative until it was seen this
    /// often, if that is more than `confirm_hits`, within a window that is longer in the same ratio; one hit of the lidar ends the
    /// doubt. A camera's detector that takes a pillar for a person does so in frame after frame, where people are seen by both. It costs
    /// classes that the lidar's detector does not know some time: with 1 there is no doubt. Default 8.
    pub doubted_hits: u32,
    /// A tentative track dies when it is not seen for more seconds than this. Default 0.5.
    pub tentative_missed_seconds: f64,
    /// A confirmed track dies when it is not seen for more seconds than this: about how long a shelf hides somebody. Default 1.5.
    pub max_missed_seconds: f64,
    /// A track dies sooner when it was in view and missed in this many updates in a row.. Default 5.
    pub visible_misses: u32,
    /// .. and is not seen for at least this many seconds, so that a fast sensor has no say alone. Default 0.5.
    pub visible_missed_seconds: f64,
    /// Seconds after which what was seen counts 37 % in the choice of the class. Default 3.0.
    pub class_memory: f64,
    /// Measurements at most this many seconds older than the newest update are still used. Default 0.3.
    pub late_seconds: f64,
    /// An update this many seconds older than the newest one means that the clock was set back (a recording starts anew): all tracks
    /// are dropped. What is older than `late_seconds` but not than this is refused. Default 1.0.
    pub reset_seconds: f64,
    /// Weight of a new measurement in height, size and yaw, in `(0, 1]`. Default 0.3.
    pub shape_share: f64,
    /// Tracks kept at most, and measurements looked at in an update (the best scores). Default 256.
    pub max_tracks: usize,
}

impl Default for TrackerOptions {
    fn default() -> Self {
        Self {
            profiles: Vec::new(),
            gate_probability: 0.999,
            other_class_gate_probability: 0.95,
            confusion: 0.05,
            never_confused: Vec::new(),
            birth_score: 0.3,
            birth_separation: 0.3,
            confirm_hits: 3,
            confirm_window: 1.0,
            doubted_hits: 8,
            tentative_missed_seconds: 0.5,
            max_missed_seconds: 1.5,
            visible_misses: 5,
            visible_missed_seconds: 0.5,
            class_memory: 3.0,
            late_seconds: 0.3,
            reset_seconds: 1.0,
            shape_share: 0.3,
            max_tracks: 256,
        }
    }
}

impl TrackerOptions {
    /// The defaults with what is typical of classes of these names.
    pub fn for_classes(classes: &[String]) -> Self {
        Self { profiles: ClassProfile::of_classes(classes), ..Self::default() }
    }

    /// What is wrong with the numbers, as a text that names the field and says what it must be.
    pub fn validate(&self) -> Result<(), String> {
        for (class, profile) in self.profiles.iter().enumerate() {
            profile.validate().map_err(|reason| format!("profiles[{class}]: {reason}"))?;
        }
        within("gate_probability", self.gate_probability, 0.5, 0.9999)?;
        within("other_class_gate_probability", self.other_class_gate_probability, 0.01, 0.9999)?;
        within("confusion", self.confusion, 1e-6, 1.0)?;
        within("birth_score", f64::from(self.birth_score), 0.0, 1.0)?;
        within("birth_separation", self.birth_separation, 0.0, 10.0)?;
        within("confirm_hits", f64::from(self.confirm_hits), 1.0, 100.0)?;
        within("confirm_window", self.confirm_window, 1e-3, 60.0)?;
        within("doubted_hits", f64::from(self.doubted_hits), 1.0, 100.0)?;
        within("tentative_missed_seconds", self.tentative_missed_seconds, 1e-3, 60.0)?;
        within("max_missed_seconds", self.max_missed_seconds, 1e-3, 60.0)?;
        within("visible_misses", f64::from(self.visible_misses), 1.0, 10_000.0)?;
        within("visible_missed_seconds", self.visible_missed_seconds, 0.0, 60.0)?;
        within("class_memory", self.class_memory, 1e-3, 3600.0)?;
        within("late_seconds", self.late_seconds, 0.0, 2.0)?;
        within("reset_seconds", self.reset_seconds, self.late_seconds, 3600.0)?;
        within("shape_share", self.shape_share, 1e-3, 1.0)?;
        within("max_tracks", self.max_tracks as f64, 1.0, 2048.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_survive_a_file() {
        let options = TrackerOptions::for_classes(&["person".into(), "forklift".into()]);
        assert_eq!(options.validate(), Ok(()));
        let text = serde_yaml::to_string(&options).unwrap();
        assert_eq!(serde_yaml::from_str::<TrackerOptions>(&text).unwrap(), options);
        assert!(serde_yaml::from_str::<TrackerOptions>("confirm_hit: 2").is_err());
    }

    #[test]
    fn the_table_of_the_guide_has_every_number() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/nodes.md");
        let guide = std::fs::read_to_string(path).unwrap();
        let written = serde_yaml::to_string(&TrackerOptions::default()).unwrap();
        let numbers: Vec<(&str, &str)> =
            written.lines().filter_map(|line| line.split_once(": ")).filter(|(_, value)| *value != "[]").collect();
        assert_eq!(numbers.len(), 17, "{written}");
        for (name, value) in numbers {
            let cells = format!("| `{name}` | {value} |");
            assert_eq!(guide.matches(&cells).count(), 1, "docs/nodes.md lacks `{cells}`");
        }
    }

    #[test]
    fn wrong_numbers_are_named() {
        let reason = |options: TrackerOptions| options.validate().unwrap_err();
        let default = TrackerOptions::default;
        assert!(reason(TrackerOptions { gate_probability: 1.0, ..default() }).starts_with("gate_probability"));
        assert!(reason(TrackerOptions { class_memory: f64::NAN, ..default() }).starts_with("class_memory"));
        assert!(reason(TrackerOptions { reset_seconds: 0.1, ..default() }).starts_with("reset_seconds"));
        let profiles = vec![ClassProfile { max_speed: 0.0, ..ClassProfile::default() }];
        assert!(reason(TrackerOptions { profiles, ..default() }).starts_with("profiles[0]: max_speed"));
    }
}
