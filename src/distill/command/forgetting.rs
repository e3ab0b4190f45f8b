//! The last stage of a run that retains an earlier one: what its student has forgotten.

use std::sync::atomic::AtomicBool;

use anyhow::Context;

use super::{
    WorkFailed,
    evaluate::{evaluate_shown, tell_losses},
    run::evaluate_hash,
};
use crate::distill::{
    config::Experiment,
    durable,
    evaluate::{EvaluateError, EvaluateJob, Forgetting, bundle_path, missing_inputs, seen_before},
    figure_table::figure,
    stage::{StageBook, hash_of, input_hash},
    train::retained_run,
};

/// Judges the earlier student and the new one on the earlier run's test block and writes `forgetting.json`, unless that was done
/// already; `trained` stands for the new student. Says whether part of the recordings could not be read. Where nothing is retained
/// it does nothing, and where the earlier run's recordings are gone it says so.
pub(super) fn forgetting_stage(
    experiment: &Experiment,
    trained: &str,
    book: &mut StageBook,
    stop: &AtomicBool,
) -> anyhow::Result<bool> {
    let Some(run) = retained_run(experiment)? else { return Ok(false) };
    outln!("== forgetting");
    let mut earlier = run.experiment;
    // The test block is of labelled recordings alone, and nobody asks the earlier teachers.
    earlier.data.retain(|data| !data.unlabelled);
    earlier.evaluate.teachers = false;
    let path = experiment.output.join("forgetting.json");
    let failed = |error: std::io::Error| WorkFailed(format!("{}: {error}", path.display()));
    let missing = missing_inputs(&earlier);
    if !missing.is_empty() {
        let missing: Vec<String> = missing.iter().map(|path| path.display().to_string()).collect();
        outln!(
            "forgetting: not measured, {} of the run {} is not there any more",
            missing.join(", "),
            earlier.output.display()
        );
        if !book.is_finished("forgetting") {
            durable::remove_file(&path).map_err(failed)?;
        }
        return Ok(false);
    }
    let old_bundle = bundle_path(&earlier.output);
    let students = (trained, input_hash(&old_bundle).with_context(|| old_bundle.display().to_string())?);
    let seen = seen_before(&earlier, experiment);
    let hash = hash_of(&(evaluate_hash(&earlier, &hash_of(&students))?, &seen));
    if book.is_done("forgetting", &hash, &path)
        && let Some(known) = Forgetting::read(&path)
    {
        tell(&known, &earlier);
        outln!("forgetting: done already, {}", path.display());
        return Ok(book.lost_data("forgetting"));
    }
    book.begin("forgetting", &hash).map_err(failed)?;
    durable::remove_file(&path).map_err(failed)?;
    let job = EvaluateJob::of_forgetting(&earlier, bundle_path(&experiment.output))?;
    let report = match evaluate_shown(&job, stop) {
        Ok(report) => report,
        Err(EvaluateError::Stopped) => {
            outln!("stopped; the same command goes on");
            return Ok(false);
        }
        Err(EvaluateError::NoTruth { .. }) => {
            outln!("forgetting: not measured, the run {} has no test block with truth", earlier.output.display());
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    };
    tell_losses(&report);
    let found = Forgetting::new(&report, seen).context("the evaluation lacks one of the two students")?;
    durable::write_bytes(&path, &serde_json::to_vec_pretty(&found)?).map_err(failed)?;
    tell(&found, &earlier);
    outln!("forgetting: {}", path.display());
    book.finish("forgetting", &hash, report.lost_data).map_err(failed)?;
    Ok(report.lost_data)
}

/// The figures on one line, and what is to be said against them.
fn tell(found: &Forgetting, earlier: &Experiment) {
    outln!(
        "forgetting: {} on {} test frames of {}: AP50 {} -> {} ({} forgotten), AP {} -> {}",
        earlier.classes.join(", "),
        found.frames,
        earlier.output.display(),
        figure(found.before.ap50),
        figure(found.after.ap50),
        figure(found.forgotten_ap50),
        figure(found.before.ap),
        figure(found.after.ap)
    );
    for path in &found.seen {
        errln!(
            "warning: {} is in `data` with another split or block than in the earlier run, so that its test frames may have been trained on: forgetting looks smaller than it is",
            path.display()
        );
    }
}
