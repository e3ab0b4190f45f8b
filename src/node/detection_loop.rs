//! What every detector node does: the spinning thread puts messages into a slot where the newest wins, and one thread works on them,
//! while the node is active. The model is loaded when the node is configured and freed when it is cleaned up.

use std::{
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use r2r::{PublisherUntyped, diagnostic_msgs::msg::DiagnosticStatus};

use super::{
    Latest, NodeStatistics, Stage, Taken,
    gate::Gate,
    host::{Host, latched, lock, sensor},
    lifecycle::{Activity, Job, Managed, job},
    onlooker::{Frame, Onlooker, SightKind, Sighting},
    parameters::NodeParameters,
    recorder::{self, Origin, RecordNow, RecordOptions, Recording},
    subscriptions::Subscription,
    topic_name::resolved,
    warnings::Warnings,
};
use crate::messages::{Header, LabelInfo};

/// What a detector does with the messages of its sensor.
pub(super) trait Work: Send + Sized + 'static {
    /// What one message is called in logs and diagnostics.
    const NOUN: &'static str;
    /// The node's parameters.
    type Parameters: NodeParameters;
    /// A model that is ready to run.
    type Model: Send + 'static;

    /// Checks the parameters, loads the model and runs it once. It may take long.
    ///
    /// # Errors
    /// Parameters that make no sense, or a model that cannot be run.
    fn load(parameters: &Self::Parameters) -> anyhow::Result<Self::Model>;

    /// What the node listens to.
    ///
    /// # Errors
    /// Parameters that make no sense.
    fn source(parameters: &Self::Parameters) -> anyhow::Result<Source>;

    /// What is recorded of the frames that the student is unsure of; nothing where recording is off.
    fn recording(parameters: &Self::Parameters) -> Option<RecordOptions>;

    /// The message of `~/label_info`.
    fn labels(model: &Self::Model) -> Vec<u8>;

    /// Offers the topics.
    ///
    /// # Errors
    /// When ROS 2 refuses one.
    fn create(
        model: Self::Model,
        parameters: &Self::Parameters,
        host: &mut Host<Self::Parameters>,
    ) -> anyhow::Result<Self>;

    /// Detects in one message and publishes what was found.
    ///
    /// # Errors
    /// Whatever costs the message; it is logged and counted.
    fn process(&mut self, message: &[u8], report: &mut Report) -> anyhow::Result<()>;
}

/// What a detector listens to.
pub(super) struct Source {
    /// The topic.
    pub(super) topic: String,
    /// Type of its messages.
    pub(super) type_name: &'static str,
    /// Whether lost messages are sent again.
    pub(super) is_reliable: bool,
    /// The model, for diagnostics.
    pub(super) model: String,
}

/// Those who look at every frame.
type Onlookers = Arc<Mutex<Vec<Box<dyn Onlooker>>>>;

/// Where work tells how it goes.
pub(super) struct Report {
    statistics: Arc<Mutex<NodeStatistics>>,
    onlookers: Onlookers,
    warnings: Warnings,
}

impl Report {
    /// Counts a message as processed, with what is known of its stages.
    pub(super) fn record(&self, latencies: &[(Stage, Option<Duration>)]) {
        lock(&self.statistics).record(latencies);
    }

    /// Shows a frame to all onlookers, once what was found in it is published. The frame is only made where there are some.
    pub(super) fn show<'f>(&self, frame: impl FnOnce() -> Shown<'f>) {
        let mut onlookers = lock(&self.onlookers);
        if onlookers.is_empty() {
            return;
        }
        let Shown { message, header, sightings, classes, kind } = frame();
        let stamp = header.stamp.to_nanoseconds();
        let frame = Frame { message, stamp, frame_id: header.frame_id, sightings: &sightings, classes, kind };
        for onlooker in onlookers.iter_mut() {
            onlooker.look(&frame);
        }
    }

    /// Warns, but not more often than every few seconds.
    pub(super) fn warn(&mut self, text: &str) {
        self.warnings.warn(text);
    }

    fn fail(&mut self, noun: &str, failure: String) {
        self.warn(&format!("one {noun} is lost: {failure}"));
        lock(&self.statistics).failed(failure);
    }
}

