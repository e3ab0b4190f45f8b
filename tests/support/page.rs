//! Pages of `distill report`: read as strictly as XML, and looked at in a real browser, where there is one.

use std::{
    collections::HashSet,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use xml::{
    attribute::OwnedAttribute,
    reader::{EventReader, XmlEvent},
};

/// What `distill report` says of a run.
pub fn report(run: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
    command.arg("report").arg(run).args(more).stdin(Stdio::null()).env_remove("RUST_LOG").output().unwrap()
}

/// The page that a successful report writes to its usual place.
pub fn page(run: &Path, more: &[&str]) -> String {
    let output = report(run, more);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    let path = run.join("report.html");
    assert_eq!(stdout.trim_end(), path.to_str().unwrap());
    std::fs::read_to_string(path).unwrap()
}

/// An element of a page with its attributes.
pub struct Element {
    pub tag: String,
    attributes: Vec<OwnedAttribute>,
}

impl Element {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.name.local_name == name).map(|found| found.value.as_str())
    }
}

/// The page's elements in order and all its text; a page that is not well formed fails.
pub fn parse(html: &str) -> (Vec<Element>, String) {
    let (mut elements, mut text) = (Vec::new(), String::new());
    for event in EventReader::new(html.as_bytes()) {
        match event.unwrap_or_else(|error| panic!("not well formed: {error}")) {
            XmlEvent::StartElement { name, attributes, .. } => {
                elements.push(Element { tag: name.local_name, attributes });
            }
            XmlEvent::Characters(part) => text.push_str(&part),
            _ => {}
        }
    }
    (elements, text)
}

/// Fails when the page would load or run anything.
pub fn assert_self_contained(elements: &[Element], text: &str) {
    for element in elements {
        let active = ["script", "link", "iframe", "object", "embed", "img", "form", "base"];
        assert!(!active.contains(&element.tag.as_str()), "<{}>", element.tag);
        for attribute in &element.attributes {
            let (name, value) = (attribute.name.local_name.as_str(), attribute.value.as_str());
            assert!(!name.starts_with("on") && name != "src" && name != "srcset", "{name}={value}");
            if name == "href" {
                assert!(value.starts_with('#') || value.starts_with("data:image/"), "href={value}");
            }
        }
    }
    assert!(!text.contains("url(") && !text.contains("@import"));
}

/// The ids of the page's sections, in their order.
pub fn sections(elements: &[Element]) -> Vec<&str> {
    elements.iter().filter(|element| element.tag == "section").filter_map(|element| element.attribute("id")).collect()
}

/// Fails when a link within the page has no target.
pub fn assert_links_lead_somewhere(elements: &[Element]) {
    let ids: HashSet<&str> = elements.iter().filter_map(|element| element.attribute("id")).collect();
    for link in elements.iter().filter_map(|element| element.attribute("href")?.strip_prefix('#')) {
        assert!(ids.contains(link), "#{link} leads nowhere");
    }
}

fn screenshot(arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/screenshot");
    Command::new(script).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Looks at a page wide and narrow, light and dark; pictures go into `folder`. Without a browser it says that nothing was looked at,
/// and fails where `CI` is true.
pub fn assert_looks_right(html: &Path, folder: &Path) {
    let found = screenshot(&["--check"]);
    if !found.status.success() {
        let why = String::from_utf8_lossy(&found.stderr);
        assert!(
            super::may_skip(),
            "no headless browser to look at pages with, which CI must have: scripts/screenshot --install gets one into the cache folder, \
             DISTILLED_PERCEPTION_BROWSER names another; CI=false leaves it out\n{why}"
        );
        println!("skipped: no headless browser (scripts/screenshot --install gets one)");
        return;
    }
    for (width, scheme) in [("1280", "light"), ("1280", "dark"), ("390", "light"), ("390", "dark")] {
        let picture = folder.join(format!("{width}-{scheme}.png"));
        let mut arguments = vec![html.to_str().unwrap(), picture.to_str().unwrap(), "--width", width];
        if scheme == "dark" {
            arguments.push("--dark");
        }
        let output = screenshot(&arguments);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
        let measured: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
        assert_eq!(measured["width"].as_u64(), width.parse().ok(), "{measured}");
        assert!(measured["scroll_width"].as_u64() <= measured["width"].as_u64(), "scrolls sideways: {measured}");
        for nothing in ["outside", "requests", "errors"] {
            assert_eq!(measured[nothing], serde_json::json!([]), "{measured}");
        }
        let image = image::open(&picture).unwrap().into_rgb8();
        let colors: HashSet<[u8; 3]> = image.pixels().map(|pixel| pixel.0).collect();
        assert!(colors.len() > 50, "{width} {scheme} is blank");
        let sum: u64 = image.pixels().map(|pixel| pixel.0.iter().map(|&value| u64::from(value)).sum::<u64>()).sum();
        let brightness = sum / (3 * u64::from(image.width()) * u64::from(image.height()));
        if scheme == "dark" {
            assert!(brightness < 70, "{width} dark is {brightness} bright");
        } else {
            assert!(brightness > 180, "{width} light is {brightness} bright");
        }
    }
}
