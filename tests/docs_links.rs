//! Links of README.md and the guides lead somewhere: each file and each heading that they name is there, and each guide is found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages that are looked at: README.md, those of docs/ and the models' one.
fn pages() -> Vec<PathBuf> {
    let guides = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> =
        guides.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    pages.extend([root().join("README.md"), root().join("models/README.md")]);
    pages.sort();
    pages
}

/// The lines of a page that are no code: neither between fences nor indented after an empty line.
fn prose(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let (mut is_fenced, mut may_be_code) = (false, true);
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        let is_indented = may_be_code && line.starts_with("    ");
        if is_fence {
            is_fenced = !is_fenced;
        } else if !is_fenced && !is_indented {
            lines.push(line);
        }
        may_be_code = line.trim().is_empty() || is_indented;
    }
    lines
}

/// A paragraph without what stands between backticks.
fn without_code(paragraph: &str) -> String {
    paragraph.split('`').step_by(2).collect()
}

/// Where the links and images of a page lead, as it is written.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    // A link's text and code may go on in the next line, but not in the next paragraph.
    for paragraph in prose(text).join("\n").split("\n\n") {
        let paragraph = without_code(paragraph);
        let targets = paragraph.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        found.extend(targets.map(str::to_owned));
    }
    found
}

/// A heading's anchor as GitHub makes it: small letters, digits, `-` and `_` stay, spaces become `-`, all else goes.
fn slug(heading: &str) -> String {
    let letter = |letter: char| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ if letter.is_alphanumeric() => Some(letter),
        _ => None,
    };
    heading.trim().to_lowercase().chars().filter_map(letter).collect()
}

/// The anchors of a page. Of headings that are alike the second has `-1` behind it, the third `-2`.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for line in prose(text) {
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        if !(1..=6).contains(&level) || !title.starts_with(' ') {
            continue;
        }
        let slug = slug(title);
        let count = seen.entry(slug.clone()).or_default();
        found.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    found
}

/// What is wrong with a link of a page; `None` where it leads somewhere or out of the repository.
fn fault(page: &Path, link: &str) -> Option<String> {
    if link.starts_with("https://") || link.starts_with("http://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = if file.is_empty() { page.to_owned() } else { page.parent()?.join(file) };
    if !target.exists() {
        return Some("there is no such file".to_owned());
    }
    let is_inside = target.canonicalize().ok().zip(root().canonicalize().ok()).is_some_and(|(a, b)| a.starts_with(b));
    if !is_inside {
        return Some("it leads out of the repository".to_owned());
    }
    let anchor = anchor?;
    let there = anchors(&fs::read_to_string(&target).unwrap_or_default());
    let known: Vec<&str> = there.iter().map(String::as_str).collect();
    (!there.contains(anchor)).then(|| format!("there is no such heading, but {}", known.join(", ")))
}

#[test]
fn every_link_leads_somewhere() {
    let (mut count, mut wrong) = (0, Vec::new());
    for page in pages() {
        for link in links(&fs::read_to_string(&page).unwrap()) {
            count += 1;
            if let Some(fault) = fault(&page, &link) {
                wrong.push(format!("{}: {link}: {fault}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 50, "{count} links");
}

#[test]
fn the_readme_leads_to_every_guide() {
    let readme = links(&fs::read_to_string(root().join("README.md")).unwrap());
    let named: BTreeSet<&str> = readme.iter().filter_map(|link| link.split('#').next()).collect();
    for page in pages() {
        let name = page.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        assert!(name == "README.md" || named.contains(name.as_str()), "README.md does not link to {name}");
    }
}

#[test]
fn anchors_are_github_s() {
    let page = "# The nodes\n## `carry_over`\n## What the stamp says, and why\n## Parameters\n```yaml\n# no heading\n```\n\
                ### Parameters\n#hash\n\n    # code\n\n## In obstacle_fusion: 8-bit (QDQ)\n";
    let expected = [
        "carry_over",
        "in-obstacle_fusion-8-bit-qdq",
        "parameters",
        "parameters-1",
        "the-nodes",
        "what-the-stamp-says-and-why",
    ];
    assert_eq!(anchors(page), expected.map(str::to_owned).into());
}

#[test]
fn links_are_found_where_they_are_and_faults_are_told() {
    let page = "[a](b.md#c), ![d](e.png) and `[f](g)` [`h`](i)\n```\n[j](k)\n```\n\n    [l](m)\n\n- [n\n  o](#p)\n";
    assert_eq!(links(page), ["b.md#c", "e.png", "i", "#p"]);
    let readme = root().join("README.md");
    assert_eq!(fault(&readme, "https://example.org/nowhere"), None);
    assert_eq!(fault(&readme, "docs/nodes.md#parameters"), None);
    assert!(fault(&readme, "docs/nothing.md").unwrap().contains("file"));
    assert!(fault(&readme, "docs/nodes.md#nothing").unwrap().contains("camera_detector"));
    assert!(fault(&readme, "..").unwrap().contains("out of the repository"));
}
