//! How the kinds of things in a warehouse are built and how they move.

use serde::{Deserialize, Serialize};

/// What is typical of a class. The default is for a class of which nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassProfile {
    /// Typical length, width and height in metres. Default `[0.6, 0.6, 1.5]`.
    pub size: [f64; 3],
    /// Standard deviation of the height as a share of it: what a range from a camera box's height is worth. Default 0.3.
    pub height_deviation: f64,
    /// Power spectral density of its acceleration in m²/s³, the same along x and y. After `t` seconds the velocity has changed by
    /// about `sqrt(acceleration * t)` m/s. Too small, and a track runs on where a person turned; too large, and its velocity is
    /// noise. Default 0.5: 0.7 m/s within a second.
    pub acceleration: f64,
    /// The fastest that it ever is, in m/s. A new track's velocity is 0 with half of this as standard deviation. Default 2.0.
    pub max_speed: f64,
    /// How far to every side a costmap shall keep clear of it beyond its box, in metres. Default 0.2.
    pub inflation: f64,
}

impl ClassProfile {
    const fn new(size: [f64; 3], height_deviation: f64, acceleration: f64, max_speed: f64, inflation: f64) -> Self {
        Self { size, height_deviation, acceleration, max_speed, inflation }
    }

    /// What is typical of a class of this name, letter case and signs between words aside; the default for names not known.
    pub fn of(name: &str) -> Self {
        let name: String =
            name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        let known = KNOWN.iter().find(|(words, _)| words.iter().any(|word| name.contains(word)));
        known.map_or_else(Self::default, |(_, profile)| *profile)
    }

    /// The profiles of several classes, in their order.
    pub fn of_classes(classes: &[String]) -> Vec<Self> {
        classes.iter().map(|class| Self::of(class)).collect()
    }

    /// What is wrong with the numbers, as a text that names the field and says what it must be.
    pub fn validate(&self) -> Result<(), String> {
        let positive = |name: &str, value: f64, most: f64| {
            let fits = value.is_finite() && value > 0.0 && value <= most;
            if fits { Ok(()) } else { Err(format!("{name} is {value}: it must be above 0 and at most {most}")) }
        };
        for side in self.size {
            positive("size", side, 100.0)?;
        }
        positive("height_deviation", self.height_deviation, 1.0)?;
        positive("acceleration", self.acceleration, 100.0)?;
        positive("max_speed", self.max_speed, 50.0)?;
        if !(0.0..=5.0).contains(&self.inflation) {
            return Err(format!("inflation is {}: it must be from 0 to 5 metres", self.inflation));
        }
        Ok(())
    }
}

impl Default for ClassProfile {
    fn default() -> Self {
        Self::new([0.6, 0.6, 1.5], 0.3, 0.5, 2.0, 0.2)
    }
}

/// Parts of names, the longer ones before those that they contain.
static KNOWN: [(&[&str], ClassProfile); 8] = [
    // Adults stand 1.71 m with 0.1 m between them; bent and squatting ones widen that. Walking starts and stops within a second.
    (&["person", "people", "pedestrian", "human", "worker"], ClassProfile::new([0.5, 0.5, 1.7], 0.1, 0.5, 2.0, 0.25)),
    (
        &["pallettruck", "palletjack", "handpallet", "pumptruck"],
        ClassProfile::new([1.6, 0.7, 1.3], 0.15, 0.4, 2.0, 0.25),
    ),
    // Counterbalance trucks of 1.5 to 2.5 t, mast down: they accelerate with 0.5 m/s² for seconds.
    (
        &["forklift", "reachtruck", "lifttruck", "stacker", "truck"],
        ClassProfile::new([2.8, 1.2, 2.1], 0.1, 0.5, 4.0, 0.4),
    ),
    (&["pallet"], ClassProfile::new([1.2, 0.8, 0.15], 0.3, 0.02, 0.5, 0.1)),
    (&["robot", "amr", "agv"], ClassProfile::new([0.8, 0.6, 0.6], 0.4, 0.5, 2.0, 0.2)),
    (&["carton", "box", "crate", "parcel"], ClassProfile::new([0.5, 0.4, 0.4], 0.4, 0.02, 0.5, 0.1)),
    (&["cart", "trolley"], ClassProfile::new([1.0, 0.6, 1.0], 0.2, 0.3, 2.0, 0.2)),
    (&["shelf", "rack", "pillar", "cone"], ClassProfile::new([1.0, 1.0, 2.0], 0.5, 0.01, 0.2, 0.1)),
];

/// The profile of a class out of a list in the order of the classes; the default for those beyond its end.
pub fn profile_of(profiles: &[ClassProfile], class: usize) -> ClassProfile {
    profiles.get(class).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_profile() {
        let height = |name: &str| ClassProfile::of(name).size[2];
        assert_eq!(height("Person"), 1.7);
        assert_eq!(height("forklift"), height("reach_truck"));
        assert_eq!(height("hand pallet truck"), 1.3);
        assert_eq!(height("EUR-pallet"), 0.15);
        assert_eq!((height("carton"), height("cart")), (0.4, 1.0));
        assert_eq!(ClassProfile::of("dinosaur"), ClassProfile::default());
    }

    #[test]
    fn all_known_profiles_are_valid_and_wrong_numbers_are_named() {
        for (words, profile) in KNOWN {
            assert_eq!(profile.validate(), Ok(()), "{words:?}");
        }
        let wrong = ClassProfile { acceleration: f64::NAN, ..ClassProfile::default() };
        assert!(wrong.validate().unwrap_err().contains("acceleration"));
        let flat = ClassProfile { size: [1.0, 1.0, 0.0], ..ClassProfile::default() };
        assert!(flat.validate().unwrap_err().contains("size"));
    }
}
