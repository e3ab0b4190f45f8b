//! `distill teacher`: what a model is as a teacher.

use std::path::PathBuf;

use clap::Args;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_BORDERS_ONLY};

use super::Outcome;
use crate::{
    distill::{
        student::AnchorPoint,
        teacher::{FeatureTensor, Teacher, TeacherConfig, list_tensors},
    },
    model::bundle::BundleMetadata,
};

/// Strides of a student's maps, the one that hints are usually given at first.
const HINT_STRIDES: [usize; 3] = [16, 8, 32];

/// Look at an ONNX detector: its outputs, how they are read, and what it is called in YAML.
///
///   distill teacher yolox_nano.onnx
///
/// Of a bundle that `distill` made it also tells where it comes from and what it was worth on its test block:
///
///   distill teacher runs/indoor_person/student.onnx
///
/// A student can also learn from tensors inside the network. They are listed with their sizes, the ends of stages only or all;
/// of a bundle the points that have names in every student, `stage_4` to `stage_32` and `neck_8` to `neck_32`, and the outputs:
///
///   distill teacher yolox_nano.onnx --tensors
///   distill teacher yolox_nano.onnx --tensors --all
///   distill teacher yolox_nano.onnx --tensors --json | jq '.[] | select(.stride == 16) | .name'
///
/// Where the outputs alone do not tell the format, the error names what may be meant; write it into a YAML beside the
/// model (detector.onnx -> detector.yaml) or into the teacher's entry of the experiment.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct TeacherArgs {
    /// The ONNX file.
    model: PathBuf,
    /// List the feature maps inside the network that a student can learn from: those at the end of a stage, after which the
    /// stride changes; of a bundle those that have names in every student.
    #[arg(long)]
    tensors: bool,
    /// List every feature map.
    #[arg(long, requires = "tensors")]
    all: bool,
    /// Print the feature maps as JSON for programs instead of a table for people.
    #[arg(long, requires = "tensors")]
    json: bool,
}

/// Prints the network's inputs and outputs, then the specification as YAML; or its feature maps.
pub fn run(args: TeacherArgs) -> anyhow::Result<Outcome> {
    if args.tensors {
        return print_tensors(&args);
    }
    let detector = Teacher::load_detector(&TeacherConfig::new(&args.model))?;
    let session = detector.session();
    outln!("model    {}", session.model());
    for input in session.inputs() {
        outln!("input    {input}");
    }
    for output in session.outputs() {
        outln!("output   {output}");
    }
    let spec = detector.spec();
    outln!("format   {} ({})", spec.head.name(), detector.source());
    let first: Vec<&str> = spec.classes.iter().take(5).map(String::as_str).collect();
    let more = if spec.classes.len() > first.len() { ", ..." } else { "" };
    outln!("classes  {}: {}{more}", spec.classes.len(), first.join(", "));
    if let Some(bundle) = detector.bundle() {
        print_origin(bundle);
        return Ok(Outcome::Done);
    }
    outln!("\nTo change any of it, write this into {}:\n", args.model.with_extension("yaml").display());
    out!("{}", serde_yaml::to_string(spec)?);
    Ok(Outcome::Done)
}

/// The feature maps inside the network, and how an experiment names one.
fn print_tensors(args: &TeacherArgs) -> anyhow::Result<Outcome> {
    let mut tensors = list_tensors(&TeacherConfig::new(&args.model))?;
    let count = tensors.len();
    let example = example(&tensors);
    if !args.all {
        tensors.retain(|tensor| tensor.suggested);
    }
    if args.json {
        outln!("{}", serde_json::to_string_pretty(&tensors)?);
        return Ok(Outcome::Done);
    }
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_header([
        "tensor",
        "made by",
        "channels",
        "height x width",
        "stride",
        "suggested",
    ]);
    for tensor in &tensors {
        table.add_row([
            Cell::new(&tensor.name),
            Cell::new(&tensor.op),
            right(tensor.channels.to_string()),
            right(format!("{} x {}", tensor.height, tensor.width)),
            right(tensor.stride.to_string()),
            Cell::new(if tensor.suggested { "yes" } else { "" }),
        ]);
    }
    outln!("{table}");
    let hidden = count - tensors.len();
    if hidden > 0 {
        outln!("{hidden} more in between; --all lists them");
    }
    if let Some(example) = example {
        outln!(
            "\nFor a student to learn from one, in a term under `distillation.terms` of its experiment:\n\n{example}"
        );
    }
    Ok(Outcome::Done)
}

/// The YAML that pairs one of the suggested tensors with the student's map of its stride: the one of the same name, as bundles
/// have it, else the widest, of several the last.
fn example(tensors: &[FeatureTensor]) -> Option<String> {
    let at = |stride: usize| tensors.iter().filter(move |tensor| tensor.suggested && tensor.stride == stride);
    let hint = |stride: usize| {
        let own = AnchorPoint::Neck(stride).to_string();
        at(stride).find(|tensor| tensor.name == own).or_else(|| at(stride).max_by_key(|tensor| tensor.channels))
    };
    let tensor = HINT_STRIDES.into_iter().find_map(hint)?;
    // Quoted, because many exporters name tensors by numbers.
    let name = serde_json::to_string(&tensor.name).ok()?;
    Some(format!("pairs: [{{tensor: {name}, student: neck_{}}}]", tensor.stride))
}

/// Where a bundle comes from and what it is worth.
fn print_origin(bundle: &BundleMetadata) {
    let origin = &bundle.provenance;
    outln!(
        "size     {:.3} M parameters, {:.1} M multiply-accumulates",
        bundle.parameters as f64 / 1e6,
        bundle.macs as f64 / 1e6
    );
    outln!("made by  distilled_perception {}, seed {}", origin.crate_version, origin.seed);
    for teacher in &origin.teachers {
        outln!("teacher  {} (SHA-256 {})", teacher.name, teacher.sha256);
    }
    for data in &origin.data {
        outln!("data     {} (SHA-256 {})", data.name, data.sha256);
    }
    let figure = |name: &str| bundle.figures.get(name).and_then(serde_json::Value::as_f64);
    if let (Some(ap), Some(ap50), Some(frames)) = (figure("ap"), figure("ap50"), figure("frames")) {
        let truth = bundle.figures.get("truth").and_then(serde_json::Value::as_str).unwrap_or("unknown");
        outln!("worth    AP {ap:.3}, AP50 {ap50:.3} on {frames} test frames; truth: {truth}");
    }
    outln!("\nIts experiment:\n");
    outln!("{}", origin.config.trim_end());
}
