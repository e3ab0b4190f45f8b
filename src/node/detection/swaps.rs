//! What the spinning thread does about models: it sees what is wanted, hears what came of it, and tells both.

use std::sync::{Arc, Mutex, mpsc::Receiver};

use r2r::{ServiceRequest, diagnostic_msgs::msg::DiagnosticStatus, std_srvs::srv::Trigger};

use super::{
    exchange::{Cause, Change, Event, Exchange},
    shadow::Shadow,
    work::Work,
};
use crate::node::{
    diagnostics::{OK, WARN, identity, pair},
    host::lock,
    onlooker::ModelIdentity,
    parameters::DetectorParameters,
    requests::respond,
};

/// A request of `~/rollback` or `~/promote`.
pub(super) type TriggerRequest = ServiceRequest<Trigger::Service>;

/// Answers a request.
pub(super) fn answer(request: TriggerRequest, success: bool, message: &str) {
    respond(request, Trigger::Response { success, message: message.to_owned() });
}

/// The spinning thread's side of the models.
pub(super) struct Swaps<W: Work> {
    exchange: Arc<Exchange<W>>,
    events: Receiver<Event>,
    shadow: Arc<Mutex<Shadow>>,
    parameters: Arc<Mutex<W::Parameters>>,
    /// The parameters that the node was configured with, which hold for all models but for their path.
    configured: W::Parameters,
    /// The model that was asked for last.
    asked: String,
    /// The candidate that was asked for last; empty: none.
    asked_candidate: String,
    rollbacks: Vec<TriggerRequest>,
    promotions: Vec<TriggerRequest>,
    counts: Counts,
    /// What came of the newest wish: the level for diagnostics, and words.
    newest: (u8, String),
    /// Whether a parameter was set here that nobody was told of yet.
    has_set: bool,
}

/// Counts since the node was configured.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    swaps: u64,
    refused: u64,
}

impl<W: Work> Swaps<W> {
    /// The model of these parameters runs.
    pub(super) fn new(
        configured: W::Parameters,
        parameters: Arc<Mutex<W::Parameters>>,
        exchange: Arc<Exchange<W>>,
        events: Receiver<Event>,
        shadow: Arc<Mutex<Shadow>>,
    ) -> Self {
        Self {
            exchange,
            events,
            shadow,
            parameters,
            asked: configured.model().to_owned(),
            configured,
            asked_candidate: String::new(),
            rollbacks: Vec::new(),
            promotions: Vec::new(),
            counts: Counts::default(),
            newest: (OK, "no other model was asked for".to_owned()),
            has_set: false,
        }
    }

    /// Hears what came of earlier wishes, and asks for what the parameters say. Says whether it set a parameter.
    pub(super) fn turn(&mut self) -> bool {
        while let Ok(event) = self.events.try_recv() {
            self.hear(event);
        }
        let (model, candidate) = {
            let parameters = lock(&self.parameters);
            let changed = |path: &str, asked: &str| (path != asked).then(|| path.to_owned());
            (changed(parameters.model(), &self.asked), changed(parameters.shadow().model, &self.asked_candidate))
        };
        if let Some(path) = model {
            self.ask(path);
        }
        if let Some(path) = candidate {
            let wanted = (!path.is_empty()).then(|| self.with_model(&path));
            self.exchange.ask_candidate(wanted);
            self.asked_candidate = path;
        }
        std::mem::take(&mut self.has_set)
    }

    fn ask(&mut self, path: String) {
        let running = self.exchange.running();
        if path == running.path {
            self.exchange.abandon();
            self.newest = (OK, format!("{path} stays"));
        } else {
            tracing::info!("{path} is loaded while {} goes on", running.path);
            self.newest = (OK, format!("{path} is being loaded"));
            self.exchange.ask(self.with_model(&path));
        }
        self.asked = path;
    }

    fn with_model(&self, path: &str) -> W::Parameters {
        let mut parameters = self.configured.clone();
        parameters.set_model(path);
        parameters
    }

    /// Brings the former model back; the request is answered when that runs.
    pub(super) fn roll_back(&mut self, request: TriggerRequest) {
        match self.exchange.roll_back() {
            Ok(()) => self.rollbacks.push(request),
            Err(reason) => answer(request, false, reason),
        }
    }

    /// Lets the candidate take the model's place; the request is answered when it runs.
    pub(super) fn promote(&mut self, request: TriggerRequest) {
        match self.exchange.promote() {
            Ok(()) => self.promotions.push(request),
            Err(reason) => answer(request, false, reason),
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Changed(change) => self.changed(&change),
            Event::Refused { path, reason } => {
                let running = self.exchange.running().path.clone();
                let text = format!("{path} is refused, {running} goes on: {reason}");
                tracing::error!("{text}; parameter model is {running} again");
                self.counts.refused += 1;
                self.newest = (WARN, text);
                self.settle(&path, running);
            }
            Event::Tried(identity) => {
                tracing::info!("{} runs as a candidate beside {}", identity.path, self.exchange.running().path);
            }
            Event::CandidateRefused { path, reason } => {
                tracing::error!("{path} is no candidate: {reason}; parameter shadow_model is empty again");
                self.forget_candidate(&path);
                for request in self.promotions.drain(..) {
                    answer(request, false, &reason);
                }
            }
        }
    }

