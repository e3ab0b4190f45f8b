//! What a misspelt name was meant to be.

/// The name most like what was written, when it is like it: one slip in three letters at most, else it is another word.
pub(crate) fn nearest<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let (slips, name) = names.into_iter().map(|name| (slips(written, name), name)).min_by_key(|(slips, _)| *slips)?;
    (3 * slips <= name.chars().count()).then_some(name)
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
    fn the_nearest_name_is_told_only_when_it_is_near() {
        assert_eq!(nearest("base_lnik", ["odom", "base_link", "base_scan"]), Some("base_link"));
        assert_eq!(nearest("camera", ["odom", "base_link"]), None);
        assert_eq!(nearest("camera", []), None);
    }
}
