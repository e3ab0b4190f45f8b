//! Means of figures of which some may not be known.

/// The mean of the values; `None` where there are none.
pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.into_iter().fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_leave_out_what_is_not_known() {
        assert_eq!(mean([Some(0.5), None, Some(0.25)].into_iter().flatten()), Some(0.375));
        assert_eq!(mean([None].into_iter().flatten()), None);
    }
}
