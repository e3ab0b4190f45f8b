//! `distill report` of a lidar student's run, whose figures are made up: the page needs neither recordings nor models.
#![cfg(feature = "distill")]

mod support;

use std::path::{Path, PathBuf};

use distilled_perception::distill::lidar::{
    evaluate::JudgeBy,
    gallery::{ShownSweep, SweepGallery},
};
use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use support::page::{
    assert_links_lead_somewhere, assert_looks_right, assert_self_contained, page, parse, report, sections,
};

const SECTIONS: [&str; 9] =
    ["summary", "accuracy", "curves", "classes", "labels", "calibration", "training", "gallery", "repeat"];

const CONFIG: &str = "
task: lidar
name: hall
seed: 7
classes: [leg, person]
output: out
data:
  - path: bags/monday
    labels: [truth: {poses: /legs, class: leg}]
";

/// A run of two recordings that a camera labelled, the second with a calibration that is off.
fn run_folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("hall");
    std::fs::create_dir_all(run.join("train")).unwrap();
    std::fs::write(run.join("config.yaml"), CONFIG).unwrap();
    std::fs::write(run.join("versions.json"), json!({"burn": "0.22.1"}).to_string()).unwrap();
    write_result(&run, &result());
    let epochs = (1..=5u32).map(|epoch| {
        let value = f64::from(epoch);
        let line = json!({
            "epoch": epoch, "step": 10 * epoch, "loss": 2.0 / value,
            "terms": {"class": 1.0 / value, "vote": 0.5 / value, "size": 0.2 / value, "yaw": 0.1 / value},
            "gradient_norm": 1.0, "learning_rate": 0.001 / value, "validation_ap": 0.1 * value, "validation_ap50": 0.15 * value,
            "validation_point_iou": 0.12 * value, "best": epoch == 4, "seconds": 2.0,
        });
        format!("{line}\n")
    });
    std::fs::write(run.join("train/metrics.jsonl"), epochs.collect::<String>()).unwrap();
    let shown = |number: usize| ShownSweep {
        picture: format!("{number:02}.png"),
        recording: "friday".into(),
        stamp: 1_700_000_000_250_000_000 + number as i64 * 1_000_000_000,
        reach: 8.0,
        objects: 3,
        missed: 2 - number,
        false_alarms: number,
    };
    let gallery = SweepGallery {
        by: JudgeBy::Truth,
        distance: 0.5,
        compared: 174,
        size: 64,
        sweeps: (0..2).map(shown).collect(),
    };
    let picture = RgbImage::from_pixel(64, 64, Rgb([250, 250, 250]));
    gallery.write(&[picture.clone(), picture], &run).unwrap();
    (folder, run)
}

fn write_result(run: &Path, result: &Value) {
    std::fs::write(run.join("report.json"), result.to_string()).unwrap();
}

fn result() -> Value {
    let classes = json!(["leg", "person"]);
    let class = |name: &str, truths: usize, ap: f64| {
        json!({
            "class": name, "truths": truths, "ap": ap, "precision": (0..=100).map(|r| 1.0 - 0.004 * f64::from(r)).collect::<Vec<_>>(),
            "best_f1": {"f1": 0.8, "score": 0.4, "precision": 0.85, "recall": 0.75}, "mean_distance": 0.08,
        })
    };
    let centers = |distance: f64, ap: f64| {
        json!({
            "distance": distance, "ap": ap, "sweeps": 174,
            "per_class": [class("leg", 300, ap + 0.01), class("person", 40, ap - 0.01)],
        })
    };
    let iou = |name: &str| json!({"class": name, "points": 900, "iou": 0.7, "precision": 0.8, "recall": 0.9});
    let latency = |p50: f64| json!({"p50": p50, "p90": p50, "p99": p50, "max": p50});
    let facts = |yaw: f64, now: f64, best: f64, is_suspect: bool| {
        let source = |name: &str| {
            json!({
                "name": name, "background": 60_000,
                "classes": [{"class": "leg", "points": 9000, "objects": 700}, {"class": "person", "points": 6000, "objects": 90}],
            })
        };
        json!({
            "classes": classes, "sweeps": 500, "without_labels": 3, "without_truth": 0, "without_image": 12,
            "without_transform": 0, "points": 100_000, "ignored": 25_000, "sources": [source("camera")],
            "truth": source("truth /truth/points"),
            "calibration": {
                "yaw_degrees": yaw, "pitch_degrees": 0.0, "samples": 240, "agreement_now": now, "agreement_best": best,
                "is_suspect": is_suspect,
            },
        })
    };
    json!({
        "task": "lidar", "name": "hall", "classes": classes, "data": ["monday", "friday"],
        "labels": [facts(0.2, 0.41, 0.42, false), facts(2.6, 0.11, 0.39, true)],
        "losses": ["friday: 3 messages were cut off"],
        "student": {
            "options": {"by": "truth", "distances": [0.25, 0.5], "min_points": 1, "max_distance": 0.0, "latency_sweeps": 200},
            "classes": classes, "sweeps": 174, "unjudged": 0, "centers": [centers(0.25, 0.75), centers(0.5, 0.845)],
            "points": {"mean": 0.7, "per_class": [iou("leg"), iou("person")], "points": 40_000},
            "infer_ms": latency(0.9), "whole_ms": latency(1.3), "parameters": 123_456, "bytes": 512_000, "macs": 9_000_000,
        },
    })
}

