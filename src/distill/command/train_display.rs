//! What a user sees while a student trains.

use std::{
    io::IsTerminal,
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::distill::{
    figure_table::figure,
    train::{EpochRecord, Observer, StepReport},
};

/// Columns of the terminal that the losses are told in.
const COLUMNS: usize = 100;

/// Progress on stderr: a bar on a terminal, a line an epoch everywhere.
pub(super) struct TrainDisplay<'a> {
    bar: Option<ProgressBar>,
    epochs: usize,
    /// What is trained on, in the plural.
    examples: &'static str,
    stop: &'a AtomicBool,
    start: Instant,
    /// Steps made when the first step was shown, for the time left.
    first_step: Option<usize>,
    last_line: Instant,
    /// The last validation's figures.
    validation: String,
}

impl<'a> TrainDisplay<'a> {
    const LINE_EVERY: Duration = Duration::from_secs(30);

    /// The display of a training of so many epochs on such examples (`images`, `sweeps`), which ends early when `stop` is set.
    pub fn new(epochs: usize, examples: &'static str, stop: &'a AtomicBool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            // The template is fixed and right; a wrong one would only cost the looks.
            let template = "{bar:24} {pos}/{len} steps  {prefix}  {eta} left\n{wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        let now = Instant::now();
        Self { bar, epochs, examples, stop, start: now, first_step: None, last_line: now, validation: String::new() }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Seconds left, by the steps of this process.
    fn seconds_left(&self, step: usize, steps: usize) -> f64 {
        let made = step.saturating_sub(self.first_step.unwrap_or(step)).max(1);
        self.start.elapsed().as_secs_f64() / made as f64 * steps.saturating_sub(step) as f64
    }

    /// The epoch and the last validation.
    fn place(&self, epoch: usize) -> String {
        format!("epoch {epoch}/{}{}", self.epochs, self.validation)
    }
}

impl Observer for TrainDisplay<'_> {
    fn on_step(&mut self, report: &StepReport) -> ControlFlow<()> {
        if self.first_step.is_none() {
            let before = report.step - 1;
            self.first_step = Some(before);
            if let Some(bar) = &self.bar {
                // Steps of a training that is gone on with took this process no time.
                bar.set_position(before as u64);
                bar.set_length(report.steps as u64);
                bar.reset_eta();
            }
        }
        let place = self.place(report.epoch);
        if let Some(bar) = &self.bar {
            bar.set_position(report.step as u64);
            bar.set_prefix(place);
            bar.set_message(format!("loss {}", report.losses.brief(COLUMNS - "loss ".len())));
        } else if self.last_line.elapsed() >= Self::LINE_EVERY {
            self.last_line = Instant::now();
            let left = self.seconds_left(report.step, report.steps);
            errln!("step {}/{}  {place}  loss {}  {left:.0} s left", report.step, report.steps, report.losses);
        }
        if self.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn on_epoch(&mut self, record: &EpochRecord) {
        let ap = figure(record.validation_ap);
        let validation = match record.validation_point_iou {
            Some(iou) => format!("AP {ap} point IoU {iou:.3}"),
            None => format!("AP {ap} AP50 {}", figure(record.validation_ap50)),
        };
        if record.validation_ap.is_some() || record.validation_point_iou.is_some() {
            self.validation = format!("  {validation}");
        }
        let terms: Vec<String> = record.terms.iter().map(|(name, mean)| format!("{name} {mean:.3}")).collect();
        let line = format!(
            "epoch {:>3}/{}  loss {:.3} ({})  validation {validation}{}  {:.1} {}/s, waiting {:.1} %",
            record.epoch,
            self.epochs,
            record.loss,
            terms.join(", "),
            if record.best { " *" } else { "" },
            record.images_per_second,
            self.examples,
            100.0 * record.wait_share
        );
        match &self.bar {
            Some(bar) => bar.println(line),
            None => errln!("{line}"),
        }
        self.last_line = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_validation_is_kept_over_epochs_without_one() {
        let stop = AtomicBool::new(false);
        let mut display = TrainDisplay::new(40, "images", &stop);
        assert_eq!(display.place(1), "epoch 1/40");
        let record = |epoch: usize, ap: Option<f64>| EpochRecord {
            epoch,
            step: epoch,
            loss: 1.0,
            terms: std::collections::BTreeMap::new(),
            gradient_norm: 1.0,
            learning_rate: 0.1,
            validation_ap: ap,
            validation_ap50: ap.map(|ap| ap + 0.25),
            validation_point_iou: None,
            best: false,
            seconds: 1.0,
            images_per_second: 1.0,
            wait_share: 0.0,
        };
        display.on_epoch(&record(1, Some(0.5)));
        display.on_epoch(&record(2, None));
        assert_eq!(display.place(3), "epoch 3/40  AP 0.500 AP50 0.750");
        display.finish();
    }
}
