//! Where three threads hand models to each other: the spinning thread says what is wanted, the background thread loads and frees, and the
//! inference thread takes what is ready, between two frames.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::work::{Ready, Work};
use crate::node::onlooker::{ModelIdentity, Sighting};

/// Why a model takes the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The parameter `model` was set.
    Asked,
    /// `~/rollback`.
    RolledBack,
    /// The candidate was as good, or `~/promote`.
    Promoted,
}

/// A model took the place of another.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// Why.
    pub(super) cause: Cause,
    /// The one that runs now.
    pub(super) running: Arc<ModelIdentity>,
    /// The one before.
    pub(super) former: Arc<ModelIdentity>,
}

/// What the spinning thread hears of the others.
#[derive(Debug)]
pub(super) enum Event {
    /// A model took the place of another.
    Changed(Change),
    /// A model was not taken, and why.
    Refused {
        /// Its path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A candidate runs beside the model.
    Tried(Arc<ModelIdentity>),
    /// A candidate was not taken, or failed, and why.
    CandidateRefused {
        /// Its path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A frame that the candidate is tried on.
pub(super) struct Trial<W: Work> {
    /// The frame.
    pub(super) decoded: W::Decoded,
    /// The parameters that the active model had.
    pub(super) parameters: W::Parameters,
    /// The active model.
    pub(super) active: Arc<ModelIdentity>,
    /// What that found.
    pub(super) sightings: Vec<Sighting>,
    /// How long that took.
    pub(super) took: Duration,
}

/// What the background thread does next.
pub(super) enum Task<W: Work> {
    /// End.
    End,
    /// Free these.
    Free(Vec<Ready<W::Model>>),
    /// Let the candidate take the model's place.
    Promote,
    /// Load the model of these parameters.
    Load(W::Parameters),
    /// Load the candidate of these parameters, which have it as their model; without, let go of the one that there is.
    LoadCandidate(Option<W::Parameters>),
    /// Try the candidate.
    Try(Trial<W>),
}

struct State<W: Work> {
    running: Arc<ModelIdentity>,
    /// Takes the running one's place before the next frame.
    next: Option<(Ready<W::Model>, Cause)>,
    /// Was at work before the running one.
    former: Option<Ready<W::Model>>,
    retired: Vec<Ready<W::Model>>,
    load: Option<W::Parameters>,
    is_loading: bool,
    /// What is being loaded is not wanted any more.
    is_abandoned: bool,
    load_candidate: Option<Option<W::Parameters>>,
    /// A candidate is there and has nothing to do.
    is_candidate_idle: bool,
    has_candidate: bool,
    is_promoted: bool,
    trial: Option<Trial<W>>,
    is_closed: bool,
}

/// The place where models wait.
pub(super) struct Exchange<W: Work> {
    state: Mutex<State<W>>,
    changed: Condvar,
}

impl<W: Work> Exchange<W> {
    /// Nothing waits, and a model runs.
    pub(super) fn new(running: Arc<ModelIdentity>) -> Self {
        let state = State {
            running,
            next: None,
            former: None,
            retired: Vec::new(),
            load: None,
            is_loading: false,
            is_abandoned: false,
            load_candidate: None,
            is_candidate_idle: false,
            has_candidate: false,
            is_promoted: false,
            trial: None,
            is_closed: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// No code here can panic while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, mut until: impl FnMut(&mut State<W>) -> bool) -> MutexGuard<'_, State<W>> {
        let guard = self.lock();
        self.changed
            .wait_while(guard, |state| !state.is_closed && !until(state))
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The model that runs.
    pub(super) fn running(&self) -> Arc<ModelIdentity> {
        self.lock().running.clone()
    }

    /// The path of the model that `~/rollback` brings back.
    pub(super) fn former(&self) -> Option<String> {
        self.lock().former.as_ref().map(|former| former.identity.path.clone())
    }

    // For the spinning thread.

    /// A model is wanted; one that was wanted before and is not being loaded yet is so no more.
    pub(super) fn ask(&self, parameters: W::Parameters) {
        let mut state = self.lock();
        state.load = Some(parameters);
        self.changed.notify_all();
    }

    /// No other model is wanted than the one that runs, whatever was asked for.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.load = None;
        state.is_abandoned = state.is_loading;
        if let Some((next, _)) = state.next.take_if(|(_, cause)| *cause == Cause::Asked) {
            state.retired.push(next);
        }
        self.changed.notify_all();
    }

    /// Whether a model is being loaded or waits for that.
    pub(super) fn is_busy(&self) -> bool {
        let state = self.lock();
        state.load.is_some() || state.is_loading
    }

    /// Whether a model that was asked for may still take its place.
    pub(super) fn is_awaited(&self) -> bool {
        let state = self.lock();
        let is_next = state.next.as_ref().is_some_and(|(_, cause)| *cause == Cause::Asked);
        state.load.is_some() || (state.is_loading && !state.is_abandoned) || is_next
    }

    /// Brings the former model back, whatever else was asked for.
    ///
    /// # Errors
    /// Why that cannot be.
    pub(super) fn roll_back(&self) -> Result<(), &'static str> {
        self.abandon();
        let mut state = self.lock();
        if state.next.is_some() {
            return Err("another model is just taking its place; ask again");
        }
        let former =
            state.former.take().ok_or("there is no former model: none was replaced since the node was configured")?;
        state.next = Some((former, Cause::RolledBack));
        Ok(())
    }

    /// A candidate is wanted, the model of these parameters, or none.
    pub(super) fn ask_candidate(&self, parameters: Option<W::Parameters>) {
        let mut state = self.lock();
        state.load_candidate = Some(parameters);
        self.changed.notify_all();
    }

    /// Lets the candidate take the model's place.
    ///
    /// # Errors
    /// Why that cannot be.
    pub(super) fn promote(&self) -> Result<(), &'static str> {
        let mut state = self.lock();
        if !state.has_candidate {
            return Err("there is no candidate; set shadow_model, and wait until it is loaded");
        }
        state.is_promoted = true;
        self.changed.notify_all();
        Ok(())
    }

    /// Nothing will be wanted any more; everybody is woken.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        self.changed.notify_all();
    }

    // For the inference thread, which must not wait and must not free a model.

    /// Takes the model that waits, if one does, in place of `current`, which becomes the former one.
    pub(super) fn take_over(&self, current: &mut Ready<W::Model>) -> Option<Change> {
        let mut state = self.lock();
        let (next, cause) = state.next.take()?;
        let former = std::mem::replace(current, next);
        let change = Change { cause, running: current.identity.clone(), former: former.identity.clone() };
        state.running = current.identity.clone();
        if let Some(older) = state.former.replace(former) {
            state.retired.push(older);
        }
        // What the candidate was to be compared with is gone; it waits for another frame.
        if state.trial.take().is_some() {
            state.is_candidate_idle = true;
        }
        self.changed.notify_all();
        Some(change)
    }

    /// Whether a candidate waits for a frame.
    pub(super) fn wants_trial(&self) -> bool {
        self.lock().is_candidate_idle
    }

    /// Gives the candidate a frame.
    pub(super) fn offer(&self, trial: Trial<W>) {
        let mut state = self.lock();
        state.is_candidate_idle = false;
        state.trial = Some(trial);
        self.changed.notify_all();
    }

    // For the background thread.

    /// Waits for something to do. The thread tells whether it has a candidate.
    pub(super) fn next_task(&self, has_candidate: bool) -> Task<W> {
        let mut state = self.lock();
        state.has_candidate = has_candidate;
        state.is_candidate_idle = has_candidate;
        drop(state);
        let mut state = self.wait(|state| {
            !state.retired.is_empty()
                || state.is_promoted
                || state.load.is_some()
                || state.load_candidate.is_some()
                || state.trial.is_some()
        });
        state.is_candidate_idle = false;
        if state.is_closed {
            return Task::End;
        }
        if !state.retired.is_empty() {
            return Task::Free(std::mem::take(&mut state.retired));
        }
        if std::mem::take(&mut state.is_promoted) {
            return Task::Promote;
        }
        if let Some(parameters) = state.load.take() {
            (state.is_loading, state.is_abandoned) = (true, false);
            // A frame of now is an old one when the load is over.
            state.trial = None;
            return Task::Load(parameters);
        }
        if let Some(parameters) = state.load_candidate.take() {
            state.trial = None;
            return Task::LoadCandidate(parameters);
        }
        match state.trial.take() {
            Some(trial) => Task::Try(trial),
            None => Task::Free(Vec::new()),
        }
    }

    /// Nothing came of a load.
    pub(super) fn load_failed(&self) {
        let mut state = self.lock();
        (state.is_loading, state.is_abandoned) = (false, false);
    }

    /// Lets a model wait for the inference thread. It comes back where it is not wanted any more.
    pub(super) fn hand_over(&self, ready: Ready<W::Model>, cause: Cause) -> Option<Ready<W::Model>> {
        let mut state = self.wait(|state| state.next.is_none());
        let mut is_abandoned = false;
        match cause {
            Cause::Asked => {
                state.is_loading = false;
                is_abandoned = std::mem::take(&mut state.is_abandoned);
            }
            // Whoever asks for the candidate from now on gets what is done already.
            Cause::Promoted => (state.has_candidate, state.is_promoted) = (false, false),
            Cause::RolledBack => {}
        }
        if state.is_closed || is_abandoned {
            return Some(ready);
        }
        state.next = Some((ready, cause));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::detection::fake::{FakeModel, FakeWork, parameters, ready};

    fn exchange() -> (Exchange<FakeWork>, Ready<FakeModel>) {
        let current = ready("a");
        (Exchange::new(current.identity.clone()), current)
    }

    #[test]
    fn a_model_takes_its_place_between_two_frames_and_the_former_one_comes_back() {
        let (exchange, mut current) = exchange();
        assert!(exchange.take_over(&mut current).is_none());
        assert!(exchange.roll_back().unwrap_err().contains("no former model"));
        assert!(exchange.hand_over(ready("b"), Cause::Asked).is_none());
        let change = exchange.take_over(&mut current).unwrap();
        assert_eq!((change.running.path.as_str(), change.former.path.as_str(), change.cause), ("b", "a", Cause::Asked));
        assert_eq!((current.model.path.as_str(), exchange.running().path.as_str()), ("b", "b"));
        exchange.roll_back().unwrap();
        assert!(exchange.roll_back().unwrap_err().contains("ask again"));
        assert_eq!(exchange.take_over(&mut current).unwrap().cause, Cause::RolledBack);
        assert_eq!((current.model.path.as_str(), exchange.former().as_deref()), ("a", Some("b")));
    }

    #[test]
    fn a_former_model_is_freed_by_the_background_thread() {
        let (exchange, mut current) = exchange();
        for path in ["b", "c"] {
            assert!(exchange.hand_over(ready(path), Cause::Asked).is_none());
            exchange.take_over(&mut current).unwrap();
        }
        let Task::Free(retired) = exchange.next_task(false) else { panic!("there is one to free") };
        assert_eq!(retired.iter().map(|one| one.model.path.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(exchange.former().as_deref(), Some("b"));
    }

    #[test]
    fn the_newest_wish_counts() {
        let (exchange, mut current) = exchange();
        exchange.ask(parameters("b"));
        exchange.ask(parameters("c"));
        let Task::Load(wanted) = exchange.next_task(false) else { panic!("there is one to load") };
        assert_eq!(wanted.model, "c");
        assert!(exchange.is_busy());
        exchange.abandon();
        assert!(exchange.hand_over(ready("c"), Cause::Asked).is_some());
        assert!(!exchange.is_busy());
        assert!(exchange.hand_over(ready("d"), Cause::Asked).is_none());
        exchange.abandon();
        assert!(exchange.take_over(&mut current).is_none(), "what waited is not wanted any more");
        assert!(matches!(exchange.next_task(false), Task::Free(retired) if retired.len() == 1));
    }

    #[test]
    fn a_candidate_is_not_held_against_a_model_that_is_gone() {
        let (exchange, mut current) = exchange();
        exchange.ask_candidate(None);
        assert!(matches!(exchange.next_task(true), Task::LoadCandidate(None)));
        let active = exchange.running();
        exchange.offer(Trial {
            decoded: 3,
            parameters: parameters("a"),
            active,
            sightings: Vec::new(),
            took: Duration::ZERO,
        });
        assert!(!exchange.wants_trial());
        assert!(exchange.hand_over(ready("b"), Cause::Asked).is_none());
        exchange.take_over(&mut current).unwrap();
        assert!(exchange.wants_trial(), "it gets the next frame");
    }

    #[test]
    fn only_where_there_is_a_candidate_it_is_promoted() {
        let (exchange, _current) = exchange();
        assert!(!exchange.wants_trial() && exchange.promote().unwrap_err().contains("no candidate"));
        exchange.ask_candidate(None);
        assert!(matches!(exchange.next_task(true), Task::LoadCandidate(None)));
        exchange.promote().unwrap();
        assert!(matches!(exchange.next_task(true), Task::Promote));
        exchange.promote().unwrap();
        assert!(exchange.hand_over(ready("b"), Cause::Promoted).is_none());
        assert!(exchange.promote().unwrap_err().contains("no candidate"), "it is the model by now");
        exchange.ask_candidate(None);
        assert!(matches!(exchange.next_task(true), Task::LoadCandidate(None)), "it is not promoted twice");
        exchange.close();
        assert!(matches!(exchange.next_task(true), Task::End));
        assert!(exchange.hand_over(ready("b"), Cause::Promoted).is_some());
    }
}