#[test]
fn the_page_is_whole_well_formed_and_loads_nothing() {
    let (_folder, run) = run_folder();
    let (elements, text) = parse(&page(&run, &[]));
    assert_self_contained(&elements, &text);
    assert_eq!(sections(&elements), SECTIONS);
    assert_links_lead_somewhere(&elements);
    let with = |class: &str| elements.iter().filter(|element| element.attribute("class") == Some(class)).count();
    // Objects and points; two classes; labels; agreement; terms, loss, validation, rate.
    assert_eq!(with("chart"), 2 + 2 + 1 + 1 + 4);
    assert_eq!(with("picture sweep"), 2);
    let pictures = elements.iter().filter(|element| element.tag == "image").filter_map(|e| e.attribute("href"));
    assert_eq!(pictures.filter(|address| address.starts_with("data:image/png;base64,")).count(), 2);
    for words in [
        "On 174 sweeps",
        "finds leg, person with an average precision of 0.845, where a centre within 0.5 m is right",
        "340 objects were to be found",
        "3 messages were cut off",
        "0.123 M parameters, 512.0 kB, 9.0 MMAC; on one thread 0.900 ms the network, 1.300 ms the whole",
        "25.0 % of their points ignored, 3 without any label, 12 without a camera image",
        "truth /truth/points (to judge by)",
        "the weights of epoch 4 are kept",
        "1. 2 missed",
        "2. 1 missed, 1 false alarm",
        "out of 174",
        "seed: 7",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_suspect_calibration_is_told_at_once_and_in_full() {
    let (_folder, run) = run_folder();
    let html = page(&run, &[]);
    let (_, text) = parse(&html);
    for words in [
        "calibration of camera and lidar is suspect in friday:",
        "friday: suspect – the camera seems to look 2.6 degrees farther to the left",
        "monday: fits – camera and lidar fit together by 0.41",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    for cell in ["<td class=\"left\">suspect</td><td>+2.6</td><td>+0.0</td><td>0.110</td><td>0.390</td>", ">fits</td>"]
    {
        assert!(html.contains(cell), "{cell}: {html}");
    }
}

#[test]
fn few_boxes_are_no_verdict_and_without_a_camera_there_is_none() {
    let (_folder, run) = run_folder();
    let mut result = result();
    for facts in result["labels"].as_array_mut().unwrap() {
        facts["calibration"]["samples"] = json!(4);
        facts["calibration"]["is_suspect"] = json!(false);
    }
    write_result(&run, &result);
    let (_, text) = parse(&page(&run, &[]));
    assert!(text.contains("monday: not known – 4 boxes") && !text.contains("is suspect in"), "{text}");
    for facts in result["labels"].as_array_mut().unwrap() {
        facts["calibration"] = Value::Null;
    }
    write_result(&run, &result);
    let (elements, _) = parse(&page(&run, &[]));
    assert!(!sections(&elements).contains(&"calibration"));
}

#[test]
fn names_from_outside_stay_text() {
    let (_folder, run) = run_folder();
    let json =
        result().to_string().replace("friday", "<i>friday</i>").replace("person", "<script>person & co</script>");
    std::fs::write(run.join("report.json"), json).unwrap();
    let html = page(&run, &[]);
    assert!(!html.contains("<script") && !html.contains("<i>"), "a name became a tag");
    let (elements, text) = parse(&html);
    assert_self_contained(&elements, &text);
    assert!(text.contains("<script>person & co</script>") && text.contains("<i>friday</i>: suspect"), "{text}");
}

#[test]
fn what_a_run_lacks_is_left_out() {
    let (_folder, run) = run_folder();
    let (_, text) = parse(&page(&run, &["--no-gallery"]));
    assert!(text.contains("There is no gallery") && text.contains("--no-gallery"), "{text}");
    std::fs::remove_file(run.join("gallery/00.png")).unwrap();
    let (_, text) = parse(&page(&run, &[]));
    assert!(text.contains("Its picture 00.png is not there any more."), "{text}");
    for name in ["gallery/gallery.json", "train/metrics.jsonl", "versions.json"] {
        std::fs::remove_file(run.join(name)).unwrap();
    }
    // As runs of earlier versions are.
    let mut earlier = result();
    earlier.as_object_mut().unwrap().remove("losses");
    for facts in earlier["labels"].as_array_mut().unwrap() {
        let facts = facts.as_object_mut().unwrap();
        facts.remove("points");
        facts.remove("ignored");
    }
    write_result(&run, &earlier);
    let (elements, text) = parse(&page(&run, &[]));
    assert_eq!(
        sections(&elements),
        ["summary", "accuracy", "curves", "classes", "labels", "calibration", "gallery", "repeat"]
    );
    assert!(text.contains("has drawn no sweeps") && !text.contains("points ignored"), "{text}");
}

#[test]
fn a_report_of_another_task_is_told() {
    let (_folder, run) = run_folder();
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/report_run/report.json");
    std::fs::copy(other, run.join("report.json")).unwrap();
    support::refused(&report(&run, &[]), 2, &["report.json", "distill run"]);
}

#[test]
fn browsers_show_it_wide_and_narrow_light_and_dark() {
    let (folder, run) = run_folder();
    page(&run, &[]);
    assert_looks_right(&run.join("report.html"), folder.path());
}
