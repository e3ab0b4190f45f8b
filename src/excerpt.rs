//! Texts of others, short enough for a log.

/// Bytes of a text that are shown; no name that means something is longer.
const SHOWN: usize = 128;

/// A text that came in a message, cut where it is longer than any name, so that no publisher fills logs and diagnostics.
pub(crate) fn excerpt(text: &str) -> String {
    if text.len() <= SHOWN {
        return text.to_owned();
    }
    let end = (0..=SHOWN).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{}.. ({} bytes)", &text[..end], text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_letters() {
        assert_eq!(excerpt("rgb8"), "rgb8");
        let name = "x".repeat(SHOWN);
        assert_eq!(excerpt(&name), name);
        let long = excerpt(&"x".repeat(1_000_000));
        assert!(long.len() < 160 && long.ends_with(".. (1000000 bytes)"), "{long}");
        // Two bytes each, of which the 64th ends at the limit, and one byte before them.
        assert!(excerpt(&format!("a{}", "\u{e4}".repeat(100))).starts_with(&format!("a{}..", "\u{e4}".repeat(63))));
    }
}
