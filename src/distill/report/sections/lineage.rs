//! Where the student comes from: the generations before it, what it has lost beside the student that a gate holds it against, and what
//! it has forgotten of an earlier run.

use super::{Section, table::figure_table};
use crate::{
    distill::{
        compress::prune::GateVerdict,
        evaluate::Forgetting,
        figure_table::{FigureTable, figure},
        report::{folder::RunFolder, markup::Markup},
        train::Lineage,
    },
    metrics::ClassAp,
};

/// The generations, the gate and the forgetting of a run; none when it has none of them.
pub(super) fn section(folder: &RunFolder) -> Option<Section> {
    if folder.lineage.is_none() && folder.gate.is_none() && folder.forgetting.is_none() {
        return None;
    }
    let body = Markup::of(|html| {
        show(html, &folder.lineage, generations);
        show(html, &folder.gate, gate);
        show(html, &folder.forgetting, forgotten);
    });
    Some(Section {
        id: "lineage",
        title: "Where it comes from",
        how_to_read: "Generations: each is taught by the ones before it and kept only when it is better on the validation block. Gate: the \
                      student that this one was cut from and this one on the validation block. Forgetting: the earlier student and this one \
                      on the earlier run's test block."
            .into(),
        body,
    })
}

/// What a file of the run says, or why it cannot be read; nothing without the file.
fn show<T>(html: &mut Markup, file: &Option<Result<T, String>>, told: impl Fn(&mut Markup, &T)) {
    match file {
        None => (),
        Some(Ok(file)) => told(html, file),
        Some(Err(reason)) => {
            html.leaf("p", &[("class", "note warning")], reason);
        }
    }
}

/// AP50 of all classes and of each, of an earlier student and of this one.
fn before_and_now(html: &mut Markup, all: [Option<f64>; 2], per_class: [&[ClassAp]; 2]) {
    let mut table = FigureTable::new(1, &["class", "AP50 before", "AP50 now"]);
    table.add(&["all"], &all.map(figure));
    for class in per_class[0] {
        let now = per_class[1].iter().find(|now| now.class == class.class).and_then(|now| now.ap50);
        table.add(&[&class.class], &[figure(class.ap50), figure(now)]);
    }
    html.append(&figure_table(&table, Some(0)));
}

fn gate(html: &mut Markup, verdict: &GateVerdict) {
    html.leaf("h3", &[], "Gate");
    let excess = verdict.excess();
    let frames = verdict.judged.as_ref().map(|pair| {
        let [before, after] = pair;
        before_and_now(html, [before.ap50, after.ap50], [&before.per_class, &after.per_class]);
        format!("Judged on {} frames; truth: {}. ", after.images, verdict.truth)
    });
    let note = format!(
        "{}Held against the student of {}; {:.2} points of AP50 might be lost.",
        frames.unwrap_or_default(),
        verdict.against,
        verdict.budget
    );
    html.leaf("p", &[("class", "note")], &note);
    if let Some(excess) = excess {
        let fate = if verdict.forced { "written all the same, because of gate.force" } else { "refused" };
        html.leaf("p", &[("class", "note warning")], &format!("{fate}: {excess}"));
    }
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
    let (before, after) = (&forgetting.before, &forgetting.after);
    before_and_now(html, [before.ap50, after.ap50], [&before.per_class, &after.per_class]);
    let mut note = format!("Judged on {} frames; truth: {}.", forgetting.frames, forgetting.truth);
    if !forgetting.seen.is_empty() {
        note.push_str(" Part of these recordings may have been trained on since, which flatters this student.");
    }
    html.leaf("p", &[("class", "note")], &note);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        distill::{evaluate::RetainedSkill, train::Generation},
        metrics::ApSummary,
    };

    #[test]
    fn what_a_gate_found_is_told() {
        let judged = |ap50| {
            let class = ClassAp { class: "cone".into(), truths: 3, ap: None, ap50: Some(ap50 - 0.25), ap75: None };
            ApSummary { ap: None, ap50: Some(ap50), ap75: None, per_class: vec![class], images: 70 }
        };
        let verdict = GateVerdict {
            against: "runs/uncut".into(),
            truth: "labels".into(),
            budget: 1.0,
            forced: false,
            judged: Some([judged(0.75), judged(0.7)]),
        };
        let shown = |verdict: &GateVerdict| Markup::of(|html| gate(html, verdict)).as_str().to_owned();
        let html = shown(&verdict);
        for part in ["0.750", "0.700", "cone", "0.500", "0.450", "70 frames", "runs/uncut", "1.00 points", "refused: "]
        {
            assert!(html.contains(part), "no {part} in {html}");
        }
        let forced = shown(&GateVerdict { forced: true, ..verdict.clone() });
        assert!(forced.contains("gate.force") && !forced.contains("refused"), "{forced}");
        let kept = shown(&GateVerdict { budget: 6.0, ..verdict.clone() });
        assert!(!kept.contains("warning"), "{kept}");
        let unjudged = shown(&GateVerdict { judged: None, ..verdict });
        assert!(unjudged.contains("nothing to judge by") && !unjudged.contains("<table"), "{unjudged}");
    }

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
