//! `distill report` as a user runs it, on a committed run whose figures are made up (and whose class and loss want to break the page),
//! and on a recording made here. What it writes is read as strictly as XML and looked at in a real browser, where there is one.
#![cfg(feature = "distill")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use distilled_perception::digest::file_sha256;
use serde_json::Value;
use support::{
    page::{
        Element, assert_links_lead_somewhere, assert_looks_right, assert_self_contained, page, parse, report, sections,
    },
    recording::{self, Shot},
};

const SECTIONS: [&str; 10] =
    ["summary", "accuracy", "curves", "classes", "training", "calibration", "audit", "gallery", "ablation", "repeat"];
/// What the committed run has.
const FILES: [&str; 6] =
    ["config.yaml", "versions.json", "report.json", "audit.json", "ablation.json", "train/metrics.jsonl"];

/// A copy of the committed run.
fn run_folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("hall");
    copy_run(&run);
    (folder, run)
}

fn copy_run(run: &Path) {
    std::fs::create_dir_all(run.join("train")).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/report_run");
    for name in FILES {
        std::fs::copy(fixture.join(name), run.join(name)).unwrap();
    }
}

#[test]
fn the_page_is_whole_well_formed_and_loads_nothing() {
    let (_folder, run) = run_folder();
    let html = page(&run, &[]);
    let (elements, text) = parse(&html);
    assert_self_contained(&elements, &text);
    assert_eq!(sections(&elements), SECTIONS);
    assert_links_lead_somewhere(&elements);
    // Size and time; two classes; terms, loss, validation, rate; two of three models kept their calibration; of the audit two teachers'
    // calibration, scores and counts, four conditions; AP and AP50 of the ablation.
    let charts: Vec<&Element> = elements.iter().filter(|element| element.attribute("class") == Some("chart")).collect();
    assert_eq!(charts.len(), 2 + 2 + 4 + 2 + (2 + 2 + 4) + 2);
    for chart in charts {
        assert_eq!(chart.attribute("role"), Some("img"));
        assert!(
            chart.attribute("aria-label").is_some_and(|label| !label.is_empty())
                && chart.attribute("viewBox").is_some()
        );
    }
    for words in [
        "AP50 of 0.945",
        "3.0 times smaller",
        "6.3 times faster",
        "3 messages were cut off",
        "giou",
        "seed: 7",
        "only 44 % of its boxes are confirmed",
        "truth for 160 of them with 175 objects",
        "helps: AP +0.029 ± 0.002 compared with hard, over 3 seeds",
        "Seed 2 failed: training <diverged> at epoch 3 & ended",
        "distill ablate '/nowhere/my experiments/kinds.yaml'",
    ] {
        assert!(text.contains(words), "{words}");
    }
    assert!(text.contains("There is no gallery") && text.contains("targets"), "the recording is not there");
}

#[test]
fn names_from_outside_stay_text() {
    let (_folder, run) = run_folder();
    let path = run.join("report.json");
    let json = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, json.replace("yolox_nano_416", "</title><script>alert(1)</script>\\u0007")).unwrap();
    let html = page(&run, &[]);
    assert!(!html.contains("<script") && !html.contains("<b>pallet"), "a name became a tag");
    let (elements, text) = parse(&html);
    assert_self_contained(&elements, &text);
    assert!(text.contains("</title><script>alert(1)</script>\u{fffd}") && text.contains("<b>pallet</b> & co"));
}

#[test]
fn what_a_run_lacks_is_left_out() {
    let (_folder, run) = run_folder();
    for name in ["train/metrics.jsonl", "versions.json", "audit.json", "ablation.json"] {
        std::fs::remove_file(run.join(name)).unwrap();
    }
    // As evaluations of earlier versions are.
    let path = run.join("report.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for model in json["models"].as_array_mut().unwrap() {
        let model = model.as_object_mut().unwrap();
        model.remove("curves");
        model.remove("calibration");
    }
    std::fs::write(&path, json.to_string()).unwrap();
    let (elements, text) = parse(&page(&run, &["--no-gallery"]));
    assert_eq!(sections(&elements), ["summary", "accuracy", "classes", "gallery", "repeat"]);
    assert!(text.contains("--no-gallery"));
}

