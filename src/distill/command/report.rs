//! `distill report`: a run as a page to look at.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Outcome, WorkFailed};
use crate::distill::{
    durable,
    report::{ReportOptions, report},
};

/// Lay out what a run has reached as one HTML page: figures, curves, teachers, the worst frames, and how to repeat it.
///
///   distill report runs/indoor_person
///
/// The page is one file without scripts that loads nothing from anywhere: mail it, or open it in any browser. `distill run` writes it
/// at its end; write it again after a change of the run, or somewhere else:
///
///   distill report runs/indoor_person --out indoor_person.html
///
/// A run that `distill ablate` made shows the whole ablation, too:
///
///   distill report runs/ablate_warehouse/response/seed_1
///
/// A lidar student's run is laid out by the same command: average precision of centres, each class, where the labels came from and how
/// much of the points they cover, whether camera and lidar fit together, and the sweeps with the worst mistakes seen from above, as
/// `distill run` has drawn them:
///
///   distill report runs/legs
///
/// The pictures are frames of the recordings. Leave them out where faces shall not be passed on, or to be done at once; the inherited
/// errors are then left out, too:
///
///   distill report runs/indoor_person --no-gallery
///
/// With the figures of boards that `distill bench --json` has measured there, the page shows for each board how accurate the run's models
/// are and how long they take on it, with the front of those that no other beats in both:
///
///   distill report runs/indoor_person --bench pi5.json --bench orin.json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct ReportArgs {
    /// The output folder of a run.
    run: PathBuf,
    /// Where to write the page; by default report.html in the run's folder.
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    /// Show no frames or sweeps of the recordings.
    #[arg(long)]
    no_gallery: bool,
    /// Figures of a board, out of `distill bench --json`; may be given several times.
    #[arg(long, value_name = "FILE.json")]
    bench: Vec<PathBuf>,
}

/// Writes the page and tells where it is.
pub fn run(args: ReportArgs) -> anyhow::Result<Outcome> {
    let page = args.out.unwrap_or_else(|| default_page(&args.run));
    write_report(&args.run, &page, ReportOptions { gallery: !args.no_gallery }, &args.bench)?;
    outln!("{}", page.display());
    Ok(Outcome::Done)
}

/// Where a run's page lies unless somebody wants it elsewhere.
pub(super) fn default_page(run: &Path) -> PathBuf {
    run.join("report.html")
}

/// Makes a run's page and writes it.
pub(super) fn write_report(run: &Path, page: &Path, options: ReportOptions, benches: &[PathBuf]) -> anyhow::Result<()> {
    let html = report(run, options, benches)?;
    durable::write_bytes(page, html.as_bytes())
        .map_err(|error| WorkFailed(format!("{}: {error}", page.display())).into())
}