    fn changed(&mut self, Change { cause, running, former }: &Change) {
        let (running, former) = (&running.path, &former.path);
        let why = match cause {
            Cause::Asked => "",
            Cause::RolledBack => " (rolled back)",
            Cause::Promoted => " (promoted)",
        };
        let text = format!("{running} took the place of {former}{why}");
        tracing::info!("{text}");
        self.counts.swaps += 1;
        lock(&self.shadow).restart();
        let waiting = match cause {
            Cause::Asked => Vec::new(),
            Cause::RolledBack => std::mem::take(&mut self.rollbacks),
            Cause::Promoted => std::mem::take(&mut self.promotions),
        };
        if *cause == Cause::Promoted {
            self.forget_candidate(running);
        }
        // A wish that came in the meantime still stands.
        if !self.exchange.is_awaited() {
            let asked = self.asked.clone();
            self.settle(&asked, running.clone());
        }
        for request in waiting {
            answer(request, true, &text);
        }
        self.newest = (OK, text);
    }

    /// Sets the parameter `model` to what runs, unless something newer than `asked` is wanted by now.
    fn settle(&mut self, asked: &str, running: String) {
        let mut parameters = lock(&self.parameters);
        if parameters.model() == asked && asked != running {
            parameters.set_model(&running);
            self.has_set = true;
        }
        if self.asked == asked {
            self.asked = running;
        }
    }

    /// There is no candidate any more.
    fn forget_candidate(&mut self, path: &str) {
        let mut parameters = lock(&self.parameters);
        if parameters.shadow().model == path && !path.is_empty() {
            parameters.set_shadow_model("");
            self.has_set = true;
        }
        if self.asked_candidate == path {
            self.asked_candidate.clear();
        }
    }

    /// Answers those who still wait, and gives the exchange back.
    pub(super) fn end(self) -> Arc<Exchange<W>> {
        for request in self.rollbacks.into_iter().chain(self.promotions) {
            answer(request, false, "the node lets go of its models");
        }
        self.exchange
    }

    /// What is known of the model that runs.
    pub(super) fn running(&self) -> Arc<ModelIdentity> {
        self.exchange.running()
    }

    /// What diagnostics say of the model and of the candidate; `node` is the node's full name.
    pub(super) fn statuses(&self, node: &str) -> Vec<DiagnosticStatus> {
        let running = self.exchange.running();
        let (level, text) = &self.newest;
        let mut values: Vec<_> = identity::lines(&running).iter().map(|(key, value)| pair(key, value)).collect();
        values.push(pair("swap", text));
        values.push(pair("swaps", &self.counts.swaps.to_string()));
        values.push(pair("swaps_refused", &self.counts.refused.to_string()));
        if let Some(former) = self.exchange.former() {
            values.push(pair("former_model", &former));
        }
        let is_loading = self.exchange.is_busy() && self.asked != running.path;
        if is_loading {
            values.push(pair("loading", &self.asked));
        }
        for (name, figure) in &running.figures {
            if let Some(number) = figure.as_f64() {
                values.push(pair(&format!("figure_{name}"), &format!("{number:.4}")));
            }
        }
        let message = if *level == OK && !is_loading { format!("{} is at work", running.path) } else { text.clone() };
        let name = format!("{node}: model");
        let model = DiagnosticStatus { level: *level, name, message, hardware_id: String::new(), values };
        let shadow = lock(&self.shadow).status(node, !self.asked_candidate.is_empty());
        std::iter::once(model).chain(shadow).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Sender};

    use super::*;
    use crate::node::{
        CameraDetectorParameters,
        detection::{
            exchange::Task,
            fake::{FakeModel, FakeWork, parameters, ready, shared},
            work::Ready,
        },
    };

    struct Setup {
        swaps: Swaps<FakeWork>,
        exchange: Arc<Exchange<FakeWork>>,
        parameters: Arc<Mutex<CameraDetectorParameters>>,
        events: Sender<Event>,
        current: Ready<FakeModel>,
    }

    fn setup() -> Setup {
        let current = ready("a");
        let exchange = Arc::new(Exchange::new(current.identity.clone()));
        let shared = shared("a");
        let (events, heard) = mpsc::channel();
        let swaps = Swaps::new(parameters("a"), shared.clone(), exchange.clone(), heard, Arc::default());
        Setup { swaps, exchange, parameters: shared, events, current }
    }

    impl Setup {
        /// Sets the parameter, and says whether the node set another one at once.
        fn set(&mut self, path: &str) -> bool {
            lock(&self.parameters).model = path.to_owned();
            self.swaps.turn()
        }

