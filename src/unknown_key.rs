//! What a misspelt key or value of a YAML was meant to be.

use crate::spelling;

/// ` (did you mean ..?)` for serde's message about an unknown field or variant with the names that it lists, or nothing when
/// none of these is like what was written.
pub(crate) fn hint(message: &str) -> String {
    let marks = ["unknown field `", "unknown variant `"];
    let Some(start) = marks.into_iter().find_map(|mark| Some(message.find(mark)? + mark.len() - 1)) else {
        return String::new();
    };
    // The message has each name between two of these marks, what was written first.
    let mut names = message[start..].split('`').skip(1).step_by(2);
    let Some(written) = names.next() else { return String::new() };
    spelling::nearest(written, names).map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_told_when_it_is_near() {
        let message =
            |written: &str| format!("input: unknown field `{written}`, expected one of `width`, `height`, `fit`");
        assert_eq!(hint(&message("widht")), " (did you mean `width`?)");
        assert_eq!(hint(&message("heigth")), " (did you mean `height`?)");
        assert_eq!(hint(&message("colour")), "");
        assert_eq!(hint("unknown variant `yolo8`, expected `yolov8` at line 2"), " (did you mean `yolov8`?)");
        for other in ["missing field `head`", "unknown field `", "unknown field `x", ""] {
            assert_eq!(hint(other), "", "{other}");
        }
    }
}
