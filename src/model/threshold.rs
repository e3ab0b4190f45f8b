//! Score thresholds: one for all classes, and those that single classes have of their own.

use std::collections::BTreeMap;

/// The score that a detection of a class must reach: its own threshold, else `all`.
pub(super) fn of_class(classes: &[String], class: usize, all: f32, own: &BTreeMap<String, f32>) -> f32 {
    classes.get(class).and_then(|name| own.get(name)).copied().unwrap_or(all)
}

/// Says what is no threshold.
pub(super) fn check(name: &str, value: f32) -> Result<(), String> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(format!("{name} must be 0 to 1, it is {value}")) }
}

/// Says what is wrong with `class_thresholds`: a class that there is not, or no threshold.
pub(super) fn check_classes(classes: &[String], own: &BTreeMap<String, f32>) -> Result<(), String> {
    for (class, &threshold) in own {
        if !classes.contains(class) {
            return Err(format!("class_thresholds names {class}, which is none of the classes"));
        }
        check(&format!("class_thresholds.{class}"), threshold)?;
    }
    Ok(())
}
