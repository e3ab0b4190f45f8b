//! The page around the sections.

use super::{markup::Markup, sections::Section};

/// Nothing may be loaded from anywhere and nothing may run, whatever a name tries.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";
/// Colours, letters, charts: all that a page or a picture of it looks like.
pub(super) const SHEET: &str = include_str!("page.css");

/// The whole page: what kind it is of, what it is about, and its sections.
pub(super) fn page(kind: &str, name: &str, sections: &[Section]) -> String {
    let title = format!("{name} – {}", kind.to_lowercase());
    let html = Markup::of(|html| {
        html.element("html", &[("lang", "en")], |html| {
            html.element("head", &[], |head| {
                head.void("meta", &[("charset", "utf-8")]);
                head.void("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
                head.void("meta", &[("name", "color-scheme"), ("content", "light dark")]);
                head.void("meta", &[("http-equiv", "Content-Security-Policy"), ("content", POLICY)]);
                head.leaf("title", &[], &title);
                head.style(SHEET);
            });
            html.element("body", &[], |body| {
                body.element("header", &[], |header| {
                    header.leaf("p", &[("class", "kind")], kind);
                    header.leaf("h1", &[], name);
                });
                if sections.len() > 1 {
                    navigation(body, sections);
                }
                body.element("main", &[], |main| sections.iter().for_each(|section| show(main, section)));
                let made = format!("Made by distilled_perception {}.", env!("CARGO_PKG_VERSION"));
                body.leaf("footer", &[], &made);
            });
        });
    });
    format!("<!DOCTYPE html>\n{}\n", html.as_str())
}

fn navigation(body: &mut Markup, sections: &[Section]) {
    body.element("nav", &[("aria-label", "Sections")], |nav| {
        for section in sections {
            nav.leaf("a", &[("href", &format!("#{}", section.id))], section.title);
        }
    });
}

fn show(main: &mut Markup, section: &Section) {
    main.element("section", &[("id", section.id)], |html| {
        html.leaf("h2", &[], section.title);
        if !section.how_to_read.is_empty() {
            html.leaf("p", &[("class", "how")], &section.how_to_read);
        }
        html.append(&section.body);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sheet_needs_no_escaping_and_loads_nothing() {
        assert!(!SHEET.contains(['<', '&']) && !SHEET.contains("url(") && !SHEET.contains("@import"));
    }

    #[test]
    fn sections_stand_in_order_under_their_names() {
        let section = |id, title| Section { id, title, how_to_read: "Read <it>.".into(), body: Markup::new() };
        let html = page("Report", "a & b", &[section("one", "First"), section("two", "Second")]);
        assert!(html.starts_with("<!DOCTYPE html>") && html.contains("<h1>a &amp; b</h1>"), "{html}");
        assert!(html.contains("<a href=\"#two\">Second</a>") && html.contains("Read &lt;it&gt;."), "{html}");
        assert!(html.find("id=\"one\"") < html.find("id=\"two\""));
        assert!(html.contains("<title>a &amp; b – report</title>"), "{html}");
        assert!(!page("Report", "a", &[section("one", "First")]).contains("<nav"));
    }
}