#[test]
fn what_cannot_be_read_is_told_in_its_place() {
    let (_folder, run) = run_folder();
    for name in ["audit.json", "ablation.json"] {
        std::fs::write(run.join(name), "{\"name\": \"<b>\"").unwrap();
    }
    let (elements, text) = parse(&page(&run, &["--no-gallery"]));
    assert_eq!(sections(&elements), SECTIONS);
    for words in ["audit cannot be read: ", "audit.json: ", "ablation cannot be read: ", "ablation.json: "] {
        assert!(text.contains(words), "{words}");
    }
}

#[test]
fn a_run_of_an_ablation_shows_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("kinds/response/seed_2");
    copy_run(&run);
    std::fs::rename(run.join("ablation.json"), folder.path().join("kinds/ablation.json")).unwrap();
    let html = page(&run, &["--no-gallery"]);
    assert!(html.contains("about a run of response;") && html.contains("<tr class=\"student\"><td>response</td>"));
    // Elsewhere nobody looks so far up.
    let other = folder.path().join("kinds/response/mine");
    std::fs::rename(&run, &other).unwrap();
    let (_, text) = parse(&page(&other, &["--no-gallery"]));
    assert!(!text.contains("Every seed"), "{text}");
}

/// Figures of a board, with made-up times: a model of these bytes, and another one.
fn board(name: &str, sha256: &str) -> Value {
    let times = |ms: f64| serde_json::json!({"p50": ms, "p90": ms, "p95": ms, "p99": 2.0 * ms, "max": 3.0 * ms});
    let model = |name: &str, sha256: &str, ms: f64, ratio: f64| {
        let ratio = serde_json::json!({"lower": ratio, "median": ratio, "upper": ratio});
        serde_json::json!({
            "name": name, "path": "x.onnx", "sha256": sha256, "task": "camera_detection", "provider": "cpu",
            "input_shape": [3, 192, 320], "bytes": 500_000, "parameters": 120_000, "macs": null, "found_per_input": 1.5,
            "ratio": {"whole": ratio, "infer": ratio},
            "whole_ms": times(ms), "preprocess_ms": times(0.25), "infer_ms": times(0.5 * ms), "decode_ms": times(0.125),
        })
    };
    serde_json::json!({
        "bench_version": 1, "crate_version": "0.1.0", "board": name,
        "machine": {
            "board": null, "cpu": ["Cortex-A76"], "architecture": "aarch64", "instruction_sets": ["asimd", "asimddp"], "cores": 4,
            "memory_bytes": 8_000_000_000_u64, "system": "Ubuntu 24.04", "kernel": null,
        },
        "runtime": {"version": "1.32.0", "build": null}, "provider": "cpu", "threads": 1,
        "inputs": {"source": "made", "images": 8, "image_sizes": [[640, 480]], "sweeps": 0, "sweep_points": []},
        "rounds": 40, "runs_per_round": 4,
        "models": [model("reference", "00", 8.0, 1.0), model("mine", sha256, 2.0, 0.25)],
    })
}

