//! Runs the trainings of an ablation as child processes, several at a time.

use std::{collections::VecDeque, path::Path, process::ExitStatus, sync::atomic::Ordering, thread};

use super::{Plan, PlannedRun, RunFigures};
use crate::distill::child::{DATA_LOST, Interrupts, LoggedChild, POLL, Watch, complaint};

/// How a run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// It was not started.
    NotRun,
    /// It finished; its figures are in its folder.
    Finished {
        /// Whether part of the recordings could not be read.
        lost_data: bool,
    },
    /// It was stopped and can go on.
    Interrupted,
    /// It failed, and why.
    Failed(String),
}

/// Runs trainings as child processes.
#[derive(Debug)]
pub struct Runner<'a> {
    /// The ablation.
    pub plan: &'a Plan,
    /// The program `distill`.
    pub program: &'a Path,
    /// Children at a time, at least 1.
    pub jobs: usize,
    /// What Ctrl-C asks for.
    pub interrupts: &'a Interrupts,
}

/// A child at work.
struct Running {
    run: usize,
    child: LoggedChild,
}

impl Runner<'_> {
    /// Runs what is queued, indices into [`Plan::runs`] as those that `watch` is told, and says of every run of the plan how it went.
    pub fn run(&self, mut queue: VecDeque<usize>, watch: &mut dyn Watch<RunEnd>) -> Vec<RunEnd> {
        let mut ends = vec![RunEnd::NotRun; self.plan.runs.len()];
        let mut running: Vec<Running> = Vec::new();
        let (mut asked, mut killed) = (false, false);
        loop {
            let stopping = self.interrupts.stop.load(Ordering::Relaxed);
            if stopping {
                queue.clear();
                if !asked {
                    asked = true;
                    running.iter().for_each(|running| running.child.ask_to_stop());
                }
                if !killed && self.interrupts.kill.load(Ordering::Relaxed) {
                    killed = true;
                    running.iter_mut().for_each(|running| running.child.kill());
                }
            }
            while running.len() < self.jobs.max(1) {
                let Some(run) = queue.pop_front() else { break };
                watch.started(run);
                match self.start(&self.plan.runs[run]) {
                    Ok(child) => running.push(Running { run, child }),
                    Err(reason) => {
                        ends[run] = RunEnd::Failed(reason);
                        watch.ended(run, &ends[run]);
                    }
                }
            }
            if running.is_empty() {
                return ends;
            }
            thread::sleep(POLL);
            let mut place = 0;
            while place < running.len() {
                let run = running[place].run;
                let planned = &self.plan.runs[run];
                watch.epochs(run, planned.epochs_made());
                let end = match running[place].child.ended() {
                    Ok(None) => {
                        place += 1;
                        continue;
                    }
                    Ok(Some(status)) => how_it_ended(planned, status, self.interrupts.stop.load(Ordering::Relaxed)),
                    Err(error) => RunEnd::Failed(format!("cannot wait for it: {error}")),
                };
                running.swap_remove(place);
                watch.ended(run, &end);
                ends[run] = end;
            }
        }
    }

    /// Starts a run; what it says goes to its log.
    fn start(&self, run: &PlannedRun) -> Result<LoggedChild, String> {
        LoggedChild::start(self.program, &run.log_path(), &self.plan.arguments(run))
    }
}

fn how_it_ended(run: &PlannedRun, status: ExitStatus, stopping: bool) -> RunEnd {
    if let Some(code @ (0 | DATA_LOST)) = status.code()
        && RunFigures::read(run).is_some()
    {
        return RunEnd::Finished { lost_data: code == DATA_LOST };
    }
    if stopping {
        return RunEnd::Interrupted;
    }
    RunEnd::Failed(complaint(status, &run.log_path()))
}

#[cfg(test)]
mod tests {
    use super::{super::Choice, *};
    use crate::distill::{ablate::plan::tests::plan, child::Ear};

    /// Runs all runs of a plan by a program that is not `distill`.
    fn run_by(program: &str, interrupts: &Interrupts) -> (tempfile::TempDir, Vec<RunEnd>, Ear) {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = plan(("", ""), &Choice::default()).unwrap();
        for (index, run) in plan.runs.iter_mut().enumerate() {
            run.folder = folder.path().join(index.to_string());
        }
        let mut ear = Ear::default();
        let runner = Runner { plan: &plan, program: Path::new(program), jobs: 4, interrupts };
        let ends = runner.run((0..plan.runs.len()).collect(), &mut ear);
        (folder, ends, ear)
    }

    #[test]
    fn each_run_has_its_end_whatever_the_others_do() {
        // It ends well, but leaves no figures.
        let (folder, ends, mut ear) = run_by("true", &Interrupts::default());
        assert_eq!(ear.started, [0, 1, 2, 3, 4, 5]);
        ear.ended.sort_unstable();
        assert_eq!(ear.ended, ear.started);
        for (index, end) in ends.iter().enumerate() {
            let RunEnd::Failed(reason) = end else { panic!("{end:?}") };
            assert!(reason.starts_with("$ distill run ") && reason.contains("--resume"), "{reason}");
            assert!(folder.path().join(index.to_string()).join("log.txt").is_file());
        }
        let (_folder, ends, _) = run_by("/no/such/program", &Interrupts::default());
        assert!(ends.iter().all(|end| matches!(end, RunEnd::Failed(reason) if reason.contains("/no/such/program"))));
    }

    #[test]
    fn nothing_starts_after_an_interrupt() {
        let interrupts = Interrupts::default();
        interrupts.stop.store(true, Ordering::Relaxed);
        let (_folder, ends, ear) = run_by("true", &interrupts);
        assert!(ear.started.is_empty());
        assert!(ends.iter().all(|end| *end == RunEnd::NotRun));
    }

    #[test]
    fn a_folder_that_is_worked_in_is_left_alone() {
        let mut plan = plan(("", ""), &Choice::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        plan.runs[0].folder = folder.path().to_owned();
        let log = std::fs::File::create(plan.runs[0].log_path()).unwrap();
        log.try_lock().unwrap();
        let interrupts = Interrupts::default();
        let runner = Runner { plan: &plan, program: Path::new("true"), jobs: 1, interrupts: &interrupts };
        let ends = runner.run(VecDeque::from([0]), &mut Ear::default());
        assert!(matches!(&ends[0], RunEnd::Failed(reason) if reason.contains("another process")), "{ends:?}");
        assert_eq!(std::fs::read(plan.runs[0].log_path()).unwrap(), b"");
    }
}
