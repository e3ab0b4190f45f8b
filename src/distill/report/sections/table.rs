//! Tables: the first column is text, the others are figures.

use crate::distill::report::markup::Markup;

/// A row's cells, and whether it is the student's.
pub(super) struct Row {
    /// What stands in each column.
    pub cells: Vec<String>,
    /// Whether it is the row that the page is about.
    pub student: bool,
}

/// A table that scrolls by itself where it is wider than the window.
pub(super) fn table(header: &[String], rows: &[Row]) -> Markup {
    Markup::of(|html| {
        html.element("div", &[("class", "scroll")], |scroll| {
            scroll.element("table", &[], |table| {
                table.element("thead", &[], |head| {
                    head.element("tr", &[], |line| header.iter().for_each(|name| cell(line, "th", name)));
                });
                table.element("tbody", &[], |body| {
                    for row in rows {
                        let class = if row.student { "student" } else { "other" };
                        body.element("tr", &[("class", class)], |line| {
                            row.cells.iter().for_each(|text| cell(line, "td", text));
                        });
                    }
                });
            });
        });
    })
}

fn cell(line: &mut Markup, tag: &'static str, text: &str) {
    line.leaf(tag, &[], text);
}