/// A frame to be shown.
pub(super) struct Shown<'f> {
    /// The message as it came.
    pub(super) message: &'f [u8],
    /// Its header.
    pub(super) header: Header<'f>,
    /// What was found.
    pub(super) sightings: Vec<Sighting>,
    /// The names of the classes.
    pub(super) classes: &'f [String],
    /// What the places of the sightings are.
    pub(super) kind: SightKind,
}

/// A detector as a managed node.
pub(super) struct Detection<W: Work> {
    configured: Option<Configured>,
    /// From the first configuration that records to the end.
    record_now: Option<RecordNow>,
    work: PhantomData<W>,
}

/// What a node has from its configuration to its clean-up.
struct Configured {
    model: String,
    subscription: Subscription,
    labels: (PublisherUntyped, Vec<u8>),
    statistics: Arc<Mutex<NodeStatistics>>,
    slot: Arc<Latest<Vec<u8>>>,
    gate: Arc<Gate>,
    working: JoinHandle<()>,
    onlookers: Onlookers,
    recording: Option<Recording>,
}

/// What configuring brings.
pub(super) struct Loaded<W: Work> {
    parameters: W::Parameters,
    model: W::Model,
}

impl<W: Work> Detection<W> {
    /// A node that is not configured.
    pub(super) fn new() -> Self {
        Self { configured: None, record_now: None, work: PhantomData }
    }

    fn configure(&mut self, loaded: Loaded<W>, host: &mut Host<W::Parameters>) -> anyhow::Result<()> {
        let Loaded { parameters, model } = loaded;
        let source = W::source(&parameters)?;
        let labels = (host.advertise("~/label_info", LabelInfo::TYPE_NAME, latched())?, W::labels(&model));
        let work = W::create(model, &parameters, host)?;
        let subscription = host.subscribe(&source.topic, source.type_name, sensor(source.is_reliable))?;
        let slot = Arc::new(Latest::<Vec<u8>>::new());
        let gate = Arc::new(Gate::default());
        let statistics = Arc::new(Mutex::new(NodeStatistics::of(W::NOUN)));
        let mut onlookers: Vec<Box<dyn Onlooker>> = Vec::new();
        // RECORDER: drift and whoever else looks on are pushed here as well (`Work::onlookers`).
        let recording = self.record(&parameters, &source, &mut onlookers, host)?;
        let onlookers: Onlookers = Arc::new(Mutex::new(onlookers));
        let (of_worker, warnings) = (onlookers.clone(), Warnings::default());
        let report = Report { statistics: statistics.clone(), onlookers: of_worker, warnings };
        let (worker_slot, worker_gate) = (slot.clone(), gate.clone());
        let working = thread::Builder::new()
            .name("inference".into())
            .spawn(move || run(work, &worker_slot, &worker_gate, report))?;
        tracing::info!("{} listens to {} ({})", host.name, source.topic, source.type_name);
        self.configured = Some(Configured {
            model: source.model,
            subscription,
            labels,
            statistics,
            slot,
            gate,
            working,
            onlookers,
            recording,
        });
        Ok(())
    }

    /// Begins to record, where the parameters say so.
    fn record(
        &mut self,
        parameters: &W::Parameters,
        source: &Source,
        onlookers: &mut Vec<Box<dyn Onlooker>>,
        host: &mut Host<W::Parameters>,
    ) -> anyhow::Result<Option<Recording>> {
        let Some(options) = W::recording(parameters) else { return Ok(None) };
        if self.record_now.is_none() {
            self.record_now = Some(RecordNow::offer(&mut host.node)?);
        }
        let origin = Origin {
            node: host.name.clone(),
            topic: resolved(&source.topic, &host.node),
            type_name: source.type_name.to_owned(),
            is_reliable: source.is_reliable,
        };
        let (recording, recorder) = Recording::start(options, origin, host)?;
        onlookers.push(Box::new(recorder));
        Ok(Some(recording))
    }
}

impl<W: Work> Managed for Detection<W> {
    type Parameters = W::Parameters;
    type Product = Option<Loaded<W>>;
    const ABOUT: &'static str = "detection";

