//! The bundles in models/: small enough to keep, made by the experiments that lie beside them, runnable, and described by their own
//! figures.

mod support;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use distilled_perception::model::{
    Detector, ModelSpec, SessionOptions,
    bundle::{BundleMetadata, Task, read_metadata, task_of},
    lidar::{LidarDetector, LidarSpec},
};
use serde_json::{Map, Value};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What the teachers of five classes know.
const FIVE: [&str; 5] = ["person", "forklift", "pallet", "cart", "cone"];

/// Each bundle with its experiment and its classes.
const SHIPPED: [(&str, &str, &[&str]); 4] = [
    ("models/warehouse_base.onnx", "models/warehouse_base.yaml", &["person", "forklift", "pallet"]),
    ("models/warehouse_small.onnx", "models/warehouse_small.yaml", &["person", "forklift", "pallet"]),
    ("models/warehouse5_small.onnx", "models/warehouse5_small.yaml", &FIVE),
    ("models/indoor_person.onnx", "config/distill/indoor_person.yaml", &["person"]),
];

#[test]
fn shipped_models_are_small_and_tell_the_experiment_that_made_them() {
    for (model, experiment, classes) in SHIPPED {
        let bytes = fs::metadata(root(model)).unwrap().len();
        assert!(bytes < 5_000_000, "{model}: {bytes} bytes");
        let metadata = read_metadata::<ModelSpec>(root(model)).unwrap().expect("a bundle");
        assert_eq!(metadata.spec.classes, classes, "{model}");
        let written = fs::read_to_string(root(experiment)).unwrap();
        assert_eq!(metadata.provenance.config, written, "{model} was not made by {experiment} as it stands");
        assert!(metadata.figures["ap50"].as_f64().unwrap() > 0.8, "{model}: {:?}", metadata.figures);
    }
}

/// Each lidar bundle with its experiment.
const SHIPPED_LIDAR: [(&str, &str); 3] = [
    ("models/legs.onnx", "config/distill/legs.yaml"),
    ("models/warehouse_lidar.onnx", "models/warehouse_lidar.yaml"),
    ("models/warehouse_lidar_small.onnx", "models/warehouse_lidar.yaml"),
];

#[test]
fn shipped_lidar_models_are_small_and_tell_the_experiment_that_made_them() {
    for (model, experiment) in SHIPPED_LIDAR {
        let bytes = fs::metadata(root(model)).unwrap().len();
        assert!(bytes < 1_000_000, "{model}: {bytes} bytes");
        let metadata = read_metadata::<LidarSpec>(root(model)).unwrap().expect("a bundle");
        let written = fs::read_to_string(root(experiment)).unwrap();
        assert_eq!(metadata.provenance.config, written, "{model} was not made by {experiment} as it stands");
    }
}

/// What was cut and has learnt again comes of the experiment that the ladder names, in all that a cut does not change.
#[test]
#[cfg(feature = "distill")]
fn the_compressed_student_was_made_by_the_ladder_that_lies_here() {
    use distilled_perception::distill::{
        compress::ladder::LadderConfig,
        config::{Experiment, StudentSection, TrainConfig},
    };
    let metadata = read_metadata::<ModelSpec>(root("models/indoor_person_small.onnx")).unwrap().expect("a bundle");
    let ladder = LadderConfig::load(&root("config/distill/compress.yaml"), &[]).unwrap();
    let first = Experiment::load(&ladder.experiment, &[]).unwrap();
    let made: Experiment = serde_yaml::from_str(&metadata.provenance.config).unwrap();
    assert_eq!((made.seed, Some(made.seed)), (first.seed, ladder.seed));
    assert_eq!((&made.classes, &made.split, made.targets), (&first.classes, &first.split, first.targets));
    assert_eq!((&made.losses, &made.augment, &made.evaluate), (&first.losses, &first.augment, &first.evaluate));
    let names = |paths: Vec<&PathBuf>| -> Vec<String> {
        paths.into_iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    let models = |experiment: &Experiment| names(experiment.teachers.iter().map(|teacher| &teacher.model).collect());
    let data = |experiment: &Experiment| names(experiment.data.iter().map(|data| &data.path).collect());
    assert_eq!((models(&made), data(&made)), (models(&first), data(&first)));
    let StudentSection { channels, inherit, .. } = made.student.clone();
    assert!(channels.is_some() && inherit.is_some(), "it was cut, and learnt again");
    assert_eq!(made.student, StudentSection { channels, inherit, ..first.student });
    assert_eq!(Some(made.train.epochs), ladder.recovery_epochs);
    let TrainConfig { epochs, learning_rate, .. } = made.train;
    assert_eq!(made.train, TrainConfig { epochs, learning_rate, ..first.train });
    assert!(made.distillation.retain.is_some(), "the uncut student taught");
    let bytes = fs::metadata(root("models/indoor_person_small.onnx")).unwrap().len();
    assert!(ladder.constraints.size_kb.is_some_and(|most| bytes as f64 / 1e3 <= most), "{bytes} bytes");
}

/// The bundles of models/, by name.
fn bundles() -> Vec<PathBuf> {
    let entries = fs::read_dir(root("models")).unwrap().map(|entry| entry.unwrap().path());
    let mut bundles: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "onnx")).collect();
    bundles.sort();
    bundles
}

