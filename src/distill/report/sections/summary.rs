//! What was reached, in plain words.

use super::Section;
use crate::{
    distill::{
        evaluate::{EvaluationReport, Standing},
        report::{
            figures::{factor, percent, share, times},
            folder::RunFolder,
            markup::Markup,
        },
    },
    metrics::LatencySummary,
};

/// The headline and its four figures.
pub(super) fn section(folder: &RunFolder) -> Section {
    let report = &folder.evaluation;
    let body = Markup::of(|html| {
        let Some(standing) = Standing::of(report) else {
            html.leaf("p", &[("class", "lead")], "No student was judged.");
            return;
        };
        html.leaf("p", &[("class", "lead")], &headline(report, &standing));
        show_tiles(html, &tiles(&standing));
        html.leaf("p", &[("class", "note")], &judged_by(report));
        tell_losses(html, &report.losses);
        if report.undecodable > 0 {
            let text = format!("{} frames could not be decoded and are not judged.", report.undecodable);
            html.leaf("p", &[("class", "note warning")], &text);
        }
    });
    Section { id: "summary", title: "Summary", how_to_read: String::new(), body }
}

/// Figures with what they mean, large.
pub(super) fn show_tiles(html: &mut Markup, tiles: &[(String, String)]) {
    html.element("ul", &[("class", "tiles")], |list| {
        for (figure, meaning) in tiles {
            list.element("li", &[], |tile| {
                tile.leaf("strong", &[], figure);
                tile.leaf("span", &[], meaning);
            });
        }
    });
}

/// What of the recordings could not be read.
pub(super) fn tell_losses(html: &mut Markup, losses: &[String]) {
    for loss in losses {
        html.leaf("p", &[("class", "note warning")], &format!("Part of a recording could not be read: {loss}"));
    }
}

fn headline(report: &EvaluationReport, standing: &Standing<'_>) -> String {
    let block = if report.block.is_some() { " that were kept from its training" } else { "" };
    let mut text = match standing.student.ap50 {
        Some(ap50) => {
            let classes = report.classes.join(", ");
            format!("On {} frames{block}, the student finds {classes} with an AP50 of {ap50:.3}", report.frames)
        }
        None => format!("The student was run on {} frames; there was nothing to judge it by", report.frames),
    };
    let Some(teacher) = standing.teacher else {
        text.push_str(". No teacher was judged beside it.");
        return text;
    };
    if let (Some(share), Some(ap50)) = (standing.share(), teacher.ap50) {
        text.push_str(&format!(", {} of what its best teacher {} reaches ({ap50:.3})", percent(share), teacher.name));
    }
    text.push('.');
    let smaller = standing.smaller().map(|ratio| times(ratio, "smaller", "larger", "large"));
    let faster = standing.faster().map(|ratio| times(ratio, "faster", "slower", "fast"));
    let compared: Vec<String> = [smaller, faster].into_iter().flatten().collect();
    if !compared.is_empty() {
        text.push_str(&format!(" Compared with that teacher it is {}.", compared.join(" and ")));
    }
    text
}

/// Figures with what they mean.
fn tiles(standing: &Standing<'_>) -> Vec<(String, String)> {
    let student = standing.student;
    let mut tiles = vec![(share(student.ap50), "AP50 of the student (1 is perfect)".to_owned())];
    if let Some(share) = standing.share() {
        tiles.push((percent(share), "of the best teacher’s AP50".to_owned()));
    }
    let parameters = student.parameters as f64 / 1e6;
    tiles.push(match standing.smaller() {
        Some(ratio) => (format!("{}×", factor(ratio)), format!("fewer parameters ({parameters:.2} M)")),
        None => (format!("{parameters:.2} M"), "parameters".to_owned()),
    });
    let median = student.latency_ms.map(|LatencySummary { p50, .. }| p50);
    match (standing.faster(), median) {
        (Some(ratio), Some(p50)) => {
            tiles.push((format!("{}×", factor(ratio)), format!("the speed ({p50:.2} ms an image, one thread)")));
        }
        (None, Some(p50)) => tiles.push((format!("{p50:.2} ms"), "an image, one thread".to_owned())),
        (_, None) => {}
    }
    tiles
}

/// What counted as true, and what that means for the figures.
fn judged_by(report: &EvaluationReport) -> String {
    let meaning = if report.truth == "labels" {
        "People or a simulator have labelled the frames."
    } else if report.truths == 0 {
        "There was nothing to find, so there are no figures of accuracy."
    } else {
        "So the figures tell how well the student does what its teachers do, not how well it sees what is really there; where all \
         teachers are wrong, it is right to be wrong."
    };
    format!("Truth: {}; {} objects were to be found. {meaning}", report.truth, report.truths)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::distill::evaluate::{ModelReport, Role};

    /// A student and two teachers, the second of them as good as the first and slower.
    pub(in crate::distill::report) fn evaluation() -> EvaluationReport {
        let model = |name: &str, role, ap50: f64, parameters: u64, p50: f64| ModelReport {
            name: name.into(),
            role,
            path: format!("{name}.onnx"),
            ap: Some(0.8),
            ap50: Some(ap50),
            ap75: Some(0.85),
            per_class: Vec::new(),
            curves: Vec::new(),
            calibration: None,
            parameters,
            bytes: 4 * parameters,
            macs: None,
            latency_ms: Some(LatencySummary { p50, p90: p50, p95: p50, p99: p50, max: p50 }),
            knows: Vec::new(),
            detections: Vec::new(),
        };
        EvaluationReport {
            data: vec!["bag".into()],
            block: Some(crate::distill::split::Block::Test),
            truth: "labels".into(),
            classes: vec!["person".into()],
            frames: 174,
            truths: 137,
            undecodable: 0,
            lost_data: false,
            losses: Vec::new(),
            latency_rounds: 10,
            per_recording: Vec::new(),
            models: vec![
                model("student", Role::Student, 0.9, 300_000, 2.0),
                model("quick", Role::Teacher, 1.0, 900_000, 12.0),
                model("slow", Role::Teacher, 1.0, 1_200_000, 24.0),
            ],
        }
    }

    #[test]
    fn the_headline_compares_with_the_best_and_quickest_teacher() {
        let report = evaluation();
        let text = headline(&report, &Standing::of(&report).unwrap());
        for words in [
            "174 frames",
            "AP50 of 0.900",
            "90.0 % of what its best teacher quick",
            "3.0 times smaller",
            "6.0 times faster",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn without_teachers_the_student_stands_alone() {
        let mut report = evaluation();
        report.models.truncate(1);
        report.models[0].ap50 = None;
        let standing = Standing::of(&report).unwrap();
        let text = headline(&report, &standing);
        assert!(text.contains("nothing to judge") && text.contains("No teacher"), "{text}");
        assert_eq!(tiles(&standing).len(), 3);
        report.models.clear();
        assert!(Standing::of(&report).is_none());
    }
}
