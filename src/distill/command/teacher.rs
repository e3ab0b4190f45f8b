//! `distill teacher`: what a model is as a teacher.

use std::path::PathBuf;

use clap::Args;

use super::Outcome;
use crate::{
    distill::teacher::{Teacher, TeacherConfig},
    model::bundle::BundleMetadata,
};

/// Look at an ONNX detector: its outputs, how they are read, and what it is called in YAML.
///
///   distill teacher yolox_nano.onnx
///
/// Of a bundle that `distill` made it also tells where it comes from and what it was worth on its test block:
///
///   distill teacher runs/indoor_person/student.onnx
///
/// Where the outputs alone do not tell the format, the error names what may be meant; write it into a YAML beside the
/// model (detector.onnx -> detector.yaml) or into the teacher's entry of the experiment.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct TeacherArgs {
    /// The ONNX file.
    model: PathBuf,
}

/// Prints the network's inputs and outputs, then the specification as YAML.
pub fn run(args: TeacherArgs) -> anyhow::Result<Outcome> {
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
