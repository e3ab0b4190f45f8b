//! Wrong input to every subcommand of `distill`: exit code 2, one line that names what is wrong and tells no cause twice, and
//! nothing half-made left behind. The inputs are made here; only the networks are committed ones.
#![cfg(feature = "distill")]

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use distilled_perception::{
    distill::bag::{BagWriter, OfferedQos},
    messages::LaserScan,
};
use support::recording::{self, Shot};

/// A command line, its words apart by spaces, and what its error has to name.
type Case = (&'static str, &'static [&'static str]);

/// What is no option or value at all: clap tells it, with the usage below.
const USAGE: &[Case] = &[
    ("frobnicate", &["frobnicate"]),
    ("inspect", &["<BAG>"]),
    ("inspect bag --frobnicate", &["--frobnicate"]),
    ("synth", &["--out"]),
    ("synth --out out --seconds soon", &["--seconds", "soon"]),
    ("label", &["--data", "--classes", "--out"]),
    ("label --data bag --classes class_1 --out out", &["--teacher"]),
    ("label --data bag --teacher tiny.onnx --classes class_1 --out out --shard 5/4", &["--shard", "5/4"]),
    ("audit", &["<CONFIG.yaml>"]),
    ("audit experiment.yaml --resume", &["--resume"]),
    ("train", &["<CONFIG.yaml>"]),
    ("train experiment.yaml --resume --restart", &["--resume", "--restart"]),
    ("run", &["<CONFIG.yaml>"]),
    ("run experiment.yaml --epochs 3", &["--epochs"]),
    ("evaluate", &["--model", "--data"]),
    ("evaluate --model tiny.onnx --data bag --labels /truth --targets broken/targets", &["--labels", "--targets"]),
    ("evaluate --model tiny.onnx --data bag --latency-rounds 0", &["--latency-rounds"]),
    ("evaluate --model tiny.onnx --data bag --block morning", &["--block", "morning"]),
    ("teacher", &["<MODEL>"]),
    ("teacher tiny.onnx --all", &["--tensors"]),
    ("teacher tiny.onnx --json", &["--tensors"]),
    ("completions", &["<SHELL>"]),
    ("completions tcsh", &["tcsh"]),
];

const INSPECT: &[Case] = &[
    ("inspect missing", &["missing"]),
    ("inspect missing.mcap --json", &["missing.mcap"]),
    ("inspect notes.txt", &["notes.txt"]),
    ("inspect notes.txt --json", &["notes.txt"]),
    ("inspect zero.mcap", &["zero.mcap"]),
    ("inspect empty_folder", &["empty_folder"]),
    ("inspect no_messages", &["no_messages"]),
    ("inspect no_messages/no_messages_0.mcap", &["no_messages_0.mcap"]),
];

const SYNTH: &[Case] = &[
    ("synth --out notes.txt", &["notes.txt"]),
    ("synth --out notes.txt --force", &["notes.txt"]),
    ("synth --out bag", &["bag", "--force"]),
    ("synth --out empty_folder --seconds 0.2", &["empty_folder"]),
    ("synth --out out --seconds 0", &["seconds"]),
    ("synth --out out --seconds nan", &["seconds"]),
    ("synth --out out --rate 0", &["rate"]),
    ("synth --out out --width 3", &["width"]),
    ("synth --out out --height 99999", &["height"]),
];

const LABEL: &[Case] = &[
    ("label --data bag --teachers missing.yaml --classes class_1 --out targets", &["missing.yaml"]),
    ("label --data bag --teachers notes.txt --classes class_1 --out targets", &["notes.txt"]),
    (
        "label --data bag --teachers unknown_key_teachers.yaml --classes class_1 --out targets",
        &["unknown_key_teachers.yaml", "trsut"],
    ),
    (
        "label --data bag --teachers unknown_spec_key_teachers.yaml --classes class_1 --out targets",
        &["unknown_spec_key_teachers.yaml", "haed"],
    ),
    ("label --data bag --teachers no_teachers.yaml --classes class_1 --out targets", &["no teacher"]),
    ("label --data bag --teacher tiny.onnx --classes class_1,class_1 --out targets", &["class_1"]),
];

const LABEL_WITH_MODELS: &[Case] = &[
    ("label --data missing --teacher tiny.onnx --classes class_1 --out targets", &["missing"]),
    ("label --data bag --data missing --teacher tiny.onnx --classes class_1 --out targets", &["missing"]),
    ("label --data notes.txt --teacher tiny.onnx --classes class_1 --out targets", &["notes.txt"]),
    ("label --data zero.mcap --teacher tiny.onnx --classes class_1 --out targets", &["zero.mcap"]),
    ("label --data empty_folder --teacher tiny.onnx --classes class_1 --out targets", &["empty_folder"]),
    ("label --data no_messages --teacher tiny.onnx --classes class_1 --out targets", &["no_messages"]),
    ("label --data no_images --teacher tiny.onnx --classes class_1 --out targets", &["no_images"]),
    (
        "label --data bag --topic /nope --teacher tiny.onnx --classes class_1 --out targets",
        &["bag", "/nope", "/camera"],
    ),
    ("label --data bag --topic /scan --teacher tiny.onnx --classes class_1 --out targets", &["bag", "/scan"]),
    ("label --data bag --topic /truth --teacher tiny.onnx --classes class_1 --out targets", &["bag", "/truth"]),
    ("label --data photos --topic /camera --teacher tiny.onnx --classes class_1 --out targets", &["photos", "/camera"]),
    ("label --data bag --teacher missing.onnx --classes class_1 --out targets", &["missing.onnx"]),
    ("label --data bag --teacher zero.onnx --classes class_1 --out targets", &["zero.onnx"]),
    ("label --data bag --teacher text.onnx --classes class_1 --out targets", &["text.onnx"]),
    ("label --data bag --teacher half.onnx --classes class_1 --out targets", &["half.onnx"]),
    ("label --data bag --teacher empty_folder --classes class_1 --out targets", &["empty_folder"]),
    ("label --data bag --teacher tiny.onnx --teacher half.onnx --classes class_1 --out targets", &["half.onnx"]),
    ("label --data bag --teacher spec.onnx --classes class_1 --out targets", &["spec.yaml", "haed"]),
    ("label --data bag --teachers spec_file_teachers.yaml --classes class_1 --out targets", &["spec.yaml", "haed"]),
    ("label --data bag --teacher tiny.onnx --classes forklift --out targets", &["tiny", "forklift"]),
];

const AUDIT: &[Case] = &[
    ("audit missing.yaml", &["missing.yaml"]),
    ("audit unknown_key.yaml", &["unknown_key.yaml", "trian"]),
    ("audit truth.yaml", &["truth.yaml", "targets: truth"]),
    ("audit experiment.yaml --json figures.json", &["out/targets", "distill label"]),
    ("audit experiment.yaml --set output=broken", &["broken/targets/part-00000.parquet"]),
];

const TRAIN: &[Case] = &[
    ("train missing.yaml", &["missing.yaml"]),
    ("train empty_folder", &["empty_folder"]),
    ("train notes.txt", &["notes.txt"]),
    ("train tiny.onnx", &["tiny.onnx"]),
    ("train unknown_key.yaml", &["unknown_key.yaml", "trian"]),
    ("train unknown_nested_key.yaml", &["unknown_nested_key.yaml", "train.epohcs"]),
    ("train unknown_spec_key.yaml", &["unknown_spec_key.yaml", "haed"]),
    ("train truth.yaml --set augment.flpi=0", &["augment.flpi"]),
    ("train truth.yaml --set data.0.path=missing", &["data.0.path", "missing"]),
    ("train truth.yaml --set data.0.path=notes.txt", &["notes.txt"]),
    ("train truth.yaml --set data.0.path=zero.mcap", &["zero.mcap"]),
    ("train truth.yaml --set data.0.path=empty_folder", &["empty_folder"]),
    ("train truth.yaml --set data.0.path=no_messages", &["no_messages"]),
    ("train truth.yaml --set data.0.path=no_images", &["no_images"]),
    ("train truth.yaml --set data.0.topic=/nope", &["bag", "/nope", "/camera"]),
    ("train truth.yaml --set data.0.topic=/scan", &["bag", "/scan"]),
    ("train truth.yaml --set data.0.truth.topic=/nope", &["bag", "/nope", "/truth"]),
    ("train truth.yaml --set data.0.truth.topic=/scan", &["bag", "/scan"]),
    ("train coco.yaml", &["missing.json"]),
    ("train coco.yaml --set data.0.truth.coco=notes.txt", &["notes.txt"]),
    ("train coco.yaml --set data.0.truth.coco=no_coco.json", &["no_coco.json", "images"]),
    ("train experiment.yaml", &["out/targets"]),
    ("train experiment.yaml --set output=broken", &["broken/targets/part-00000.parquet"]),
];

const RUN: &[Case] = &[
    ("run missing.yaml", &["missing.yaml"]),
    ("run empty_folder", &["empty_folder"]),
    ("run notes.txt", &["notes.txt"]),
    ("run tiny.onnx", &["tiny.onnx"]),
    ("run unknown_key.yaml", &["unknown_key.yaml", "trian"]),
    ("run unknown_nested_key.yaml", &["unknown_nested_key.yaml", "train.epohcs"]),
    ("run unknown_spec_key.yaml", &["unknown_spec_key.yaml", "haed"]),
    ("run experiment.yaml --set fusion.iuo_threshold=0.5", &["fusion.iuo_threshold"]),
    ("run experiment.yaml --set data.0.path=missing", &["data.0.path", "missing"]),
    ("run truth.yaml --set data.0.path=notes.txt", &["notes.txt"]),
    ("run truth.yaml --set data.0.path=no_messages", &["no_messages"]),
    ("run truth.yaml --set data.0.topic=/nope", &["bag", "/nope"]),
    ("run truth.yaml --set data.0.truth.topic=/nope", &["bag", "/nope"]),
    ("run truth.yaml --set data.0.truth.topic=/scan", &["bag", "/scan"]),
    ("run coco.yaml", &["missing.json"]),
];

const RUN_WITH_MODELS: &[Case] = &[
    ("run experiment.yaml --set data.0.path=notes.txt", &["notes.txt"]),
    ("run experiment.yaml --set data.0.path=zero.mcap", &["zero.mcap"]),
    ("run experiment.yaml --set data.0.path=empty_folder", &["empty_folder"]),
    ("run experiment.yaml --set data.0.path=no_messages", &["no_messages"]),
    ("run experiment.yaml --set data.0.path=no_images", &["no_images"]),
    ("run experiment.yaml --set data.0.topic=/nope", &["bag", "/nope"]),
    ("run experiment.yaml --set data.0.topic=/scan", &["bag", "/scan"]),
    ("run experiment.yaml --set data.0.truth.topic=/nope", &["bag", "/nope"]),
    ("run experiment.yaml --set data.0.truth.topic=/scan", &["bag", "/scan"]),
    ("run experiment.yaml --set data.0.truth.coco=missing.json", &["missing.json"]),
    ("run experiment.yaml --set teachers.0.model=missing.onnx", &["missing.onnx"]),
    ("run experiment.yaml --set teachers.0.model=zero.onnx", &["zero.onnx"]),
    ("run experiment.yaml --set teachers.0.model=text.onnx", &["text.onnx"]),
    ("run experiment.yaml --set teachers.0.model=half.onnx", &["half.onnx"]),
    ("run experiment.yaml --set teachers.0.model=spec.onnx", &["spec.yaml", "haed"]),
    ("run experiment.yaml --set teachers.0.spec=spec.yaml", &["spec.yaml", "haed"]),
    ("run experiment.yaml --set teachers.0.spec=missing.yaml", &["missing.yaml"]),
    ("run experiment.yaml --set output=broken", &["broken/targets/part-00000.parquet"]),
];

const EVALUATE: &[Case] = &[
    ("evaluate --model tiny.onnx --data bag --targets missing --detections found.json", &["missing"]),
    ("evaluate --model tiny.onnx --data bag --targets empty_folder --detections found.json", &["empty_folder"]),
    (
        "evaluate --model tiny.onnx --data bag --targets broken/targets --detections found.json",
        &["broken/targets/part-00000.parquet"],
    ),
];

const EVALUATE_WITH_MODELS: &[Case] = &[
    ("evaluate --model tiny.onnx --data missing --detections found.json", &["missing"]),
    ("evaluate --model tiny.onnx --data notes.txt --detections found.json", &["notes.txt"]),
    ("evaluate --model tiny.onnx --data zero.mcap --detections found.json", &["zero.mcap"]),
    ("evaluate --model tiny.onnx --data empty_folder --detections found.json", &["empty_folder"]),
    ("evaluate --model tiny.onnx --data no_messages --detections found.json", &["no_messages"]),
    ("evaluate --model tiny.onnx --data no_images --detections found.json", &["no_images"]),
    ("evaluate --model tiny.onnx --data missing --block test", &["missing"]),
    ("evaluate --model tiny.onnx --data bag --topic /nope --detections found.json", &["bag", "/nope", "/camera"]),
    ("evaluate --model tiny.onnx --data bag --topic /scan --detections found.json", &["bag", "/scan"]),
    ("evaluate --model tiny.onnx --data bag --topic /truth --json", &["bag", "/truth"]),
    ("evaluate --model tiny.onnx --data photos --topic /camera --json", &["photos", "/camera"]),
    ("evaluate --model tiny.onnx --data bag --labels /nope --detections found.json", &["bag", "/nope", "/truth"]),
    ("evaluate --model tiny.onnx --data bag --labels /scan --json", &["bag", "/scan"]),
    ("evaluate --model tiny.onnx --data photos --labels /truth --json", &["photos", "/truth"]),
    ("evaluate --model tiny.onnx --data bag --labels missing.json", &["missing.json"]),
    ("evaluate --model tiny.onnx --data bag --labels no_coco.json", &["no_coco.json", "images"]),
    ("evaluate --model missing.onnx --data bag --detections found.json", &["missing.onnx"]),
    ("evaluate --model zero.onnx --data bag", &["zero.onnx"]),
    ("evaluate --model text.onnx --data bag", &["text.onnx"]),
    ("evaluate --model half.onnx --data bag --json", &["half.onnx"]),
    ("evaluate --model empty_folder --data bag", &["empty_folder"]),
    ("evaluate --model spec.onnx --data bag", &["spec.yaml", "haed"]),
    ("evaluate --model tiny.onnx --model missing.onnx --data bag", &["missing.onnx"]),
    ("evaluate --model tiny.onnx --teacher missing.onnx --data bag", &["missing.onnx"]),
    ("evaluate --model tiny.onnx --teacher zero.onnx --data bag", &["zero.onnx"]),
    ("evaluate --model tiny.onnx --teacher text.onnx --data bag", &["text.onnx"]),
    ("evaluate --model tiny.onnx --teacher half.onnx --data bag --detections found.json", &["half.onnx"]),
    ("evaluate --model tiny.onnx --teacher spec.onnx --data bag", &["spec.yaml", "haed"]),
    ("evaluate --model tiny.onnx --classes forklift --data bag", &["tiny", "forklift"]),
];

const TEACHER: &[Case] = &[
    ("teacher missing.onnx", &["missing.onnx"]),
    ("teacher empty_folder", &["empty_folder"]),
    ("teacher zero.onnx", &["zero.onnx"]),
    ("teacher text.onnx", &["text.onnx"]),
    ("teacher half.onnx", &["half.onnx"]),
    ("teacher notes.txt", &["notes.txt"]),
    ("teacher spec.onnx", &["spec.yaml", "haed"]),
    ("teacher missing.onnx --tensors", &["missing.onnx"]),
    ("teacher empty_folder --tensors", &["empty_folder"]),
    ("teacher zero.onnx --tensors", &["zero.onnx"]),
    ("teacher text.onnx --tensors", &["text.onnx"]),
    ("teacher half.onnx --tensors --all", &["half.onnx"]),
    ("teacher notes.txt --tensors --json", &["notes.txt"]),
];

/// The folder that all commands run in: right inputs and wrong ones.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let shot = |index: u32| Shot {
            stamp: 1_700_000_000_000_000_000 + i64::from(index) * 100_000_000,
            image: recording::noise(32, 32, u64::from(index)),
            truth: vec![("class_1", [12.0, 6.0, 20.0, 10.0])],
        };
        let shots: Vec<Shot> = (0..4).map(shot).collect();
        recording::write_bag(&place.path("bag"), &shots);
        recording::write_folder(&place.path("photos"), &place.path("photos.json"), &shots);

        // Recordings without what is looked for.
        BagWriter::create(place.path("no_messages")).unwrap().finish().unwrap();
        let mut writer = BagWriter::create(place.path("no_images")).unwrap();
        let scan = writer.add::<LaserScan>(recording::SCAN, OfferedQos::SENSOR).unwrap();
        writer.write(scan, 1, &LaserScan::default().encode()).unwrap();
        writer.finish().unwrap();
        std::fs::create_dir(place.path("empty_folder")).unwrap();
        place.write("zero.mcap", "");
        place.write("notes.txt", "no recording\nno model\nno experiment: nothing\n");
        place.write("no_coco.json", r#"{"pictures": []}"#);
        std::fs::create_dir_all(place.path("broken/targets")).unwrap();
        place.write("broken/targets/part-00000.parquet", "no table");

        // Networks.
        let network = std::fs::read(support::tiny_model("tiny_yolov8.onnx")).unwrap();
        for name in ["tiny.onnx", "spec.onnx"] {
            std::fs::write(place.path(name), &network).unwrap();
        }
        std::fs::write(place.path("half.onnx"), &network[..network.len() / 2]).unwrap();
        place.write("zero.onnx", "");
        place.write("text.onnx", "a text, not a network\n");
        let spec = "input: {width: 32, height: 32}\nhaed: yolov8\nclasses: [class_0, class_1]\n";
        place.write("spec.yaml", spec);
        place.write("no_teachers.yaml", "[]\n");
        place.write("unknown_key_teachers.yaml", "- {model: tiny.onnx, trsut: 1}\n");
        place.write("unknown_spec_key_teachers.yaml", "- {model: tiny.onnx, spec: {haed: yolov8}}\n");
        place.write("spec_file_teachers.yaml", "- {model: tiny.onnx, spec: spec.yaml}\n");

        // Experiments.
        let experiment = "name: wrong\noutput: out\nclasses: [class_1]\n\
                          student: {size: micro, width: 64, height: 64}\n\
                          train: {epochs: 1, batch: 2, workers: 1}\n";
        let teachers = format!("{experiment}data:\n  - {{path: bag}}\nteachers:\n  - {{model: tiny.onnx}}\n");
        place.write("unknown_key.yaml", &format!("{teachers}trian: {{epochs: 2}}\n"));
        place.write("unknown_nested_key.yaml", &teachers.replace("epochs", "epohcs"));
        place.write("unknown_spec_key.yaml", &teachers.replace("tiny.onnx", "tiny.onnx, spec: {haed: yolov8}"));
        place.write("experiment.yaml", &teachers);
        let truth = |truth: &str| format!("{experiment}targets: truth\ndata:\n  - {{path: bag, truth: {{{truth}}}}}\n");
        place.write("truth.yaml", &truth("topic: /truth"));
        place.write("coco.yaml", &truth("coco: missing.json"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Every file with its bytes, every folder with none, by path.
    fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let mut contents = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let bytes = if path.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
                let name = path.strip_prefix(self.folder.path()).unwrap().to_str().unwrap().to_owned();
                contents.insert(name, bytes);
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        contents
    }

    /// Runs a command and says what is not as it should be, if anything.
    fn complaint(&self, (line, named): Case, usage: bool) -> Option<String> {
        let before = self.contents();
        let output = Command::new(env!("CARGO_BIN_EXE_distill"))
            .args(line.split(' '))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env_remove("RUST_LOG")
            .output()
            .unwrap();
        let after = self.contents();
        // The next case finds the place as this one did.
        for folder in ["out", "targets"] {
            let _ = std::fs::remove_dir_all(self.path(folder));
        }
        let _ = std::fs::remove_file(self.path("found.json"));

        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let mut wrong = Vec::new();
        if output.status.code() != Some(2) {
            wrong.push(format!("ends with {}, not with exit code 2", output.status));
        }
        if stdout.contains("panicked") || stderr.contains("panicked") {
            wrong.push("panics".to_owned());
        }
        let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
        let errors = lines.iter().filter(|line| line.starts_with("error: ")).count();
        // clap's own errors have the usage below.
        if errors != 1 || (!usage && lines.len() != 1) {
            wrong.push("does not say just one line `error: ...`".to_owned());
        }
        for word in named {
            if !stderr.contains(word) {
                wrong.push(format!("does not name `{word}`"));
            }
        }
        if let Some(cause) = told_twice(&stderr) {
            wrong.push(format!("tells twice: {cause}"));
        }
        for path in after.keys() {
            if !before.contains_key(path) && !may_stay(path, &after) {
                wrong.push(format!("leaves {path}"));
            }
        }
        for (path, bytes) in &before {
            if after.get(path) != Some(bytes) {
                wrong.push(format!("changes {path}"));
            }
        }
        let said = stderr.trim_end().replace('\n', "\n  ");
        (!wrong.is_empty()).then(|| format!("distill {line}\n  - {}\n  {said}", wrong.join("\n  - ")))
    }
}

/// What an experiment that comes to nothing may leave: what it was made of, as whole files, and soft targets that are finished with
/// the audit of them.
fn may_stay(path: &str, left: &BTreeMap<String, Vec<u8>>) -> bool {
    let path = Path::new(path);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let described = ["config.yaml", "versions.json", "stages.json", "audit.json"].contains(&name);
    match path.parent().and_then(Path::to_str) {
        Some("") => name == "out",
        Some("out") if name == "targets" => left.contains_key("out/targets/label.json"),
        Some("out" | "broken") => described,
        Some("out/targets") => {
            left.contains_key("out/targets/label.json") && (name == "label.json" || name.ends_with(".parquet"))
        }
        _ => false,
    }
}

/// A cause that stands twice in an error: `a: b: b`, or a longer one said again anywhere.
fn told_twice(error: &str) -> Option<&str> {
    let error = error.trim_end();
    let mut start = 0;
    for part in error.split(": ") {
        let before = &error[..start];
        let again = part.contains(' ') && before.contains(part);
        if again || before.ends_with(&format!(": {part}: ")) {
            return Some(part);
        }
        start += part.len() + ": ".len();
    }
    None
}

/// Runs cases, and those that load networks where ONNX Runtime is at hand; all complaints are told together.
fn check(cases: &[Case], with_models: &[Case]) {
    let place = Place::new();
    let mut complaints: Vec<String> = cases.iter().filter_map(|case| place.complaint(*case, false)).collect();
    if !with_models.is_empty() && support::onnx_runtime() {
        complaints.extend(with_models.iter().filter_map(|case| place.complaint(*case, false)));
    }
    assert!(complaints.is_empty(), "{} complaints\n\n{}\n", complaints.len(), complaints.join("\n\n"));
}

#[test]
fn options_and_values_that_do_not_exist() {
    let place = Place::new();
    let complaints: Vec<String> = USAGE.iter().filter_map(|case| place.complaint(*case, true)).collect();
    assert!(complaints.is_empty(), "{} complaints\n\n{}\n", complaints.len(), complaints.join("\n\n"));
}

#[test]
fn inspect() {
    check(INSPECT, &[]);
}

#[test]
fn synth() {
    check(SYNTH, &[]);
}

#[test]
fn label() {
    check(LABEL, LABEL_WITH_MODELS);
}

#[test]
fn audit() {
    check(AUDIT, &[]);
}

#[test]
fn train() {
    check(TRAIN, &[]);
}

#[test]
fn run() {
    check(RUN, RUN_WITH_MODELS);
}

#[test]
fn evaluate() {
    check(EVALUATE, EVALUATE_WITH_MODELS);
}

#[test]
fn teacher() {
    check(&[], TEACHER);
}

#[test]
fn repetitions_are_seen() {
    assert_eq!(told_twice("error: a.onnx: cannot read model a.onnx: no such file (os error 2)"), None);
    assert_eq!(told_twice("error: cannot read a.yaml: no such file: no such file\n"), Some("no such file"));
    assert_eq!(told_twice("error: bag: broken: broken"), Some("broken"));
    assert_eq!(
        told_twice("error: model a: EOF: too small, 5 bytes; make it anew: EOF: too small, 5 bytes"),
        Some("too small, 5 bytes")
    );
}
