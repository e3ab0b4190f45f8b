//! docs/complaints.md: each complaint names tests that show it handled, and they are there.

use std::path::Path;

/// A line of the tables: what is complained about, and the tests as file and function.
struct Row {
    complaint: String,
    tests: Vec<(String, String)>,
}

fn rows() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/complaints.md");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("| ") && !line.contains("| shown by |"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let last = cells.last().copied().unwrap_or_default();
        // Every second part is between backticks.
        let named = last.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::"));
        let tests = named.map(|(file, function)| (file.to_owned(), function.to_owned())).collect();
        Row { complaint: cells[0].to_owned(), tests }
    };
    lines.map(row).collect()
}

#[test]
fn every_complaint_has_a_test_that_is_there() {
    let rows = rows();
    assert!(rows.len() >= 35, "{} complaints", rows.len());
    let mut wrong = Vec::new();
    for Row { complaint, tests } in &rows {
        if tests.is_empty() {
            wrong.push(format!("{complaint}: no test"));
        }
        for (file, function) in tests {
            let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default();
            let begin = source.find(&format!("fn {function}("));
            // Its attributes stand on the lines before.
            let is_test = begin.is_some_and(|begin| {
                let before = source[..begin].trim_end().lines().rev().map(str::trim);
                before.take_while(|line| line.starts_with('#')).any(|line| line == "#[test]")
            });
            if !is_test {
                wrong.push(format!("{complaint}: no test {function} in {file}"));
            }
        }
    }
    assert!(wrong.is_empty(), "docs/complaints.md:\n{}", wrong.join("\n"));
}