/// What a student was worth on its test block, by its own figures; none where it has none.
fn test_words(figures: &Map<String, Value>) -> Option<String> {
    let number = |value: &Value| value.as_f64();
    if let Some(ap50) = figures.get("ap50").and_then(number) {
        let (ap, truth) = (number(&figures["ap"])?, figures["truth"].as_str()?);
        return Some(format!("AP50 {ap50:.3}, AP {ap:.3} on {} frames; truth: {truth}", figures["frames"]));
    }
    let nearest = figures.get("centers")?.get(0)?;
    let (ap, distance, points) =
        (number(&nearest["ap"])?, number(&nearest["distance"])?, number(&figures["points"]["mean"])?);
    let by = figures["options"]["by"].as_str()?;
    Some(format!("AP within {distance} m {ap:.3}, IoU of points {points:.3} on {} sweeps, by {by}", figures["sweeps"]))
}

/// All that is to be said of a student's worth: its own figures, or those of the float student that it was made of, and what fewer bits
/// cost on the validation block.
fn worth_words(figures: &Map<String, Value>) -> String {
    let mut words = Vec::new();
    match (test_words(figures), figures.get("float").and_then(Value::as_object).and_then(test_words)) {
        (Some(own), _) => words.push(own),
        (None, Some(float)) => words.push(format!("its float student: {float}")),
        (None, None) => {}
    }
    if let Some(worth) = figures.get("quantization").map(|quantization| &quantization["validation"]) {
        let number = |key: &str| worth[key].as_f64().unwrap();
        let (own, float, agreement) = (number("ap50"), number("float_ap50"), number("agreement"));
        words.push(format!(
            "on {} validation frames {own:.3} beside {float:.3} of the float student, agreement F1 {agreement:.3}",
            worth["frames"]
        ));
    }
    words.join("; ")
}

/// The row of a bundle.
fn row<S>(path: &Path, metadata: &BundleMetadata<S>, classes: &[String], input: [usize; 2]) -> String {
    let provenance = &metadata.provenance;
    let precision = if provenance.precision.is_empty() { "float32" } else { &provenance.precision };
    let teachers: Vec<&str> = provenance.teachers.iter().map(|teacher| teacher.name.as_str()).collect();
    let teachers = if teachers.is_empty() { "truth".to_owned() } else { teachers.join(", ") };
    let (name, bytes) = (path.file_name().unwrap().to_str().unwrap(), fs::metadata(path).unwrap().len());
    let [columns, rows] = input;
    format!(
        "| `{name}` | {} | {columns}x{rows} | {precision} | {} | {:.0} | {} | {teachers} |\n",
        classes.join(", "),
        metadata.parameters,
        bytes as f64 / 1e3,
        worth_words(&metadata.figures).replace('|', "\\|")
    )
}

/// The figures of all bundles, as a table in Markdown.
fn table() -> String {
    let mut table = "| file | classes | input | computes in | parameters | kB | on its test block | taught by |\n\
                     |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for path in bundles() {
        match task_of(&path).unwrap().expect("a bundle") {
            Task::CameraDetection => {
                let metadata = read_metadata::<ModelSpec>(&path).unwrap().expect("a bundle");
                let input = [metadata.spec.input.width, metadata.spec.input.height];
                table += &row(&path, &metadata, &metadata.spec.classes, input);
            }
            Task::LidarDetection => {
                let metadata = read_metadata::<LidarSpec>(&path).unwrap().expect("a bundle");
                let input = [metadata.spec.grid.columns, metadata.spec.grid.rows];
                table += &row(&path, &metadata, &metadata.spec.classes, input);
            }
        }
    }
    table
}