#[test]
fn figures_of_boards_stand_beside_the_accuracy_of_the_run() {
    let (folder, run) = run_folder();
    let [pi, orin] = ["pi.json", "orin.json"].map(|name| folder.path().join(name));
    std::fs::write(run.join("student.onnx"), "the student").unwrap();
    let sha256 = file_sha256(&run.join("student.onnx")).unwrap();
    std::fs::write(&pi, board("Pi <5>", &sha256).to_string()).unwrap();
    std::fs::write(&orin, board("Orin", "11").to_string()).unwrap();
    let (pi, orin) = (pi.to_str().unwrap(), orin.to_str().unwrap());
    let html = page(&run, &["--no-gallery", "--bench", pi, "--bench", orin]);
    let (elements, text) = parse(&html);
    assert_self_contained(&elements, &text);
    assert_links_lead_somewhere(&elements);
    assert_eq!(sections(&elements)[..3], ["summary", "accuracy", "boards"]);
    for words in
        ["Pi <5>", "Orin", "Cortex-A76, 4 cores", "ONNX Runtime 1.32.0, cpu, 1 thread", "asimddp", "byte by byte"]
    {
        assert!(text.contains(words), "{words}");
    }
    // The student goes by its name in the run, with its AP50 there.
    assert!(
        html.contains("<td>student</td><td>0.945</td><td>0.25</td>") && html.contains("<td>reference</td><td>–</td>")
    );

    let broken = report(&run, &["--bench", run.join("report.json").to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&broken.stderr);
    assert_eq!(broken.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("report.json") && stderr.contains("distill bench --json"), "{stderr}");
}

#[test]
fn the_page_goes_where_it_is_wanted() {
    let (folder, run) = run_folder();
    let wanted = folder.path().join("pages/hall.html");
    let output = report(&run, &["--out", wanted.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(wanted.is_file() && !run.join("report.html").exists());
}

#[test]
fn what_is_no_run_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let output = report(folder.path(), &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(
        stderr.starts_with("error: ") && stderr.contains("config.yaml") && stderr.contains("distill run"),
        "{stderr}"
    );
}

/// What the tiny networks find in every picture of 320 x 240, with a score of 0.75.
const FOUND: [f32; 4] = [120.0, 20.0, 200.0, 60.0];

#[test]
fn the_gallery_shows_the_frames_with_mistakes() {
    if !support::onnx_runtime() {
        return;
    }
    let (folder, run) = run_folder();
    let bag = folder.path().join("bag");
    // Every third picture holds a second object that no network finds.
    let shot = |index: usize| Shot {
        stamp: 1_700_000_000_000_000_000 + index as i64 * 100_000_000,
        image: recording::noise(320, 240, index as u64),
        truth: match index % 3 {
            2 => vec![("class_1", FOUND), ("class_1", [10.0, 100.0, 50.0, 160.0])],
            _ => vec![("class_1", FOUND)],
        },
    };
    recording::write_bag(&bag, &(0..18).map(shot).collect::<Vec<_>>());
    let config = serde_json::json!({
        "name": "hall",
        "output": run,
        "classes": ["class_1"],
        "targets": "truth",
        "data": [{"path": bag, "topic": recording::CAMERA, "truth": {"topic": recording::TRUTH}, "block": "test"}],
        "teachers": [{"name": "tiny", "model": support::tiny_model("tiny_dynamic.onnx")}],
    });
    std::fs::write(run.join("config.yaml"), config.to_string()).unwrap();
    std::fs::copy(support::tiny_model("tiny_yolov8.onnx"), run.join("student.onnx")).unwrap();

    let (elements, text) = parse(&page(&run, &[]));
    assert_self_contained(&elements, &text);
    assert!(text.contains("the labels") && text.contains("out of 18"), "{text}");
    assert!(elements.iter().any(|e| e.tag == "section" && e.attribute("id") == Some("inheritance")));
    // Both miss every second object.
    assert!(
        text.contains("On 18 frames the student makes 6 errors; 6 (100 %) at least one teacher makes, too."),
        "{text}"
    );
    assert!(text.contains("6 of 6 shared") && text.contains("The labels say what is an error."), "{text}");
    // Of the frames 2, 5, 8, 11, 14 and 17 those that are not neighbours.
    for frame in [2, 8, 14] {
        assert!(text.contains(&format!("1 missed – frame {frame} of bag ")), "{frame}: {text}");
    }
    let with = |name: &str, value: &str| elements.iter().filter(|e| e.attribute(name) == Some(value)).count();
    assert_eq!((with("class", "frame"), with("class", "picture")), (3, 3 * 3));
    // Truth has two boxes; student and teacher find the one and miss the other.
    assert_eq!((with("class", "box truth"), with("class", "box hit"), with("class", "box missed")), (6, 6, 6));
    let pictures = elements.iter().filter(|e| e.tag == "image").filter_map(|e| e.attribute("href"));
    assert_eq!(pictures.filter(|address| address.starts_with("data:image/jpeg;base64,")).count(), 3);
}

#[test]
fn browsers_show_it_wide_and_narrow_light_and_dark() {
    let (folder, run) = run_folder();
    page(&run, &[]);
    assert_looks_right(&run.join("report.html"), folder.path());
}

#[test]
fn a_missing_browser_fails_in_ci_and_is_told_elsewhere() {
    let nothing = tempfile::tempdir().unwrap();
    // The test above, where no browser is installed.
    let look = |ci: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["browsers_show_it_wide_and_narrow_light_and_dark", "--exact", "--nocapture"])
            .env("CI", ci)
            .env("DISTILLED_PERCEPTION_CACHE", nothing.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        (output.status.success(), told)
    };
    for ci in ["true", "1"] {
        let (passed, told) = look(ci);
        assert!(!passed && told.contains("which CI must have: scripts/screenshot --install"), "{ci}: {told}");
    }
    for ci in ["false", ""] {
        let (passed, told) = look(ci);
        assert!(passed && told.contains("skipped: no headless browser"), "{ci}: {told}");
    }
}
