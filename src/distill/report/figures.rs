//! Figures as people read them.

/// A share with three decimals, as in the tables of papers; a dash where there is none.
pub(super) fn share(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| format!("{value:.3}"))
}

/// A share in per cent.
pub(super) fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

/// Milliseconds, or a dash.
pub(super) fn milliseconds(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| format!("{value:.2}"))
}

/// A number of things in millions.
pub(super) fn millions(value: u64) -> String {
    format!("{:.2}", value as f64 / 1e6)
}

/// What stands for a figure that is not there.
pub(super) fn dash() -> String {
    "–".to_owned()
}

/// A factor with as many digits as it is worth: 0.87, 3.2, 16.
pub(super) fn factor(value: f64) -> String {
    match value {
        value if value >= 9.95 => format!("{value:.0}"),
        value if value >= 0.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// `3.2 times smaller`, `1.5 times larger` or `about as large`, from how many times more the other one has.
pub(super) fn times(ratio: f64, less: &str, more: &str, alike: &str) -> String {
    if ratio >= 1.05 {
        format!("{} times {less}", factor(ratio))
    } else if ratio > 0.0 && ratio <= 1.0 / 1.05 {
        format!("{} times {more}", factor(1.0 / ratio))
    } else {
        format!("about as {alike}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_told_from_the_students_side() {
        let told = |ratio| times(ratio, "smaller", "larger", "large");
        assert_eq!(told(3.02), "3.0 times smaller");
        assert_eq!(told(0.5), "2.0 times larger");
        assert_eq!(told(1.01), "about as large");
        assert_eq!([factor(16.4), factor(0.871)], ["16", "0.87"]);
    }

    #[test]
    fn figures_that_are_missing_are_dashes() {
        assert_eq!([share(None), share(Some(0.98787)), percent(0.98787)], ["–", "0.988", "98.8 %"]);
    }
}