    fn begin(&mut self, activity: Activity, host: &mut Host<Self::Parameters>) -> anyhow::Result<Job<Self::Product>> {
        Ok(match activity {
            Activity::Configure => {
                let parameters = host.parameters();
                job(move || {
                    let model = W::load(&parameters)?;
                    Ok(Some(Loaded::<W> { parameters, model }))
                })
            }
            Activity::Activate => job(|| Ok(None)),
            Activity::Deactivate => {
                let parts =
                    self.configured.as_ref().map(|configured| (configured.gate.clone(), configured.slot.clone()));
                job(move || {
                    // The message that is worked on is finished and published first.
                    if let Some((gate, slot)) = parts {
                        gate.close();
                        slot.clear();
                    }
                    Ok(None)
                })
            }
            Activity::CleanUp | Activity::ShutDown | Activity::ProcessError => {
                let Some(Configured { subscription, slot, working, onlookers, recording, .. }) = self.configured.take()
                else {
                    return Ok(job(|| Ok(None)));
                };
                host.unsubscribe(subscription);
                let finishing = recording.map(|recording| recording.leave(host));
                job(move || {
                    slot.close();
                    let ended = working.join();
                    // The recorder's thread ends when nobody can give it anything any more.
                    drop(onlookers);
                    if let Some(finishing) = finishing {
                        finishing.wait();
                    }
                    anyhow::ensure!(ended.is_ok(), ENDED);
                    Ok(None)
                })
            }
        })
    }

    fn end(
        &mut self,
        activity: Activity,
        product: Self::Product,
        host: &mut Host<Self::Parameters>,
    ) -> anyhow::Result<()> {
        match activity {
            Activity::Configure => match product {
                Some(loaded) => self.configure(loaded, host)?,
                None => anyhow::bail!("no model was loaded"),
            },
            Activity::Activate => {
                if let Some(Configured { labels: (topic, labels), gate, .. }) = &self.configured {
                    topic.publish_raw(labels)?;
                    gate.open();
                }
            }
            Activity::Deactivate => {}
            // The model went with the thread that had it.
            Activity::CleanUp | Activity::ShutDown | Activity::ProcessError => host.withdraw(),
        }
        Ok(())
    }

    fn turn(&mut self, is_active: bool, host: &mut Host<Self::Parameters>) -> anyhow::Result<()> {
        let recording = self.configured.as_mut().and_then(|configured| configured.recording.as_mut());
        match (recording, &mut self.record_now) {
            (Some(recording), record_now) => recording.turn(host, record_now.as_mut()),
            (None, Some(record_now)) => recorder::refuse_to_record(record_now),
            (None, None) => {}
        }
        let Some(Configured { subscription, statistics, slot, working, .. }) = &mut self.configured else {
            return Ok(());
        };
        anyhow::ensure!(!working.is_finished(), ENDED);
        subscription.drain(|message| {
            if is_active {
                lock(statistics).arrived();
                slot.put(message);
            }
        });
        Ok(())
    }

    fn diagnostics(&mut self, name: &str) -> Vec<DiagnosticStatus> {
        let Some(Configured { model, statistics, slot, onlookers, recording, .. }) = &self.configured else {
            return Vec::new();
        };
        let mut statistics = lock(statistics);
        statistics.counters.dropped = slot.replaced();
        let mut statuses = vec![statistics.status(&format!("{name}: {}", Self::ABOUT), &[("model", model)])];
        drop(statistics);
        statuses.extend(lock(onlookers).iter_mut().filter_map(|onlooker| onlooker.status(name)));
        if let (Some(missing), Some(last)) =
            (recording.as_ref().and_then(Recording::missing_topics), statuses.last_mut())
        {
            // RECORDER: its status is the last one.
            last.values.push(missing);
        }
        statuses
    }
}

const ENDED: &str = "the inference thread ended by a fault in the program; please report it";

fn run<W: Work>(mut work: W, slot: &Latest<Vec<u8>>, gate: &Gate, mut report: Report) {
    loop {
        match slot.take(Duration::from_millis(200)) {
            Taken::Closed => return,
            Taken::Nothing => {}
            Taken::Value(message) => {
                let is_done = gate.pass(|| {
                    // A fault in a decoder must cost one message, not the robot's sight.
                    let result = catch_unwind(AssertUnwindSafe(|| work.process(&message, &mut report)));
                    match result {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => report.fail(W::NOUN, format!("{error:#}")),
                        Err(_) => {
                            let failure = "a fault in the program; please report it with a recording";
                            report.fail(W::NOUN, failure.to_owned());
                        }
                    }
                });
                if !is_done {
                    slot.discard(message);
                }
            }
        }
    }
}