#[test]
fn models_are_documented_by_their_own_figures() {
    let file = root("models/README.md");
    let text = fs::read_to_string(&file).unwrap();
    let (begin, end) = ("<!-- figures of the bundles -->\n", "<!-- end -->");
    let start = text.find(begin).expect("models/README.md lacks the line before the table") + begin.len();
    let end = start + text[start..].find(end).expect("models/README.md lacks the line behind the table");
    let table = table();
    if text[start..end] != table {
        assert!(
            env::var_os("BLESS").is_some(),
            "models/README.md says something else than the bundles; `BLESS=1 scripts/test documented` writes:\n{table}"
        );
        fs::write(&file, format!("{}{table}{}", &text[..start], &text[end..])).unwrap();
    }
    // Every bundle is described by people, too.
    for path in bundles() {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(text[..start].contains(&format!("| `{name}` |")), "models/README.md does not tell what {name} is");
    }
}

/// What `distill compress config/distill/compress.yaml` chose: the size that its ladder wants, and a detector that runs.
#[test]
fn the_compressed_student_is_small_and_runs() {
    let path = root("models/indoor_person_small.onnx");
    assert!(fs::metadata(&path).unwrap().len() <= 500_000);
    let metadata = read_metadata::<ModelSpec>(&path).unwrap().expect("a bundle");
    assert!(metadata.provenance.config.contains("channels:"), "it was cut");
    assert!(metadata.figures["float"]["ap50"].as_f64().unwrap() > 0.97, "{:?}", metadata.figures);
    assert!(metadata.figures["quantization"].is_object(), "{:?}", metadata.figures);
    // Its own, beside those of its float student.
    assert!(metadata.figures["ap50"].as_f64().unwrap() > 0.97 && metadata.figures["block"] == "test");
    if support::onnx_runtime() {
        let mut detector = Detector::load(&path, &SessionOptions::default()).unwrap();
        detector.detect(&image::RgbImage::new(640, 360)).unwrap();
    }
}

/// The lidar student in int8.
#[test]
fn the_small_lidar_student_is_small_and_runs() {
    let path = root("models/warehouse_lidar_small.onnx");
    assert!(fs::metadata(&path).unwrap().len() <= 500_000);
    let metadata = read_metadata::<LidarSpec>(&path).unwrap().expect("a bundle");
    assert!(metadata.figures["quantization"].is_object(), "{:?}", metadata.figures);
    if support::onnx_runtime() {
        LidarDetector::load(&path, &SessionOptions::default()).unwrap().warm_up().unwrap();
    }
}

#[test]
fn shipped_models_run() {
    if !support::onnx_runtime() {
        return;
    }
    for (model, _, classes) in SHIPPED {
        let mut detector = Detector::load(root(model), &SessionOptions::default()).unwrap();
        for detection in detector.detect(&image::RgbImage::new(640, 360)).unwrap().detections {
            assert!(
                detection.bbox.is_valid() && detection.probabilities.len() == classes.len(),
                "{model}: {detection:?}"
            );
        }
    }
}

/// A warehouse that neither teacher was trained on; docs/results tells what they reach on a longer one.
#[test]
#[cfg(feature = "distill")]
fn warehouse_teachers_find_what_is_in_a_warehouse() {
    if !support::onnx_runtime() {
        return;
    }
    let distill = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_distill"));
        let output = command.args(arguments).stdin(std::process::Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let folder = tempfile::tempdir().unwrap();
    let bag = folder.path().join("bag");
    let bag = bag.to_str().unwrap();
    distill(&["synth", "--out", bag, "--seed", "4711", "--seconds", "8", "--rate", "5"]);
    let models = SHIPPED.map(|(model, ..)| root(model));
    let (base, small) = (models[0].to_str().unwrap(), models[1].to_str().unwrap());
    let mut arguments = vec!["evaluate", "--model", base, "--model", small, "--data", bag];
    arguments.extend(["--labels", "/truth/detections_2d", "--latency-rounds", "1", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&distill(&arguments)).unwrap();
    for model in 0..2 {
        let ap50 = report["models"][model]["ap50"].as_f64();
        assert!(ap50 > Some(0.5), "{}: AP50 {ap50:?}", SHIPPED[model].0);
    }
}
