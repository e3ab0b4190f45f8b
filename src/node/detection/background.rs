//! The thread that does what the others have no time for: it loads models, lets go of them, and tries the candidate.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, mpsc::Sender},
    time::Instant,
};

use super::{
    agreement::{Seen, agreement},
    exchange::{Cause, Event, Exchange, Task, Trial},
    shadow::{Candidate, Shadow},
    work::{Ready, Work},
};
use crate::node::{gate::Gate, host::lock, onlooker::ModelIdentity, parameters::DetectorParameters};

/// Publishes the agreement on one frame.
pub(super) type Publish = Box<dyn Fn(f64) + Send>;

/// What the thread works with.
pub(super) struct Background<W: Work> {
    pub(super) exchange: Arc<Exchange<W>>,
    pub(super) events: Sender<Event>,
    pub(super) parameters: Arc<Mutex<W::Parameters>>,
    pub(super) shadow: Arc<Mutex<Shadow>>,
    pub(super) gate: Arc<Gate>,
    pub(super) publish: Publish,
    pub(super) candidate: Option<Ready<W::Model>>,
}

impl<W: Work> Background<W> {
    /// Works until the exchange is closed.
    pub(super) fn run(mut self) {
        loop {
            match self.exchange.next_task(self.candidate.is_some()) {
                Task::End => return,
                Task::Free(models) => drop(models),
                Task::Promote => self.promote(),
                Task::Load(parameters) => self.load(&parameters),
                Task::LoadCandidate(parameters) => self.load_candidate(parameters),
                Task::Try(trial) => self.try_candidate(&trial),
            }
        }
    }

    fn tell(&self, event: Event) {
        // Nobody hears it once the node is cleaned up.
        let _ = self.events.send(event);
    }

    fn load(&self, parameters: &W::Parameters) {
        match self.checked(parameters) {
            Ok(ready) => drop(self.exchange.hand_over(ready, Cause::Asked)),
            Err(error) => {
                self.exchange.load_failed();
                self.tell(Event::Refused { path: parameters.model().to_owned(), reason: format!("{error:#}") });
            }
        }
    }

    fn load_candidate(&mut self, parameters: Option<W::Parameters>) {
        self.candidate = None;
        *lock(&self.shadow) = Shadow::default();
        let Some(parameters) = parameters else { return };
        match self.checked(&parameters) {
            Ok(ready) => {
                lock(&self.shadow).candidate = Some(Candidate::new(ready.identity.clone()));
                self.tell(Event::Tried(ready.identity.clone()));
                self.candidate = Some(ready);
            }
            Err(error) => self.refuse_candidate(parameters.model().to_owned(), format!("{error:#}")),
        }
    }

    fn refuse_candidate(&mut self, path: String, reason: String) {
        self.candidate = None;
        *lock(&self.shadow) = Shadow { candidate: None, refusal: Some(format!("{path} is no candidate: {reason}")) };
        self.tell(Event::CandidateRefused { path, reason });
    }

    /// Loads a model that could take the running one's place.
    fn checked(&self, parameters: &W::Parameters) -> anyhow::Result<Ready<W::Model>> {
        let begun = Instant::now();
        let loaded = catch_unwind(AssertUnwindSafe(|| W::load(parameters)));
        let model = loaded.unwrap_or_else(|_| Err(anyhow::anyhow!("a fault in the program; please report it")))?;
        let ready = Ready::of::<W>(model);
        self.check_classes(&ready.identity)?;
        tracing::info!("{} is loaded after {:.1} s", ready.identity.path, begun.elapsed().as_secs_f64());
        Ok(ready)
    }

    fn check_classes(&self, new: &ModelIdentity) -> anyhow::Result<()> {
        if lock(&self.parameters).allow_other_classes() {
            return Ok(());
        }
        let missing = missing_classes(&self.exchange.running().classes, &new.classes);
        anyhow::ensure!(
            missing.is_empty(),
            "it lacks the classes {}, which others may count on; allow_other_classes takes it all the same",
            missing.join(", ")
        );
        Ok(())
    }

    fn promote(&mut self) {
        let Some(candidate) = self.candidate.take() else {
            return self.tell(Event::CandidateRefused { path: String::new(), reason: "there is none any more".into() });
        };
        // Another model may be at work since the candidate was loaded.
        if let Err(error) = self.check_classes(&candidate.identity) {
            return self.refuse_candidate(candidate.identity.path.clone(), format!("{error:#}"));
        }
        *lock(&self.shadow) = Shadow::default();
        drop(self.exchange.hand_over(candidate, Cause::Promoted));
    }

    fn try_candidate(&mut self, trial: &Trial<W>) {
        let Some(candidate) = &mut self.candidate else { return };
        let begun = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let found = W::detect(&mut candidate.model, &trial.decoded, &trial.parameters)?;
            let took = begun.elapsed();
            anyhow::Ok((W::sightings(&trial.decoded, &found), took))
        }));
        let failed = || Err(anyhow::anyhow!("a fault in the program; please report it with a recording"));
        let (sightings, took) = match result.unwrap_or_else(|_| failed()) {
            Ok(seen) => seen,
            Err(error) => {
                let path = candidate.identity.path.clone();
                return self.refuse_candidate(path, format!("it fails on a frame: {error:#}"));
            }
        };
        let active = Seen { sightings: &trial.sightings, classes: &trial.active.classes };
        let seen = Seen { sightings: &sightings, classes: &candidate.identity.classes };
        let agreed = agreement(W::KIND, active, seen);
        if let Some(agreed) = agreed {
            // A node that is not active any more publishes nothing.
            self.gate.pass(|| (self.publish)(agreed));
        }
        let is_as_good = {
            let mut shadow = lock(&self.shadow);
            let Some(known) = &mut shadow.candidate else { return };
            known.record(agreed, took, trial.took);
            let (frames, mean) = known.agreement();
            lock(&self.parameters).shadow().promotes(frames, mean)
        };
        if is_as_good {
            self.promote();
        }
    }
}

/// The classes that the running model has and a new one lacks.
fn missing_classes(running: &[String], new: &[String]) -> Vec<String> {
    let known: BTreeSet<&String> = new.iter().collect();
    running.iter().filter(|class| !known.contains(class)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_may_be_more_and_in_another_order() {
        let names = |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
        let running = names(&["person", "pallet"]);
        assert!(missing_classes(&running, &names(&["forklift", "pallet", "person"])).is_empty());
        assert_eq!(missing_classes(&running, &names(&["person"])), ["pallet"]);
    }
}
