//! The evaluation of a lidar experiment's student: figures, and sweeps to look at.

use std::{io::IsTerminal, path::Path};

use indicatif::ProgressBar;

use super::{
    WorkFailed,
    label_lidar::Labelled,
    run::file_name,
    run_lidar::{LidarRun, Trained},
};
use crate::{
    distill::{
        durable,
        evaluate::bundle_path,
        lidar::{
            config::LidarTask,
            evaluate::{JudgeBy, LidarReport, judge},
            labels::LabelledSweep,
            picture::{View, from_above, write_png},
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

/// Sweeps of the test block that are drawn.
const PICTURES: usize = 6;

impl LidarRun<'_> {
    /// Judges the student on the test block, writes `report.json`, and puts the figures into its bundle, unless that was done already.
    pub fn evaluate_stage(&self, trained: &Trained, labelled: &Labelled, book: &mut StageBook) -> anyhow::Result<()> {
        let experiment = self.experiment;
        let path = experiment.output.join("report.json");
        let unwritten = |error: std::io::Error| WorkFailed(format!("{}: {error}", path.display()));
        let hash = hash_of(&(self.export_hash(trained), &labelled.hash, &experiment.evaluate));
        if book.is_done("evaluate", &hash, &path)
            && let Some(result) = LidarResult::read(&path)
        {
            out!("{}", result.student.to_text());
            outln!("evaluate: done already, {}", path.display());
            return Ok(());
        }
        let test = self.blocks.test();
        let by_truth = test.iter().any(|sweep| sweep.truth.is_some());
        let is_judged = |sweep: &&LabelledSweep| if by_truth { sweep.truth.is_some() } else { sweep.labels.is_known() };
        let all = test.len();
        let sweeps: Vec<&LabelledSweep> = test.into_iter().filter(is_judged).collect();
        if sweeps.is_empty() {
            // Those of an earlier student would be taken for this one's.
            durable::remove_file(&path).map_err(unwritten)?;
            outln!(
                "evaluate: there is no test block with truth or labels to judge by (split.test, data[].block); no report"
            );
            return Ok(());
        }
        if sweeps.len() < all {
            let what = if by_truth { "truth" } else { "labels" };
            outln!("evaluate: {} of the test block's {all} sweeps have no {what} and are left out", all - sweeps.len());
        }
        book.begin("evaluate", &hash).map_err(unwritten)?;
        let bundle = bundle_path(&experiment.output);
        let mut detector = LidarDetector::load(&bundle, &SessionOptions::default())?;
        let options = experiment.evaluate.options(if by_truth { JudgeBy::Truth } else { JudgeBy::Labels });
        let bar =
            if std::io::stderr().is_terminal() { ProgressBar::new(sweeps.len() as u64) } else { ProgressBar::hidden() };
        let report = judge(&mut detector, &sweeps, &options, &mut |done| {
            bar.set_position(done as u64);
            self.watched()
        });
        bar.finish_and_clear();
        let Some(report) = report? else {
            outln!("stopped; the same command goes on");
            return Ok(());
        };
        let bytes = std::fs::metadata(&bundle).map_err(unwritten)?.len();
        let result = LidarResult {
            task: LidarTask::Lidar,
            name: experiment.name.clone(),
            classes: experiment.classes.clone(),
            data: experiment.data.iter().map(|data| file_name(&data.path)).collect(),
            labels: labelled.recordings.iter().map(|recording| recording.facts.clone()).collect(),
            student: LidarReport { bytes, ..report },
        };
        out!("{}", result.student.to_text());
        durable::write_bytes(&path, &serde_json::to_vec_pretty(&result)?).map_err(unwritten)?;
        outln!("evaluate: {}", path.display());
        self.draw(&mut detector, &sweeps, options.by)?;
        write_figures(&bundle, &result)?;
        book.finish("evaluate", &hash, false).map_err(unwritten)?;
        Ok(())
    }

    /// Draws some sweeps of the test block, evenly spread over it, with what is true and what the student finds.
    fn draw(&self, detector: &mut LidarDetector, sweeps: &[&LabelledSweep], by: JudgeBy) -> anyhow::Result<()> {
        let folder = self.experiment.output.join("pictures");
        let view = View { reach: self.experiment.sensor.max_range, ..View::default() };
        let count = PICTURES.min(sweeps.len());
        for place in 0..PICTURES {
            let path = folder.join(format!("test_{}.png", place + 1));
            let unwritten = |error: std::io::Error| WorkFailed(format!("{}: {error}", path.display()));
            if place >= count {
                // One of an earlier, longer test.
                durable::remove_file(&path).map_err(unwritten)?;
                continue;
            }
            let sweep = sweeps[place * sweeps.len() / count];
            let found = detector.detect(&sweep.sweep)?;
            write_png(&from_above(&sweep.sweep, by.labels(sweep), &found, view), &path).map_err(unwritten)?;
        }
        outln!("evaluate: sweeps from above, true objects as rings, found ones as crosses: {}", folder.display());
        Ok(())
    }
}

/// Puts what the student was worth on the test block into its bundle's metadata.
fn write_figures(bundle: &Path, result: &LidarResult) -> anyhow::Result<()> {
    let Some(mut metadata) = read_metadata::<LidarSpec>(bundle)? else { return Ok(()) };
    let mut figures = serde_json::to_value(&result.student)?;
    drop_curves(&mut figures);
    metadata.figures = match figures {
        serde_json::Value::Object(figures) => figures,
        _ => serde_json::Map::new(),
    };
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