        /// The background thread and the inference thread do what is asked.
        fn swap(&mut self) {
            let Task::Load(wanted) = self.exchange.next_task(false) else { panic!("a model is asked for") };
            assert!(self.exchange.hand_over(ready(&wanted.model), Cause::Asked).is_none());
            self.take_over();
        }

        fn take_over(&mut self) {
            let change = self.exchange.take_over(&mut self.current).unwrap();
            self.events.send(Event::Changed(change)).unwrap();
            self.swaps.turn();
        }

        fn parameter(&self) -> String {
            lock(&self.parameters).model.clone()
        }
    }

    #[test]
    fn a_refused_model_leaves_the_parameter_at_what_runs() {
        let mut node = setup();
        node.set("b");
        assert_eq!(node.swaps.statuses("/node")[0].message, "b is being loaded");
        let Task::Load(wanted) = node.exchange.next_task(false) else { panic!("a model is asked for") };
        node.exchange.load_failed();
        let refused = |path: &str| Event::Refused { path: path.to_owned(), reason: "it is broken".into() };
        node.events.send(refused(&wanted.model)).unwrap();
        assert!(node.swaps.turn(), "others are told that the parameter is another one");
        assert!(!node.swaps.turn(), "once");
        assert_eq!(node.parameter(), "a");
        assert!(!node.exchange.is_busy(), "what runs is not asked for");
        let status = &node.swaps.statuses("/node")[0];
        assert_eq!((status.level, status.message.as_str()), (WARN, "b is refused, a goes on: it is broken"));
        // A newer wish stays.
        node.set("b");
        assert!(matches!(node.exchange.next_task(false), Task::Load(_)));
        node.exchange.load_failed();
        node.events.send(refused("b")).unwrap();
        node.set("c");
        assert_eq!(node.parameter(), "c");
        node.swap();
        assert_eq!((node.parameter().as_str(), node.swaps.statuses("/node")[0].level), ("c", OK));
    }

    #[test]
    fn the_parameter_follows_a_rollback() {
        let mut node = setup();
        node.set("b");
        node.swap();
        assert_eq!((node.parameter().as_str(), node.exchange.running().path.as_str()), ("b", "b"));
        node.exchange.roll_back().unwrap();
        node.take_over();
        assert_eq!(node.parameter(), "a");
        assert!(!node.exchange.is_busy());
        let values = &node.swaps.statuses("/node")[0].values;
        let value = |key: &str| values.iter().find(|pair| pair.key == key).map(|pair| pair.value.as_str());
        assert_eq!((value("swaps"), value("former_model")), (Some("2"), Some("b")));
        assert_eq!(value("swap"), Some("a took the place of b (rolled back)"));
    }

    #[test]
    fn a_wish_outlives_a_rollback_that_came_before_it() {
        let mut node = setup();
        node.set("b");
        node.swap();
        node.exchange.roll_back().unwrap();
        node.set("c");
        node.take_over();
        assert_eq!((node.parameter().as_str(), node.exchange.running().path.as_str()), ("c", "a"));
        node.swap();
        assert_eq!((node.parameter().as_str(), node.exchange.running().path.as_str()), ("c", "c"));
    }

    #[test]
    fn where_the_newest_wish_is_refused_the_parameter_is_what_came_of_the_one_before() {
        let mut node = setup();
        node.set("b");
        assert!(matches!(node.exchange.next_task(false), Task::Load(_)));
        assert!(node.exchange.hand_over(ready("b"), Cause::Asked).is_none());
        node.set("c");
        assert!(matches!(node.exchange.next_task(false), Task::Load(_)));
        node.exchange.load_failed();
        node.events.send(Event::Refused { path: "c".into(), reason: "it is broken".into() }).unwrap();
        node.swaps.turn();
        node.take_over();
        assert_eq!((node.parameter().as_str(), node.exchange.running().path.as_str()), ("b", "b"));
        assert!(!node.exchange.is_awaited());
    }

    #[test]
    fn a_wish_is_taken_back_by_the_path_of_what_runs() {
        let mut node = setup();
        node.set("b");
        node.set("a");
        assert!(!node.exchange.is_busy());
        assert!(node.exchange.take_over(&mut node.current).is_none());
    }

    #[test]
    fn a_promoted_candidate_is_the_model() {
        let mut node = setup();
        lock(&node.parameters).shadow_model = "c".into();
        node.swaps.turn();
        assert!(matches!(node.exchange.next_task(false), Task::LoadCandidate(Some(wanted)) if wanted.model == "c"));
        assert!(node.exchange.hand_over(ready("c"), Cause::Promoted).is_none());
        node.take_over();
        let known = lock(&node.parameters).clone();
        assert_eq!((known.model.as_str(), known.shadow_model.as_str()), ("c", ""));
        // Nothing is asked for anew.
        node.swaps.turn();
        assert!(!node.exchange.is_busy());
    }
}
