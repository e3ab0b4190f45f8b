//! Limits of the options of tracking and fusion.

/// A text that names the field and says what it must be, when its value is not from `least` to `most`.
pub(crate) fn within(name: &str, value: f64, least: f64, most: f64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{name} is {value}: it must be from {least} to {most}"))
    }
}
