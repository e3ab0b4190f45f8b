//! `distill teacher`: what a model is as a teacher.

use std::path::PathBuf;

use clap::Args;

use super::Outcome;
use crate::distill::teacher::{Teacher, TeacherConfig};

/// Look at an ONNX detector: its outputs, how they are read, and what it is called in YAML.
///
///   distill teacher yolox_nano.onnx
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
    outln!("\nTo change any of it, write this into {}:\n", args.model.with_extension("yaml").display());
    out!("{}", serde_yaml::to_string(spec)?);
    Ok(Outcome::Done)
}
