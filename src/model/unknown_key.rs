//! What a misspelt key or value of a YAML was meant to be.

/// ` (did you mean ..?)` for serde's message about an unknown field or variant with the names that it lists, or nothing when
/// none of these is like what was written.
pub(super) fn hint(message: &str) -> String {
    let marks = ["unknown field `", "unknown variant `"];
    let Some(start) = marks.into_iter().find_map(|mark| Some(message.find(mark)? + mark.len() - 1)) else {
        return String::new();
    };
    // The message has each name between two of these marks, what was written first.
    let mut names = message[start..].split('`').skip(1).step_by(2);
    let Some(written) = names.next() else { return String::new() };
    let nearest = names.map(|name| (slips(written, name), name)).min_by_key(|(slips, _)| *slips);
    match nearest {
        // One slip in three letters at most, else it is another word.
        Some((slips, name)) if 3 * slips <= name.chars().count() => format!(" (did you mean `{name}`?)"),
        _ => String::new(),
    }
}

/// How many letters must be put in, left out, replaced or swapped with their neighbour to make `a` into `b`.
fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // The row of the letter before, and the one before that, over the beginnings of `b`.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &to) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(from != to);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from == b[j - 1] && a[i - 1] == to {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (a, b, expected) in
            [("head", "head", 0), ("haed", "head", 1), ("classs", "classes", 1), ("input", "", 5), ("", "fit", 3)]
        {
            assert_eq!((slips(a, b), slips(b, a)), (expected, expected), "{a} {b}");
        }
    }

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
