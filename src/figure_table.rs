//! A table that is shown in more than one way: on a terminal, and on the page of a report.

use std::fmt;

use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_FULL_CONDENSED};

/// Columns that name things, and columns of figures beside them. [`fmt::Display`] draws it for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FigureTable {
    /// What the columns are called.
    pub header: Vec<String>,
    /// So many columns, the first ones, name things; the others are figures and stand to the right.
    pub names: usize,
    /// The cells, row by row.
    pub rows: Vec<Vec<String>>,
}

/// A figure with three decimals, or a dash.
pub fn figure(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}

impl FigureTable {
    /// A table without rows whose first `names` columns name things.
    pub fn new<T: AsRef<str>>(names: usize, header: &[T]) -> Self {
        Self { header: header.iter().map(|name| name.as_ref().to_owned()).collect(), names, rows: Vec::new() }
    }

    /// Adds a row: names, then figures.
    pub fn add(&mut self, names: &[&str], figures: &[String]) {
        let names = names.iter().map(|name| (*name).to_owned());
        self.rows.push(names.chain(figures.iter().cloned()).collect());
    }
}

impl fmt::Display for FigureTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED);
        table.set_header(self.header.iter().map(Cell::new));
        for row in &self.rows {
            let cells = row.iter().enumerate().map(|(column, text)| {
                let alignment = if column < self.names { CellAlignment::Left } else { CellAlignment::Right };
                Cell::new(text).set_alignment(alignment)
            });
            table.add_row(cells);
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_to_the_left_and_figures_to_the_right() {
        let mut table = FigureTable::new(1, &["variant", "AP"]);
        table.add(&["a"], &["1".to_owned()]);
        table.add(&["longer"], &["0.125".to_owned()]);
        let text = table.to_string();
        let line = text.lines().find(|line| line.contains("│ a")).unwrap_or_default();
        assert!(line.starts_with("│ a ") && line.ends_with("    1 │"), "{text}");
    }
}
