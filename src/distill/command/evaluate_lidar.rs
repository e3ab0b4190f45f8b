//! The evaluation of a lidar experiment.

use std::{io::IsTerminal, path::Path};

use indicatif::ProgressBar;

use super::{
    WorkFailed,
    label_lidar::Labelled,
    report::default_page,
    run::file_name,
    run_lidar::{LidarRun, Trained},
};
use crate::{
    distill::{
        durable,
        evaluate::bundle_path,
        lidar::{
            blocks::TestSweep,
            config::LidarTask,
            evaluate::{JudgeBy, JudgeOptions, LidarReport, judge},
            gallery::{SweepGallery, draw_gallery},
            labels::LabelledSweep,
            result::LidarResult,
        },
        stage::{StageBook, hash_of},
    },
    model::{
        SessionOptions,
        bundle::{read_metadata, write_metadata},
        lidar::{LidarDetector, LidarSpec},
    },
};

/// Longest list of numbers that a bundle keeps of its evaluation: curves stay in the report.
const LONGEST_FIGURES: usize = 16;

impl LidarRun<'_> {
    /// Judges the student on the test block, writes `report.json` and the gallery, and puts the figures into its bundle, unless that
    /// was done already; says whether there is something to report.
    pub fn evaluate_stage(&self, trained: &Trained, labelled: &Labelled, book: &mut StageBook) -> anyhow::Result<bool> {
        let experiment = self.experiment;
        let output = &experiment.output;
        let path = output.join("report.json");
        let unwritten = |error: std::io::Error| WorkFailed(format!("{}: {error}", path.display()));
        let hash = hash_of(&(self.export_hash(trained), &labelled.hash, &experiment.evaluate));
        if book.is_done("evaluate", &hash, &path)
            && SweepGallery::path(output).exists()
            && let Some(result) = LidarResult::read(&path)
        {
            out!("{}", result.student.to_text());
            outln!("evaluate: done already, {}", path.display());
            return Ok(true);
        }
        let mut test = self.blocks.test();
        let by_truth = test.iter().any(|test| test.sweep.truth.is_some());
        let all = test.len();
        test.retain(|test| if by_truth { test.sweep.truth.is_some() } else { test.sweep.labels.is_known() });
        if test.is_empty() {
            // Those of an earlier student would be taken for this one's.
            for old in [&path, &default_page(output)] {
                durable::remove_file(old).map_err(unwritten)?;
            }
            outln!(
                "evaluate: there is no test block with truth or labels to judge by (split.test, data[].block); no report"
            );
            return Ok(false);
        }
        if test.len() < all {
            let what = if by_truth { "truth" } else { "labels" };
            outln!("evaluate: {} of the test block's {all} sweeps have no {what} and are left out", all - test.len());
        }
        book.begin("evaluate", &hash).map_err(unwritten)?;
        let bundle = bundle_path(output);
        let mut detector = LidarDetector::load(&bundle, &SessionOptions::default())?;
        let options = experiment.evaluate.options(if by_truth { JudgeBy::Truth } else { JudgeBy::Labels });
        let sweeps: Vec<&LabelledSweep> = test.iter().map(|test| test.sweep).collect();
        let bar = bar(sweeps.len());
        let report = judge(&mut detector, &sweeps, &options, &mut |done| {
            bar.set_position(done as u64);
            self.watched()
        });
        bar.finish_and_clear();
        let Some(report) = report? else {
            outln!("stopped; the same command goes on");
            return Ok(false);
        };
        let bytes = std::fs::metadata(&bundle).map_err(unwritten)?.len();
        let names: Vec<String> = experiment.data.iter().map(|data| file_name(&data.path)).collect();
        let result = LidarResult {
            task: LidarTask::Lidar,
            name: experiment.name.clone(),
            classes: experiment.classes.clone(),
            labels: labelled.recordings.iter().map(|recording| recording.facts.clone()).collect(),
            losses: losses(&names, labelled),
            student: LidarReport { bytes, ..report },
            data: names,
        };
        out!("{}", result.student.to_text());
        durable::write_bytes(&path, &serde_json::to_vec_pretty(&result)?).map_err(unwritten)?;
        outln!("evaluate: {}", path.display());
        draw(&mut detector, &test, &result.data, &options, output)?;
        write_figures(&bundle, &result)?;
        book.finish("evaluate", &hash, false).map_err(unwritten)?;
        Ok(true)
    }
}

/// What could not be read of each recording, in words.
fn losses(names: &[String], labelled: &Labelled) -> Vec<String> {
    let recordings = names.iter().zip(&labelled.recordings).filter(|(_, recording)| !recording.loss.is_empty());
    recordings.map(|(name, recording)| format!("{name}: {}", recording.loss)).collect()
}

/// Draws the sweeps on which the student is most wrong into the run's folder.
fn draw(
    detector: &mut LidarDetector,
    test: &[TestSweep<'_>],
    recordings: &[String],
    options: &JudgeOptions,
    output: &Path,
) -> anyhow::Result<()> {
    let bar = bar(test.len());
    let drawn = draw_gallery(detector, test, recordings, options, &mut |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let (gallery, pictures) = drawn?;
    let index = SweepGallery::path(output);
    gallery.write(&pictures, output).map_err(|error| WorkFailed(format!("{}: {error}", index.display())))?;
    outln!(
        "evaluate: drew {} of {} sweeps, the worst first: {}",
        gallery.sweeps.len(),
        gallery.compared,
        index.display()
    );
    Ok(())
}

/// A bar over so many sweeps, where somebody looks.
fn bar(sweeps: usize) -> ProgressBar {
    if std::io::stderr().is_terminal() { ProgressBar::new(sweeps as u64) } else { ProgressBar::hidden() }
}

/// Puts what the student was worth on the test block into its bundle's metadata.
fn write_figures(bundle: &Path, result: &LidarResult) -> anyhow::Result<()> {
    let Some(mut metadata) = read_metadata::<LidarSpec>(bundle)? else { return Ok(()) };
    let mut figures = serde_json::to_value(&result.student)?;
    drop_curves(&mut figures);
    metadata.set_figures(figures);
    let unwritten = |error: std::io::Error| WorkFailed(format!("{}: {error}", bundle.display()));
    let bytes = write_metadata(&std::fs::read(bundle).map_err(unwritten)?, &metadata)?;
    durable::write_bytes(bundle, &bytes).map_err(unwritten)?;
    Ok(())
}

/// Empties long lists of numbers.
fn drop_curves(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(list) => {
            if list.len() > LONGEST_FIGURES {
                list.clear();
            }
            list.iter_mut().for_each(drop_curves);
        }
        serde_json::Value::Object(map) => map.values_mut().for_each(drop_curves),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_keeps_figures_and_no_curves() {
        let mut figures = serde_json::json!({"ap": 0.5, "classes": [{"recall": vec![0.0; 200], "truths": 3}]});
        drop_curves(&mut figures);
        assert_eq!(figures, serde_json::json!({"ap": 0.5, "classes": [{"recall": [], "truths": 3}]}));
    }
}
