//! What a student was worth on the test block, for its bundle.

use std::path::Path;

use super::{WorkFailed, run::file_name};
use crate::{
    distill::{
        durable,
        evaluate::{EvaluationReport, ModelReport},
    },
    model::{
        ModelSpec,
        bundle::{read_metadata, write_metadata},
    },
};

/// Puts the figures of a report on a test block, those of this student of it, into the student's bundle. Other figures that the bundle
/// has stay: how it was quantised, and what the float student was worth.
pub(super) fn add_test_figures(bundle: &Path, report: &EvaluationReport, student: &ModelReport) -> anyhow::Result<()> {
    let Some(mut metadata) = read_metadata::<ModelSpec>(bundle)? else { return Ok(()) };
    let figures = serde_json::json!({
        "data": report.data.iter().map(|path| file_name(Path::new(path))).collect::<Vec<_>>(),
        "block": report.block,
        "truth": report.truth,
        "frames": report.frames,
        "objects": report.truths,
        "ap": student.ap,
        "ap50": student.ap50,
        "ap75": student.ap75,
        "per_class": student.per_class,
    });
    if let serde_json::Value::Object(figures) = figures {
        metadata.figures.extend(figures);
    }
    let failed = |error: std::io::Error| WorkFailed(format!("{}: {error}", bundle.display()));
    let bytes = write_metadata(&std::fs::read(bundle).map_err(failed)?, &metadata)?;
    durable::write_bytes(bundle, &bytes).map_err(failed)?;
    Ok(())
}
