//! `distill audit`: what each teacher is worth, before a student learns from them.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;

use super::{
    Outcome, WorkFailed,
    train::{data_identity, read_targets},
};
use crate::distill::{
    audit::{Audit, AuditOptions, audit, read_truth},
    config::{Experiment, TargetSource},
    durable,
    stage::{StageBook, hash_of},
    targets::TargetSet,
};

/// Judge the teachers of an experiment before a student learns from them.
///
///   distill audit my.yaml
///
/// Who invents boxes, who misses objects, whose scores can be believed, who changes over a recording, who fails in the dark, on
/// blurred pictures, on small objects, at the edge; over all its boxes and class by class, for a teacher may be good at one class
/// and drift at another. Computed from the soft targets, in which each teacher's own boxes lie: no teacher is run again, so label
/// first (`distill label`, or `distill run`, which audits by itself before it trains).
///
/// Where recordings have truth (`data[].truth`), that judges, but for the test block, on which nothing is ever chosen. Elsewhere
/// the teachers judge each other: what all get wrong stays hidden, and two teachers cannot tell which of them is wrong.
///
/// Nothing is changed. Where another trust is proposed, write it into the teacher's entry and label again:
///
///   distill audit my.yaml --json audit.json
///   distill run my.yaml --set teachers.1.trust=0.5
///
/// All figures go to audit.json in the output folder; `distill report` shows them as charts, those of each class folded away.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct AuditArgs {
    /// The experiment.
    #[arg(value_name = "CONFIG.yaml")]
    config: PathBuf,
    /// Change a value of the experiment, for instance output=runs/other; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Write the figures to this file too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Audits, prints everything and writes `audit.json`.
pub fn run(args: AuditArgs) -> anyhow::Result<Outcome> {
    let experiment = Experiment::load(&args.config, &args.set)?;
    if experiment.targets == TargetSource::Truth {
        bail!(
            "{}: targets: truth: it learns from the recordings' own truth, there is no teacher",
            args.config.display()
        );
    }
    let audit = make(&experiment, &read_targets(&experiment)?)?;
    let path = audit_path(&experiment);
    for path in [Some(&path), args.json.as_ref()].into_iter().flatten() {
        write(&audit, path)?;
    }
    out!("{}", audit.to_text());
    outln!("audit: {}", path.display());
    Ok(Outcome::Done)
}

/// Audits between labelling and training, unless that was done already, and prints what stands out.
pub(super) fn audit_stage(experiment: &Experiment, book: &mut StageBook) -> anyhow::Result<()> {
    let targets = read_targets(experiment)?;
    let path = audit_path(experiment);
    let hash = hash_of(&serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "targets": targets.config_hash,
        "frames": targets.frames.len(),
        "data": data_identity(experiment)?,
        "split": experiment.split,
    }));
    // One of another version or that was damaged is made again.
    let kept = if book.is_done("audit", &hash, &path) { read(&path) } else { None };
    let audit = match kept {
        Some(audit) => audit,
        None => {
            let audit = make(experiment, &targets)?;
            write(&audit, &path)?;
            book.finish("audit", &hash, false)
                .map_err(|error| WorkFailed(format!("{}: {error}", experiment.output.display())))?;
            audit
        }
    };
    outln!("audit: {}", audit.summary());
    for line in audit.verdicts() {
        outln!("  {line}");
    }
    outln!("  all figures: {}; as tables: `distill audit`", path.display());
    Ok(())
}

fn audit_path(experiment: &Experiment) -> PathBuf {
    experiment.output.join("audit.json")
}

fn make(experiment: &Experiment, targets: &TargetSet) -> anyhow::Result<Audit> {
    let truth = read_truth(experiment, targets)?;
    Ok(audit(targets, truth.as_ref(), AuditOptions::default()))
}

fn write(audit: &Audit, path: &Path) -> anyhow::Result<()> {
    let json = serde_json::to_vec_pretty(audit)?;
    durable::write_bytes(path, &json).map_err(|error| WorkFailed(format!("{}: {error}", path.display())))?;
    Ok(())
}

fn read(path: &Path) -> Option<Audit> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
