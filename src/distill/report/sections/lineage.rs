//! Where the student comes from: the generations before it, and what it has forgotten of an earlier run.

use super::{Section, table::figure_table};
use crate::distill::{
    evaluate::Forgetting,
    figure_table::{FigureTable, figure},
    report::{folder::RunFolder, markup::Markup},
    train::Lineage,
};

/// The generations and the forgetting of a run; none when it has neither.
pub(super) fn section(folder: &RunFolder) -> Option<Section> {
    if folder.lineage.is_none() && folder.forgetting.is_none() {
        return None;
    }
    let body = Markup::of(|html| {
        if let Some(lineage) = &folder.lineage {
            match lineage {
                Ok(lineage) => generations(html, lineage),
                Err(reason) => unreadable(html, reason),
            }
        }
        if let Some(forgetting) = &folder.forgetting {
            match forgetting {
                Ok(forgetting) => forgotten(html, forgetting),
                Err(reason) => unreadable(html, reason),
            }
        }
    });
    Some(Section {
        id: "lineage",
        title: "Where it comes from",
        how_to_read: "Generations: each is taught by the ones before it and kept only when it is better on the validation block. Forgetting: \
                      the earlier student and this one on the earlier run's test block."
            .into(),
        body,
    })
}

fn unreadable(html: &mut Markup, reason: &str) {
    html.leaf("p", &[("class", "note warning")], reason);
}

fn generations(html: &mut Markup, lineage: &Lineage) {
    html.leaf("h3", &[], "Generations");
    let mut table = FigureTable::new(2, &["generation", "", "validation AP"]);
    for (number, generation) in lineage.generations.iter().enumerate() {
        let fate = match (number == lineage.chosen, generation.kept) {
            (true, _) => "this student",
            (false, true) => "kept",
            (false, false) => "not better: not kept",
        };
        table.add(&[&number.to_string(), fate], &[figure(generation.validation_ap)]);
    }
    html.append(&figure_table(&table, Some(lineage.chosen)));
}

fn forgotten(html: &mut Markup, forgetting: &Forgetting) {
    html.leaf("h3", &[], "Forgetting");
    let mut table = FigureTable::new(1, &["class", "AP50 before", "AP50 now"]);
    let (before, after) = (&forgetting.before, &forgetting.after);
    table.add(&["all"], &[figure(before.ap50), figure(after.ap50)]);
    for class in &before.per_class {
        let now = after.per_class.iter().find(|now| now.class == class.class).and_then(|now| now.ap50);
        table.add(&[&class.class], &[figure(class.ap50), figure(now)]);
    }
    html.append(&figure_table(&table, Some(0)));
    let mut note = format!("Judged on {} frames; truth: {}.", forgetting.frames, forgetting.truth);
    if !forgetting.seen.is_empty() {
        note.push_str(" Part of these recordings may have been trained on since, which flatters this student.");
    }
    html.leaf("p", &[("class", "note")], &note);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::{evaluate::RetainedSkill, train::Generation};

    #[test]
    fn generations_and_forgetting_are_told() {
        let generation = |validation_ap, kept| Generation { folder: "x".into(), validation_ap, kept };
        let lineage =
            Lineage { generations: vec![generation(Some(0.5), true), generation(Some(0.4), false)], chosen: 0 };
        let skill = |ap50| RetainedSkill { ap: None, ap50, per_class: Vec::new() };
        let forgetting = Forgetting {
            data: Vec::new(),
            truth: "labels".into(),
            frames: 7,
            truths: 9,
            seen: vec!["bag".into()],
            before: skill(Some(0.75)),
            after: skill(None),
            forgotten_ap50: None,
        };
        let html = Markup::of(|html| {
            generations(html, &lineage);
            forgotten(html, &forgetting);
        });
        let html = html.as_str();
        for part in ["this student", "not better: not kept", "0.400", "0.750", ">-<", "7 frames", "flatters"] {
            assert!(html.contains(part), "no {part} in {html}");
        }
    }
}
