//! The stage of `distill run` in which a student that was cut is held against the one that was not, before there is a bundle of it.

use std::{path::PathBuf, sync::atomic::AtomicBool};

use anyhow::Context;
use burn::tensor::Device;

use super::{
    WorkFailed,
    evaluate::{evaluate_shown, tell_losses},
    run::header,
};
use crate::{
    distill::{
        compress::prune::{Gate, GateVerdict, PruneError, PruneReport, VERDICT_FILE},
        config::Experiment,
        durable,
        evaluate::{EvaluateError, EvaluateJob, EvaluatedModel, ModelReport, Role, bundle_path},
        export::export,
        stage::{StageBook, hash_of, input_hash},
        teacher::TeacherConfig,
        train::trained_student,
    },
    metrics::{ApSummary, ClassAp},
    model::{
        ModelSpec,
        bundle::{BundleMetadata, read_metadata},
    },
};

/// Holds the trained student of an experiment against another run's on the validation block, unless that was done already, and writes
/// `gate.json`; `trained` stands for the student. Says whether it goes on: not where it was stopped. Without a gate it does nothing.
///
/// # Errors
/// The student loses more than the gate allows: a bundle of an earlier time is removed, and the table of what was cut printed.
pub(super) fn gate_stage(
    experiment: &Experiment,
    trained: &str,
    book: &mut StageBook,
    stop: &AtomicBool,
) -> anyhow::Result<bool> {
    let Some(gate) = Gate::of(experiment) else { return Ok(true) };
    header("gate");
    let path = experiment.output.join(VERDICT_FILE);
    let failed = |error: std::io::Error| WorkFailed(format!("{}: {error}", path.display()));
    let other = bundle_path(&gate.against);
    let other_hash = input_hash(&other).with_context(|| {
        format!("gate.against: {}: name the output folder of a finished `distill run`", other.display())
    })?;
    let hash = hash_of(&(trained, &gate.against, other_hash));
    let known = if book.is_done("gate", &hash, &path) { GateVerdict::read(&path) } else { None };
    let lost_before = book.lost_data("gate");
    let (verdict, lost_data) = match known {
        Some(known) => (known, lost_before),
        None => {
            book.begin("gate", &hash).map_err(failed)?;
            durable::remove_file(&path).map_err(failed)?;
            let Some(judged) = judge(experiment, &gate, stop)? else {
                outln!("stopped; the same command goes on");
                return Ok(false);
            };
            judged
        }
    };
    // What was judged stays as it is; what may be lost may have changed.
    let verdict = GateVerdict { budget: gate.budget, forced: gate.force, ..verdict };
    durable::write_bytes(&path, &serde_json::to_vec_pretty(&verdict)?).map_err(failed)?;
    if verdict.excess().is_some() && !gate.force {
        // What an earlier student was worth is no longer this run's.
        for stage in ["export", "evaluate", "forgetting", "report"] {
            book.forget(stage);
        }
    }
    book.finish("gate", &hash, lost_data).map_err(failed)?;
    out!("gate: {}", verdict.to_text());
    let Some(loss) = verdict.excess() else { return Ok(true) };
    if gate.force {
        errln!("warning: written because of gate.force: {loss}");
        return Ok(true);
    }
    let bundle = bundle_path(&experiment.output);
    durable::remove_file(&bundle).map_err(|error| WorkFailed(format!("{}: {error}", bundle.display())))?;
    if let Some(cut) = experiment.student.inherit.as_deref().and_then(PruneReport::read) {
        outln!("{}", cut.table());
    }
    Err(WorkFailed(PruneError::Budget { against: gate.against, loss }.to_string()).into())
}

/// What a gate judges by: both students as bundles, on the validation block. Nothing where it was stopped; with it, whether part of the
/// recordings could not be read.
fn judge(experiment: &Experiment, gate: &Gate, stop: &AtomicBool) -> anyhow::Result<Option<(GateVerdict, bool)>> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let candidate = bundle_path(folder.path());
    let student = trained_student(experiment, &Device::flex())?;
    let metadata = BundleMetadata::new(experiment.student_config().model_spec());
    export(&student, &metadata, &candidate).map_err(|error| WorkFailed(error.to_string()))?;
    let model = |name: &str, path: PathBuf, role| EvaluatedModel {
        config: TeacherConfig { name: Some(name.to_owned()), ..TeacherConfig::new(path) },
        role,
    };
    let models =
        vec![model("before", bundle_path(&gate.against), Role::Teacher), model("student", candidate, Role::Student)];
    let job = EvaluateJob { models, latency_rounds: 0, ..EvaluateJob::of_validation(experiment)? };
    let mut verdict = GateVerdict {
        against: gate.against.display().to_string(),
        truth: String::new(),
        budget: gate.budget,
        forced: gate.force,
        judged: None,
    };
    let report = match evaluate_shown(&job, stop) {
        Ok(report) => report,
        Err(EvaluateError::Stopped) => return Ok(None),
        Err(EvaluateError::NoTruth { .. }) => return Ok(Some((verdict, false))),
        Err(error) => return Err(error.into()),
    };
    tell_losses(&report);
    // What the earlier student never knew it cannot have lost to this one.
    let earlier = read_metadata::<ModelSpec>(&bundle_path(&gate.against))?.map(|earlier| earlier.spec.classes);
    let of = |model: &ModelReport| {
        let is_known = |own: &&ClassAp| earlier.as_ref().is_none_or(|known| known.contains(&own.class));
        ApSummary::of(model.per_class.iter().filter(is_known).cloned().collect(), report.frames)
    };
    verdict.truth = report.truth.clone();
    if let [before, after] = report.models.as_slice() {
        verdict.judged = Some([of(before), of(after)]);
    }
    Ok(Some((verdict, report.lost_data)))
}
