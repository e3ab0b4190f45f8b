//! The variants of an experiment side by side.

use super::{
    Section,
    table::{figure_table, folded},
};
use crate::distill::{
    ablate::{Ablation, VariantResult, Verdict},
    report::{ablation::dot_plots, folder::RunFolder, markup::Markup},
    shell::quoted,
};

/// The ablation that the run is a part of; none when it is of none.
pub(super) fn section(folder: &RunFolder) -> Option<Section> {
    match folder.ablation.as_ref()? {
        Ok(ablation) => Some(of(ablation, folder.variant.as_deref())),
        Err(reason) => {
            let text = format!("The ablation cannot be read: {reason}. The same distill ablate writes it anew.");
            let body = Markup::of(|html| {
                html.leaf("p", &[("class", "note warning")], &text);
            });
            Some(Section { id: "ablation", title: "Ablation", how_to_read: String::new(), body })
        }
    }
}

/// Verdicts, dot plots and tables of an ablation; `own` is the variant that the page is about.
pub(in crate::distill::report) fn of(ablation: &Ablation, own: Option<&str>) -> Section {
    let place = ablation.variants.iter().position(|variant| Some(variant.name.as_str()) == own);
    let body = Markup::of(|html| {
        html.element("ul", &[("class", "findings")], |list| {
            for variant in &ablation.variants {
                list.element("li", &[], |item| {
                    item.leaf("strong", &[], &variant.name);
                    item.text(&verdict(variant, ablation));
                });
            }
        });
        html.leaf("h3", &[], "Every seed");
        html.leaf(
            "p",
            &[("class", "how")],
            "A dot is a training, the upright stroke the mean of a variant’s seeds, the lying one a standard deviation to each side; the \
             dashed line is the baseline’s mean. Where dots of two variants mix, a difference of their means may be chance.",
        );
        html.element("div", &[("class", "charts")], |charts| {
            for plot in dot_plots(ablation) {
                charts.append(&plot.figure());
            }
        });
        html.append(&figure_table(&ablation.table(), place));
        html.leaf("p", &[("class", "note")], &ablation.notes());
        if let Some(classes) = ablation.class_table() {
            html.append(&folded("AP50 of each class", &figure_table(&classes, None)));
        }
        for recordings in ablation.recording_tables() {
            let title = recordings.header.first().cloned().unwrap_or_default();
            html.append(&folded(&title, &figure_table(&recordings, place)));
        }
        html.append(&folded("How it was made", &origin(ablation)));
    });
    Section { id: "ablation", title: "Ablation", how_to_read: how_to_read(ablation, place), body }
}

fn how_to_read(ablation: &Ablation, own: Option<usize>) -> String {
    let count = ablation.variants.len();
    let mut text = format!(
        "The same experiment in {count} variants, each trained with {}: what differs between variants by more than between seeds of one is \
         the variant’s doing.",
        counted(ablation.seeds.len(), "seed", "seeds")
    );
    if let Some(own) = own {
        text.push_str(&format!(
            " This page is about a run of {}; the figures are those of the last distill ablate.",
            ablation.variants[own].name
        ));
    }
    text
}

/// What is to be said of a variant after its name.
fn verdict(variant: &VariantResult, ablation: &Ablation) -> String {
    let about = if variant.about.is_empty() { String::new() } else { format!(" ({})", variant.about) };
    let baseline = ablation.variants.iter().find(|variant| variant.baseline);
    let said = match (variant.verdict, variant.difference, baseline) {
        (Verdict::Baseline, ..) => "what the others are compared with".to_owned(),
        (verdict, Some(difference), Some(baseline)) => format!(
            "{}: AP {difference} compared with {}, over {}",
            verdict.words(),
            baseline.name,
            counted(difference.pairs, "seed", "seeds")
        ),
        _ if variant.ap.is_none() => "no figures".to_owned(),
        _ => "not compared".to_owned(),
    };
    let failed = ablation.failed().into_iter().filter(|(name, _)| *name == variant.name);
    let reasons: Vec<String> = failed
        .map(|(_, run)| format!(" Seed {} failed: {}.", run.seed, run.failure.as_deref().unwrap_or("nobody knows why")))
        .collect();
    format!("{about}: {said}.{}", reasons.concat())
}

/// The command and what it changed.
fn origin(ablation: &Ablation) -> Markup {
    let words: Vec<String> = ablation.command.iter().map(|word| quoted(word)).collect();
    let mut lines = vec![words.join(" "), String::new(), format!("experiment: {}", ablation.experiment)];
    lines.push(format!("distilled_perception {}", ablation.version));
    for (key, value) in &ablation.set {
        lines.push(format!("all: {key}={}", serde_json::to_string(value).unwrap_or_default()));
    }
    lines.extend(ablation.command_line_set.iter().map(|set| format!("all: {set}")));
    for variant in &ablation.variants {
        for (key, value) in &variant.set {
            lines.push(format!("{}: {key}={}", variant.name, serde_json::to_string(value).unwrap_or_default()));
        }
    }
    Markup::of(|html| {
        html.element("pre", &[], |pre| {
            pre.leaf("code", &[], &lines.join("\n"));
        });
    })
}

fn counted(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::ablate::example;

    #[test]
    fn verdicts_stand_in_words_and_the_own_variant_is_marked() {
        let section = of(&example(), Some("better"));
        let html = section.body.as_str();
        for words in [
            "<strong>hard</strong> (&lt;hard&gt; &amp; co): what the others are compared with.",
            "helps: AP +0.050 ± 0.006 compared with hard, over 3 seeds.",
            "no difference seen: AP",
            "no figures. Seed 1 failed: training &lt;diverged&gt; &amp; ended.",
            "<tr class=\"student\"><td>better</td>",
            "AP50 of each class",
            "<th>x smaller</th><th>x faster</th>",
            "<td>8.0 ± 0.0</td><td>10.0 ± 0.5</td>",
            "<summary>AP50 by recording</summary>",
            "<th>hall</th><th>yard</th>",
            "Judged by boxes of a and b",
        ] {
            assert!(html.contains(words), "{words}: {html}");
        }
        assert_eq!((html.matches("class=\"chart\"").count(), html.matches("class=\"dot c0\"").count()), (2, 16));
        assert!(section.how_to_read.contains("4 variants") && section.how_to_read.contains("run of better;"));
    }

    #[test]
    fn without_a_baseline_nothing_is_claimed() {
        let mut ablation = example();
        for variant in &mut ablation.variants {
            (variant.baseline, variant.difference, variant.verdict) = (false, None, Verdict::Unknown);
        }
        let html = of(&ablation, None).body;
        assert!(html.as_str().contains("</strong> (&lt;better&gt; &amp; co): not compared."), "{}", html.as_str());
        assert!(!html.as_str().contains("class=\"mark\"") && !html.as_str().contains("tr class=\"student\""));
    }
}
