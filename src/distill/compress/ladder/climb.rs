//! Runs the commands of a ladder as child processes, one after the other: pruning measures times, which others at work would spoil.

use std::{io, path::Path, process::ExitStatus, sync::atomic::Ordering, thread};

use super::{Ladder, Step};
use crate::distill::{
    child::{DATA_LOST, Interrupts, LoggedChild, POLL, Watch, complaint},
    compress::{prune::GateVerdict, quantize::QuantizeReport},
    durable,
    stage::{StageBook, hash_of, input_hash},
};

/// Exit code of a command whose work failed, a refused bundle among others.
const WORK_FAILED: i32 = 1;

/// How a step went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepEnd {
    /// It was not started.
    NotRun,
    /// Its output is there.
    Done {
        /// Whether it was there already.
        earlier: bool,
        /// Whether part of the recordings could not be read.
        lost_data: bool,
    },
    /// It was cut or quantised and loses too much.
    Refused(String),
    /// It failed, and why.
    Failed(String),
    /// It was stopped and can go on.
    Interrupted,
    /// A step that it needs, an index into [`Ladder::steps`], has no output.
    Without(usize),
}

/// Runs the commands of a ladder.
#[derive(Debug)]
pub struct Climber<'a> {
    /// The ladder.
    pub ladder: &'a Ladder,
    /// The program `distill`.
    pub program: &'a Path,
    /// What Ctrl-C asks for.
    pub interrupts: &'a Interrupts,
}

impl Climber<'_> {
    /// Runs what is not done yet with the same inputs, and says of every step how it went. A step that fails costs those that need it.
    /// `watch` is told indices into [`Ladder::steps`], and of what is done already only that it ended.
    pub fn climb(&self, watch: &mut dyn Watch<StepEnd>) -> Vec<StepEnd> {
        let steps = &self.ladder.steps;
        let mut ends: Vec<StepEnd> = Vec::with_capacity(steps.len());
        for (place, step) in steps.iter().enumerate() {
            let needed = step.after.filter(|before| !matches!(ends.get(*before), Some(StepEnd::Done { .. })));
            let end = if self.is_stopping() {
                StepEnd::NotRun
            } else if let Some(before) = needed {
                StepEnd::Without(before)
            } else {
                let end = self.take(step, &mut || watch.started(place));
                watch.ended(place, &end);
                end
            };
            ends.push(end);
        }
        ends
    }

    fn is_stopping(&self) -> bool {
        self.interrupts.stop.load(Ordering::Relaxed)
    }

    /// Takes one step, unless that was done already.
    fn take(&self, step: &Step, started: &mut dyn FnMut()) -> StepEnd {
        let (hash, refused) = (hash_of_step(step), format!("{} (refused)", step.stage));
        let mut book = StageBook::open(&step.folder);
        if book.is_done(&step.stage, &hash, &step.output) {
            return StepEnd::Done { earlier: true, lost_data: book.lost_data(&step.stage) };
        }
        if let Some(verdict) = &step.verdict
            && book.is_done(&refused, &hash, verdict)
            && let Some(reason) = refusal(verdict, || "it loses more than its budget".to_owned())
        {
            // It would come to the same again.
            return StepEnd::Refused(reason);
        }
        started();
        let unwritten = |error: io::Error| StepEnd::Failed(format!("{}: {error}", step.folder.display()));
        if let Err(error) = clear(step).and_then(|()| book.begin(&step.stage, &hash)) {
            return unwritten(error);
        }
        let end = match LoggedChild::start(self.program, &step.log_path(), &step.arguments) {
            Ok(child) => self.wait_for(child, step),
            Err(reason) => StepEnd::Failed(reason),
        };
        let noted = match end {
            StepEnd::Done { lost_data, .. } => book.finish(&step.stage, &hash, lost_data),
            StepEnd::Refused(_) => book.finish(&refused, &hash, false),
            _ => Ok(()),
        };
        noted.map_or_else(unwritten, |()| end)
    }

    fn wait_for(&self, mut child: LoggedChild, step: &Step) -> StepEnd {
        let (mut asked, mut killed) = (false, false);
        loop {
            if self.is_stopping() && !asked {
                asked = true;
                child.ask_to_stop();
            }
            if self.interrupts.kill.load(Ordering::Relaxed) && !killed {
                killed = true;
                child.kill();
            }
            match child.ended() {
                Ok(None) => thread::sleep(POLL),
                Ok(Some(status)) => return how_it_ended(step, status, asked),
                Err(error) => return StepEnd::Failed(format!("cannot wait for it: {error}")),
            }
        }
    }
}

/// All that decides a step's result. What lies in the files is not read: their sizes and times of change tell. One that is missing is told
/// by the command that needs it.
fn hash_of_step(step: &Step) -> String {
    let inputs: Vec<Option<String>> = step.inputs.iter().map(|path| input_hash(path).ok()).collect();
    let arguments: Vec<_> = step.arguments.iter().map(|word| word.to_string_lossy()).collect();
    hash_of(&(env!("CARGO_PKG_VERSION"), arguments, &step.settings, inputs))
}

