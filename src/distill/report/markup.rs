//! HTML and SVG that is well formed and escaped because it cannot be written otherwise: names of classes, models and files come from
//! outside and must not become tags.

use base64::prelude::{BASE64_STANDARD, Engine as _};

/// A piece of a page under construction. Written as XML would want it, so that a strict parser can check it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Markup {
    written: String,
}

impl Markup {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What an element's closure writes, alone.
    pub fn of(content: impl FnOnce(&mut Self)) -> Self {
        let mut markup = Self::new();
        content(&mut markup);
        markup
    }

    /// Text, escaped.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.escape(text);
        self
    }

    /// An element with these attributes around what `content` writes.
    pub fn element(
        &mut self,
        tag: &'static str,
        attributes: &[(&'static str, &str)],
        content: impl FnOnce(&mut Self),
    ) -> &mut Self {
        self.open(tag, attributes);
        self.written.push('>');
        content(self);
        self.written.push_str("</");
        self.written.push_str(tag);
        self.written.push('>');
        self
    }

    /// An element that holds only text.
    pub fn leaf(&mut self, tag: &'static str, attributes: &[(&'static str, &str)], text: &str) -> &mut Self {
        self.element(tag, attributes, |inner| {
            inner.text(text);
        })
    }

    /// An element that holds nothing: of HTML only those that never do (`meta`), of SVG any.
    pub fn void(&mut self, tag: &'static str, attributes: &[(&'static str, &str)]) -> &mut Self {
        self.open(tag, attributes);
        self.written.push_str("/>");
        self
    }

    /// The page's style sheet, as it is; it must hold neither `<` nor `&`.
    pub fn style(&mut self, sheet: &'static str) -> &mut Self {
        self.written.push_str("<style>");
        self.written.push_str(sheet);
        self.written.push_str("</style>");
        self
    }

    /// What was written elsewhere.
    pub fn append(&mut self, other: &Self) -> &mut Self {
        self.written.push_str(&other.written);
        self
    }

    /// The HTML.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    fn open(&mut self, tag: &'static str, attributes: &[(&'static str, &str)]) {
        self.written.push('<');
        self.written.push_str(tag);
        for (name, value) in attributes {
            self.written.push(' ');
            self.written.push_str(name);
            self.written.push_str("=\"");
            self.escape(value);
            self.written.push('"');
        }
    }

    fn escape(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.written.push_str("&amp;"),
                '<' => self.written.push_str("&lt;"),
                '>' => self.written.push_str("&gt;"),
                '"' => self.written.push_str("&quot;"),
                '\'' => self.written.push_str("&#39;"),
                '\n' | '\t' => self.written.push(character),
                // Neither HTML nor XML has a way to write these.
                control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => {
                    self.written.push('\u{fffd}');
                }
                other => self.written.push(other),
            }
        }
    }
}

/// A picture as an address that lies in the page itself; `kind` is `image/png` or `image/jpeg`.
pub(super) fn data_address(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", BASE64_STANDARD.encode(bytes))
}

/// A number for a coordinate: a tenth of a pixel is fine enough.
pub(super) fn pixels(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_stays_text() {
        let markup = Markup::of(|html| {
            html.leaf("p", &[("title", "\"><script>")], "<script>alert('1 & 2')</script>\u{0}");
            html.void("meta", &[("charset", "utf-8")]);
        });
        assert_eq!(
            markup.as_str(),
            "<p title=\"&quot;&gt;&lt;script&gt;\">&lt;script&gt;alert(&#39;1 &amp; 2&#39;)&lt;/script&gt;\u{fffd}</p>\
             <meta charset=\"utf-8\"/>"
        );
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!([pixels(3.0), pixels(2.26), pixels(-0.5)], ["3", "2.3", "-0.5"]);
    }
}
