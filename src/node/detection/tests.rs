//! The threads together, with a fake model.

use std::{
    sync::{
        Arc, Mutex,
        atomic::AtomicBool,
        mpsc::{self, Receiver},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    background::Background,
    exchange::{Event, Exchange},
    fake::{FakeWork, freed_by, parameters, ready, shared},
    inference::Inference,
    shadow::{Allowance, Shadow},
};
use crate::node::{
    CameraDetectorParameters, Latest, NodeStatistics, diagnostics::latency_topics::LatencyTopics, gate::Gate,
    host::lock, labels::LabelTopic, turns::Turns, warnings::Warnings,
};

const SOON: Duration = Duration::from_secs(10);

/// A node's threads without the node.
struct Threads {
    exchange: Arc<Exchange<FakeWork>>,
    parameters: Arc<Mutex<CameraDetectorParameters>>,
    shadow: Arc<Mutex<Shadow>>,
    slot: Arc<Latest<Vec<u8>>>,
    events: Receiver<Event>,
    results: Receiver<(usize, String)>,
    labels: Receiver<Vec<u8>>,
    agreements: Receiver<f64>,
    running: Vec<JoinHandle<()>>,
}

impl Threads {
    /// A model of this path at work, to which somebody listens.
    fn start(path: &str) -> Self {
        Self::start_as(path, true)
    }

    fn start_as(path: &str, is_listened_to: bool) -> Self {
        let current = ready(path);
        let exchange = Arc::new(Exchange::new(current.identity.clone()));
        let parameters = shared(path);
        let (shadow, slot, gate) = (Arc::default(), Arc::new(Latest::new()), Arc::new(Gate::default()));
        gate.open();
        let (events_sender, events) = mpsc::channel();
        let (results_sender, results) = mpsc::channel();
        let (labels_sender, labels) = mpsc::channel();
        let (agreements_sender, agreements) = mpsc::channel();
        let label_topic = LabelTopic::new(current.labels.clone(), move |message: &[u8]| {
            let _ = labels_sender.send(message.to_vec());
            Ok(())
        });
        label_topic.activate().unwrap();
        let inference = Inference {
            work: FakeWork { results: results_sender, is_listened_to },
            current,
            parameters: parameters.clone(),
            exchange: exchange.clone(),
            events: events_sender.clone(),
            labels: Arc::new(label_topic),
            onlookers: Arc::default(),
            statistics: Arc::new(Mutex::new(NodeStatistics::of("message"))),
            latencies: LatencyTopics::default(),
            is_listened_to: Arc::new(AtomicBool::new(false)),
            warnings: Warnings::default(),
            allowance: Allowance::default(),
        };
        let background = Background {
            exchange: exchange.clone(),
            events: events_sender,
            parameters: parameters.clone(),
            shadow: Arc::clone(&shadow),
            gate: gate.clone(),
            publish: Box::new(move |agreement| {
                let _ = agreements_sender.send(agreement);
            }),
            candidate: None,
        };
        let worker_slot = slot.clone();
        let named = |name: &str| thread::Builder::new().name(name.into());
        let running = vec![
            named("inference").spawn(move || inference.run(&worker_slot, &gate, &Turns::default())).unwrap(),
            named("background").spawn(move || background.run()).unwrap(),
        ];
        Self { exchange, parameters, shadow, slot, events, results, labels, agreements, running }
    }

    /// What comes of a message of so many bytes: how much is found, and the class.
    fn result(&self, bytes: usize) -> (usize, String) {
        self.slot.put(vec![0; bytes]);
        self.results.recv_timeout(SOON).unwrap()
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(SOON).unwrap()
    }

    /// Waits until a model runs.
    fn changed(&self) -> String {
        match self.event() {
            Event::Changed(change) => change.running.path.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until no model is being loaded.
    fn settle(&self) {
        let begun = Instant::now();
        while self.exchange.is_busy() && begun.elapsed() < SOON {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.slot.close();
        self.exchange.close();
        for thread in self.running.drain(..) {
            assert!(thread.join().is_ok() || thread::panicking());
        }
    }
}

#[test]
fn another_model_takes_its_place_while_messages_come() {
    let threads = Threads::start("first-1");
    lock(&threads.parameters).allow_other_classes = true;
    assert_eq!(threads.result(3), (3, "person".to_owned()));
    threads.exchange.ask(parameters("other-1"));
    assert_eq!(threads.changed(), "other-1");
    assert_eq!(threads.result(3), (3, "pallet".to_owned()));
    assert_eq!(threads.labels.try_iter().collect::<Vec<_>>(), [b"first-1".to_vec(), b"other-1".to_vec()]);
    threads.exchange.ask(parameters("second-1"));
    assert_eq!(threads.changed(), "second-1");
    threads.exchange.roll_back().unwrap();
    assert_eq!(threads.changed(), "other-1");
    assert_eq!(threads.result(1).1, "pallet");
    // The first one was freed when the third was there, and not by the thread that works.
    let begun = Instant::now();
    while freed_by("first-1").is_none() && begun.elapsed() < SOON {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(freed_by("first-1").as_deref(), Some("background"));
    assert_eq!(freed_by("second-1"), None);
}

#[test]
fn a_model_that_is_not_fit_is_refused_and_the_old_one_goes_on() {
    let threads = Threads::start("first-2");
    for (path, words) in [("broken-2", "it is broken"), ("other-2", "lacks the classes person")] {
        threads.exchange.ask(parameters(path));
        match threads.event() {
            Event::Refused { path: refused, reason } => {
                assert!(refused == path && reason.contains(words), "{refused}: {reason}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(threads.result(2), (2, "person".to_owned()));
    }
    assert_eq!(freed_by("other-2").as_deref(), Some("background"));
    assert_eq!(threads.exchange.running().path, "first-2");
}

#[test]
fn what_is_not_wanted_any_more_does_not_come() {
    let threads = Threads::start("first-3");
    threads.exchange.ask(parameters("slow-3"));
    while !threads.exchange.is_busy() {
        thread::yield_now();
    }
    thread::sleep(Duration::from_millis(50));
    threads.exchange.abandon();
    threads.settle();
    assert_eq!(threads.result(1).1, "person");
    assert_eq!(threads.exchange.running().path, "first-3");
    assert!(threads.events.try_iter().next().is_none());
}

/// A candidate beside a model, and so many messages of three bytes.
fn tried(active: &str, candidate: &str, messages: usize) -> Threads {
    let threads = Threads::start(active);
    lock(&threads.parameters).shadow_share = 1.0;
    threads.exchange.ask_candidate(Some(parameters(candidate)));
    assert!(matches!(threads.event(), Event::Tried(identity) if identity.path == candidate));
    for _ in 0..messages {
        let begun = Instant::now();
        while !threads.exchange.wants_trial() && begun.elapsed() < Duration::from_secs(1) {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(threads.result(3).0, 3);
    }
    threads
}

#[test]
fn a_candidate_is_compared_and_promoted() {
    let threads = tried("first-4", "second-4", 5);
    assert_eq!(threads.agreements.recv_timeout(SOON), Ok(1.0));
    threads.exchange.promote().unwrap();
    assert_eq!(threads.changed(), "second-4");
    assert!(lock(&threads.shadow).candidate.is_none());
    assert!(!threads.exchange.wants_trial());
    threads.exchange.roll_back().unwrap();
    assert_eq!(threads.changed(), "first-4");
    let blind = tried("first-5", "blind-5", 5);
    assert_eq!(blind.agreements.recv_timeout(SOON), Ok(0.0));
    assert_eq!(blind.exchange.running().path, "first-5");
}

#[test]
fn a_candidate_takes_over_by_itself_where_that_is_wanted() {
    let threads = Threads::start("first-6");
    {
        let mut parameters = lock(&threads.parameters);
        (parameters.shadow_share, parameters.promote_after) = (1.0, 3);
    }
    threads.exchange.ask_candidate(Some(parameters("second-6")));
    assert!(matches!(threads.event(), Event::Tried(_)));
    let begun = Instant::now();
    while threads.exchange.running().path == "first-6" && begun.elapsed() < SOON {
        threads.result(3);
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(threads.changed(), "second-6");
    assert!(threads.agreements.try_iter().count() >= 3);
}

#[test]
fn to_whom_nobody_listens_works_for_the_candidate_alone() {
    let threads = Threads::start_as("first-8", false);
    threads.slot.put(vec![0; 3]);
    assert!(threads.results.recv_timeout(Duration::from_millis(300)).is_err(), "nobody would get it");
    lock(&threads.parameters).shadow_share = 0.5;
    threads.exchange.ask_candidate(Some(parameters("second-8")));
    assert!(matches!(threads.event(), Event::Tried(_)));
    for _ in 0..20 {
        threads.slot.put(vec![0; 3]);
        thread::sleep(Duration::from_millis(20));
    }
    let results = threads.results.try_iter().count();
    assert!((1..=11).contains(&results), "{results} of 20, of which the candidate may have half");
    assert_eq!(threads.agreements.recv_timeout(SOON), Ok(1.0));
}

#[test]
fn a_candidate_that_fails_is_let_go() {
    let threads = tried("first-7", "faulty-7", 1);
    match threads.event() {
        Event::CandidateRefused { path, reason } => {
            assert!(path == "faulty-7" && reason.contains("it is faulty"), "{path}: {reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(threads.result(3).1, "person");
    let status = lock(&threads.shadow).status("/node", true).unwrap();
    assert!(status.message.contains("faulty-7"), "{}", status.message);
}