/// Removes what an earlier time has left: a child that is stopped ends as one that has finished, and only the output tells. So a bundle
/// of a looser gate is gone where a stricter one refuses it.
fn clear(step: &Step) -> io::Result<()> {
    durable::remove_file(&step.output)?;
    if let Some(verdict) = &step.verdict {
        durable::remove_file(verdict)?;
    }
    match &step.fills {
        Some(folder) if folder.exists() => std::fs::remove_dir_all(folder),
        _ => Ok(()),
    }
}

/// What a quantisation, or a cut student that has learnt again, loses beyond its budget, by its report; none where that is missing or within
/// the budget. Where it holds what JSON has no numbers for, because outputs overflow, `told` says it.
fn refusal(verdict: &Path, told: impl FnOnce() -> String) -> Option<String> {
    let bytes = std::fs::read(verdict).ok()?;
    if let Ok(report) = serde_json::from_slice::<QuantizeReport>(&bytes) {
        return report.excess();
    }
    match serde_json::from_slice::<GateVerdict>(&bytes) {
        Ok(cut) => cut.excess(),
        Err(_) => Some(told()),
    }
}

fn how_it_ended(step: &Step, status: ExitStatus, asked_to_stop: bool) -> StepEnd {
    match status.code() {
        // What was asked to stop may have just written its output; the next time finds it done in a moment.
        _ if asked_to_stop => StepEnd::Interrupted,
        Some(code @ (0 | DATA_LOST)) if step.output.exists() => {
            StepEnd::Done { earlier: false, lost_data: code == DATA_LOST }
        }
        Some(0 | DATA_LOST) => StepEnd::Failed(format!("it ended well, but {} is not there", step.output.display())),
        code => {
            let told = || complaint(status, &step.log_path());
            // A report within its budget is of a bundle that could not be written.
            let verdict = step.verdict.as_deref().filter(|_| code == Some(WORK_FAILED));
            let refused = verdict.and_then(|verdict| refusal(verdict, told));
            refused.map_or_else(|| StepEnd::Failed(told()), StepEnd::Refused)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::plan_tests::plan, *};
    use crate::distill::{child::Ear, compress::quantize::example_report};

    /// A ladder of four steps by a shell: one that makes a file, one that makes another of it, one that is refused, one that needs that.
    fn ladder(folder: &Path) -> Ladder {
        let mut ladder = plan(("", ""), &[]).unwrap();
        let source = folder.join("source");
        std::fs::write(&source, "a").unwrap();
        let step = |name: &str, after: Option<usize>, input: &Path, script: String| Step {
            title: name.to_owned(),
            folder: folder.join("rung"),
            stage: name.to_owned(),
            arguments: vec!["-c".into(), script.into()],
            output: folder.join(name),
            after,
            inputs: vec![input.to_owned()],
            ..Step::default()
        };
        let at = |name: &str| folder.join(name);
        let copy = |from: &str, to: &str| format!("cat {} > {}", at(from).display(), at(to).display());
        let (verdict, mut report) = (at("verdict.json"), example_report());
        report.worth.agreement = 0.5;
        std::fs::write(at("report"), serde_json::to_string(&report).unwrap()).unwrap();
        let refusal = format!("{}; echo error: refused; exit 1", copy("report", "verdict.json"));
        ladder.steps = vec![
            step("one", None, &source, copy("source", "one")),
            step("two", Some(0), &at("one"), copy("one", "two")),
            Step { verdict: Some(verdict), ..step("int8", Some(1), &at("two"), refusal) },
            step("four", Some(2), &at("int8"), "true".to_owned()),
        ];
        ladder
    }

    fn climb(ladder: &Ladder, interrupts: &Interrupts) -> (Vec<StepEnd>, Ear) {
        let mut ear = Ear::default();
        let ends = Climber { ladder, program: Path::new("sh"), interrupts }.climb(&mut ear);
        (ends, ear)
    }

    fn done(earlier: bool) -> StepEnd {
        StepEnd::Done { earlier, lost_data: false }
    }

    #[test]
    fn what_is_done_with_the_same_inputs_is_not_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let ladder = ladder(folder.path());
        let (ends, ear) = climb(&ladder, &Interrupts::default());
        let refused = ends[2].clone();
        assert!(matches!(&refused, StepEnd::Refused(reason) if reason.contains("0.500, below 0.970")), "{ends:?}");
        assert_eq!(ends, [done(false), done(false), refused.clone(), StepEnd::Without(2)]);
        assert_eq!((ear.started, ear.ended), (vec![0, 1, 2], vec![0, 1, 2]));

        let (ends, ear) = climb(&ladder, &Interrupts::default());
        assert_eq!(ends[..3], [done(true), done(true), refused]);
        assert_eq!((ear.started, ear.ended), (Vec::<usize>::new(), vec![0, 1, 2]), "nothing is made or refused anew");

        std::fs::write(folder.path().join("source"), "longer").unwrap();
        let (ends, _) = climb(&ladder, &Interrupts::default());
        assert_eq!(ends[..2], [done(false), done(false)]);
        assert_eq!(std::fs::read_to_string(folder.path().join("two")).unwrap(), "longer");
        std::fs::remove_file(folder.path().join("two")).unwrap();
        let (ends, _) = climb(&ladder, &Interrupts::default());
        assert_eq!(ends[..2], [done(true), done(false)]);
    }

    #[test]
    fn a_step_that_fails_costs_those_that_need_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut ladder = ladder(folder.path());
        ladder.steps[1].arguments = vec!["-c".into(), "echo error: disk full; exit 1".into()];
        let (ends, _) = climb(&ladder, &Interrupts::default());
        let failed = StepEnd::Failed("disk full".into());
        assert_eq!(ends, [done(false), failed, StepEnd::Without(1), StepEnd::Without(2)]);
        ladder.steps[1].arguments = vec!["-c".into(), "true".into()];
        let (ends, _) = climb(&ladder, &Interrupts::default());
        assert!(matches!(&ends[1], StepEnd::Failed(reason) if reason.contains("two is not there")), "{ends:?}");
    }

    #[test]
    fn what_the_report_allows_but_is_not_there_has_failed_and_what_overflows_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let ladder = ladder(folder.path());
        let climb_with = |loss: f64| {
            let report = QuantizeReport { loss, ..example_report() };
            std::fs::write(folder.path().join("report"), serde_json::to_string(&report).unwrap()).unwrap();
            let (mut ends, ear) = climb(&ladder, &Interrupts::default());
            (ends.swap_remove(2), ear.started.contains(&2))
        };
        let failed = StepEnd::Failed("refused".into());
        assert_eq!([climb_with(0.001), climb_with(0.001)], [(failed.clone(), true), (failed, true)]);
        assert_eq!(climb_with(f64::INFINITY), (StepEnd::Refused("refused".into()), true));
        let (end, started) = climb_with(f64::INFINITY);
        assert!(matches!(end, StepEnd::Refused(_)) && !started, "{end:?}");
    }

    #[test]
    fn a_cut_student_that_loses_too_much_is_refused_by_its_own_verdict() {
        let folder = tempfile::tempdir().unwrap();
        let ladder = ladder(folder.path());
        let judged =
            |ap50: f64| serde_json::json!({"ap": ap50, "ap50": ap50, "ap75": null, "per_class": [], "images": 70});
        let climb_with = |after: f64| {
            let verdict = serde_json::json!({
                "against": "run", "truth": "labels", "budget": 1.0, "forced": false, "judged": [judged(0.8), judged(after)],
            });
            std::fs::write(folder.path().join("report"), verdict.to_string()).unwrap();
            climb(&ladder, &Interrupts::default()).0
        };
        // Within its budget something else has failed.
        assert_eq!(climb_with(0.8)[2], StepEnd::Failed("refused".into()));
        let ends = climb_with(0.7);
        assert!(matches!(&ends[2], StepEnd::Refused(reason) if reason.contains("10.00 points where 1.00")), "{ends:?}");
        assert_eq!(ends[3], StepEnd::Without(2), "what comes of it is left out");
    }

    #[test]
    fn what_a_looser_gate_let_pass_is_gone_once_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let strict = ladder(folder.path());
        let [bundle, verdict, within] = ["int8", "verdict.json", "within"].map(|name| folder.path().join(name));
        std::fs::write(&within, serde_json::to_string(&example_report()).unwrap()).unwrap();
        let script = format!("cat {} > {}; echo x > {}", within.display(), verdict.display(), bundle.display());
        let mut loose = strict.clone();
        loose.steps[2].arguments = vec!["-c".into(), script.into()];
        let own = folder.path().join("rung").join("mine.onnx");
        std::fs::create_dir(folder.path().join("rung")).unwrap();
        std::fs::write(&own, "").unwrap();
        // There and back twice: the second time the refusal is in the book, and the report on disk is of the looser gate.
        for _ in 0..2 {
            let (ends, _) = climb(&loose, &Interrupts::default());
            assert!(ends[2] == done(false) && bundle.exists(), "{ends:?}");
            let (ends, ear) = climb(&strict, &Interrupts::default());
            assert!(matches!(ends[2], StepEnd::Refused(_)) && ear.started == [2], "{ends:?}");
            assert!(!bundle.exists() && own.exists());
        }
    }

    #[test]
    fn what_was_left_in_a_folder_is_removed_before_it_is_filled() {
        let folder = tempfile::tempdir().unwrap();
        let mut ladder = ladder(folder.path());
        let filled = folder.path().join("round_1");
        std::fs::create_dir(&filled).unwrap();
        std::fs::write(filled.join("old"), "").unwrap();
        ladder.steps[0].fills = Some(filled.clone());
        climb(&ladder, &Interrupts::default());
        assert!(!filled.exists());
    }

    #[test]
    fn nothing_starts_after_an_interrupt() {
        let folder = tempfile::tempdir().unwrap();
        let interrupts = Interrupts::default();
        interrupts.stop.store(true, Ordering::Relaxed);
        let (ends, ear) = climb(&ladder(folder.path()), &interrupts);
        assert!(ear.started.is_empty() && ends.iter().all(|end| *end == StepEnd::NotRun));
    }
}
