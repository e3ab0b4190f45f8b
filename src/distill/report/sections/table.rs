//! Tables: the first column is text, the others are figures.

use crate::distill::{figure_table::FigureTable, report::markup::Markup};

/// A row's cells, and whether it is the student's.
pub(super) struct Row {
    /// What stands in each column.
    pub cells: Vec<String>,
    /// Whether it is the row that the page is about.
    pub student: bool,
}

/// A table that scrolls by itself where it is wider than the window.
pub(super) fn table(header: &[String], rows: &[Row]) -> Markup {
    laid_out(header, rows, 1)
}

/// A table that is on the terminal, too; the row with this number is the one that the page is about.
pub(super) fn figure_table(table: &FigureTable, own: Option<usize>) -> Markup {
    let row = |(place, cells): (usize, &Vec<String>)| Row { cells: cells.clone(), student: own == Some(place) };
    let rows: Vec<Row> = table.rows.iter().enumerate().map(row).collect();
    laid_out(&table.header, &rows, table.names)
}

/// Something long, folded away.
pub(super) fn folded(title: &str, content: &Markup) -> Markup {
    Markup::of(|html| {
        html.element("details", &[], |details| {
            details.leaf("summary", &[], title);
            details.append(content);
        });
    })
}

/// The first `names` columns are text.
fn laid_out(header: &[String], rows: &[Row], names: usize) -> Markup {
    Markup::of(|html| {
        html.element("div", &[("class", "scroll")], |scroll| {
            scroll.element("table", &[], |table| {
                table.element("thead", &[], |head| {
                    head.element("tr", &[], |line| cells(line, "th", header, names));
                });
                table.element("tbody", &[], |body| {
                    for row in rows {
                        let class = if row.student { "student" } else { "other" };
                        body.element("tr", &[("class", class)], |line| cells(line, "td", &row.cells, names));
                    }
                });
            });
        });
    })
}

fn cells(line: &mut Markup, tag: &'static str, texts: &[String], names: usize) {
    for (column, text) in texts.iter().enumerate() {
        // The style sheet sets the first one to the left.
        if column > 0 && column < names {
            line.leaf(tag, &[("class", "left")], text);
        } else {
            line.leaf(tag, &[], text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_to_the_left_and_the_own_row_is_marked() {
        let mut figures = FigureTable::new(2, &["teacher", "class", "AP"]);
        figures.add(&["a", "<b>"], &["0.5".to_owned()]);
        figures.add(&["c", "d"], &["0.7".to_owned()]);
        let html = folded("All & everything", &figure_table(&figures, Some(1)));
        let html = html.as_str();
        assert!(html.starts_with("<details><summary>All &amp; everything</summary><div"), "{html}");
        assert!(html.contains("<th>teacher</th><th class=\"left\">class</th><th>AP</th>"), "{html}");
        assert!(html.contains("<td>a</td><td class=\"left\">&lt;b&gt;</td><td>0.5</td>"), "{html}");
        assert!(html.contains("<tr class=\"student\"><td>c</td>"), "{html}");
    }
}
