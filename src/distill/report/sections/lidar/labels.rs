//! Where the labels came from, and how much of the points they cover.

use super::super::{Section, table::figure_table};
use crate::distill::{
    figure_table::FigureTable,
    lidar::labels::{LabelFacts, SourceFacts},
    report::{
        chart::{Axis, Bar, BarRow, bars},
        figures::percent,
        lidar_folder::LidarFolder,
        markup::Markup,
    },
};

/// Colour of what nobody knows, the greyest one.
const IGNORED: usize = 7;

/// What each recording's labelling came to.
pub(super) fn section(folder: &LidarFolder) -> Section {
    let body = Markup::of(|html| {
        html.element("ul", &[("class", "findings")], |list| {
            for (name, facts) in folder.recordings() {
                list.element("li", &[], |item| {
                    item.leaf("strong", &[], name);
                    item.text(&format!(": {}.", told(facts)));
                });
            }
        });
        html.append(&shares(folder));
        html.append(&figure_table(&table(folder), None));
    });
    Section {
        id: "labels",
        title: "Labels",
        how_to_read: "What the student learnt from. Sources are asked in their order, and the first that knows a point decides; points that \
                      none knows are ignored: they teach nothing, and are better so than labelled wrongly. An object counts in every sweep \
                      that it is seen in."
            .into(),
        body,
    }
}

/// The counts of sweeps, in words.
fn told(facts: &LabelFacts) -> String {
    let mut parts = vec![format!("{} sweeps", facts.sweeps)];
    if let Some(share) = facts.ignored_share() {
        parts.push(format!("{} of their points ignored", percent(share)));
    }
    let carried = facts.carried_over.map(|carried| (carried.of_class + carried.background, "carried over"));
    let followed =
        facts.followed.map(|followed| (followed.points + followed.filled, "labelled by following what moves"));
    if facts.points > 0 {
        let added = [carried, followed].into_iter().flatten();
        parts.extend(added.map(|(count, how)| format!("{} {how}", percent(count as f64 / facts.points as f64))));
    }
    for (count, what) in [
        (facts.without_labels, "without any label"),
        (facts.without_truth, "without truth to judge by"),
        (facts.without_image, "without a camera image near enough in time"),
        (facts.without_transform, "without a known place relative to the camera (TF)"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    parts.join(", ")
}

/// Of the points of each recording, how many lie on objects, on background, and are ignored; nothing where they were not counted.
fn shares(folder: &LidarFolder) -> Markup {
    let row = |(name, facts): (&str, &LabelFacts)| {
        let ignored = facts.ignored_share()?;
        let share = |points: u64| points as f64 / facts.points as f64;
        let known = facts.points.saturating_sub(facts.ignored);
        let said: u64 = facts.sources.iter().flat_map(|source| &source.classes).map(|class| class.points).sum();
        let (carried, followed) = (facts.carried_over.unwrap_or_default(), facts.followed.unwrap_or_default());
        // Labels that carrying over has dropped were counted with their sources.
        let objects = (said + carried.of_class + followed.points + followed.filled).min(known);
        let background = known - objects;
        let parts = vec![(share(objects), 0), (share(background), 1), (ignored, IGNORED)];
        let bar = Bar { parts, label: format!("{} ignored", percent(ignored)) };
        Some(BarRow { name: name.to_owned(), bars: vec![bar] })
    };
    let rows: Vec<BarRow> = folder.recordings().filter_map(row).collect();
    if rows.is_empty() {
        return Markup::new();
    }
    let x = Axis::linear("share of the points", 0.0, 1.0);
    let legend = [("on objects", 0), ("background", 1), ("ignored", IGNORED)];
    bars("What the points are labelled", &x, &rows, &legend)
}

/// A row for each class of each source of each recording.
fn table(folder: &LidarFolder) -> FigureTable {
    let mut table = FigureTable::new(3, &["recording", "labels of", "class", "points", "objects"]);
    let mut add = |recording: &str, source: &SourceFacts, name: &str| {
        for class in &source.classes {
            table.add(&[recording, name, &class.class], &[class.points.to_string(), class.objects.to_string()]);
        }
        table.add(&[recording, name, "(background)"], &[source.background.to_string(), String::new()]);
    };
    for (name, facts) in folder.recordings() {
        for source in &facts.sources {
            add(name, source, &source.name);
        }
        if let Some(truth) = &facts.truth {
            add(name, truth, &format!("{} (to judge by)", truth.name));
        }
    }
    table
}
