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
    diagnostics::{identity, latency_topics::LatencyTopics},
    gate::Gate,
    host::{Host, latched, lock, sensor},
    lifecycle::{Activity, Job, Managed, job},
    onlooker::{Frame, ModelIdentity, Onlooker},
    parameters::NodeParameters,
    subscriptions::Subscription,
    warnings::Warnings,
};
use crate::messages::LabelInfo;

/// Stages whose latencies are topics.
const LATENCY_TOPICS: [Stage; 3] = [Stage::Pipeline, Stage::Infer, Stage::Age];

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

    /// Which model it is. Reads its file.
    fn identity(model: &Self::Model) -> ModelIdentity;

    /// Those who look at each frame's result.
    fn onlookers(parameters: &Self::Parameters, host: &Host<Self::Parameters>) -> Vec<Box<dyn Onlooker>>;

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
}

/// Shared by the thread that shows them frames and the one that asks them for diagnostics.
type Onlookers = Arc<Mutex<Vec<Box<dyn Onlooker>>>>;

/// Where work tells how it goes.
pub(super) struct Report {
    statistics: Arc<Mutex<NodeStatistics>>,
    latencies: LatencyTopics,
    onlookers: Onlookers,
    warnings: Warnings,
}

impl Report {
    /// Counts a message as processed, with what is known of its stages.
    pub(super) fn record(&self, latencies: &[(Stage, Option<Duration>)]) {
        lock(&self.statistics).record(latencies);
        self.latencies.publish(latencies);
    }

    /// Shows a message that was published to those who look on.
    pub(super) fn show(&self, frame: &Frame<'_>) {
        for onlooker in lock(&self.onlookers).iter_mut() {
            onlooker.look(frame);
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

/// A detector as a managed node.
pub(super) struct Detection<W: Work> {
    configured: Option<Configured<W::Parameters>>,
    work: PhantomData<W>,
}

/// What a node has from its configuration to its clean-up.
struct Configured<P> {
    /// What diagnostics say of the model.
    model: Vec<(&'static str, String)>,
    parameters: Arc<Mutex<P>>,
    subscription: Subscription,
    labels: (PublisherUntyped, Vec<u8>),
    statistics: Arc<Mutex<NodeStatistics>>,
    onlookers: Onlookers,
    slot: Arc<Latest<Vec<u8>>>,
    gate: Arc<Gate>,
    working: JoinHandle<()>,
}

/// What configuring brings.
pub(super) struct Loaded<W: Work> {
    parameters: W::Parameters,
    model: W::Model,
    identity: ModelIdentity,
}

impl<W: Work> Detection<W> {
    /// A node that is not configured.
    pub(super) fn new() -> Self {
        Self { configured: None, work: PhantomData }
    }

    fn configure(&mut self, loaded: Loaded<W>, host: &mut Host<W::Parameters>) -> anyhow::Result<()> {
        let Loaded { parameters, model, identity } = loaded;
        let source = W::source(&parameters)?;
        let labels = (host.advertise("~/label_info", LabelInfo::TYPE_NAME, latched())?, W::labels(&model));
        let work = W::create(model, &parameters, host)?;
        let latencies = LatencyTopics::offer(host, &LATENCY_TOPICS)?;
        let subscription = host.subscribe(&source.topic, source.type_name, sensor(source.is_reliable))?;
        let slot = Arc::new(Latest::<Vec<u8>>::new());
        let gate = Arc::new(Gate::default());
        let statistics = Arc::new(Mutex::new(NodeStatistics::of(W::NOUN)));
        let mut onlookers = W::onlookers(&parameters, host);
        for onlooker in &mut onlookers {
            onlooker.model_changed(&identity);
        }
        let onlookers = Arc::new(Mutex::new(onlookers));
        let report = Report {
            statistics: statistics.clone(),
            latencies,
            onlookers: onlookers.clone(),
            warnings: Warnings::default(),
        };
        let (worker_slot, worker_gate) = (slot.clone(), gate.clone());
        let working = thread::Builder::new()
            .name("inference".into())
            .spawn(move || run(work, &worker_slot, &worker_gate, report))?;
        tracing::info!("{} listens to {} ({})", host.name, source.topic, source.type_name);
        self.configured = Some(Configured {
            model: identity::lines(&identity),
            parameters: host.shared_parameters(),
            subscription,
            labels,
            statistics,
            onlookers,
            slot,
            gate,
            working,
        });
        Ok(())
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
                    let identity = W::identity(&model);
                    Ok(Some(Loaded::<W> { parameters, model, identity }))
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
                let Some(Configured { subscription, slot, working, .. }) = self.configured.take() else {
                    return Ok(job(|| Ok(None)));
                };
                host.unsubscribe(subscription);
                job(move || {
                    slot.close();
                    anyhow::ensure!(working.join().is_ok(), ENDED);
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

    fn turn(&mut self, is_active: bool, _host: &mut Host<Self::Parameters>) -> anyhow::Result<()> {
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
        let Some(Configured { model, parameters, statistics, onlookers, slot, .. }) = &self.configured else {
            return Vec::new();
        };
        let thresholds = lock(parameters).thresholds();
        let about: Vec<(&str, &str)> = model.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let whole = {
            let mut statistics = lock(statistics);
            statistics.counters.dropped = slot.replaced();
            statistics.status(&format!("{name}: {}", Self::ABOUT), &about, &thresholds)
        };
        let mut onlookers = lock(onlookers);
        let others = onlookers.iter_mut().filter_map(|onlooker| onlooker.status(name));
        std::iter::once(whole).chain(others).collect()
    }
}

const ENDED: &str = "the inference thread ended by a fault in the program; please report it";

fn run<W: Work>(mut work: W, slot: &Latest<Vec<u8>>, gate: &Gate, mut report: Report) {
    loop {
        match slot.take(Duration::from_millis(200)) {
            Taken::Closed => return,
            Taken::Nothing => {}
            Taken::Value(message) => {
                let waited = slot.waited();
                let is_done = gate.pass(|| {
                    let _span = tracing::trace_span!("frame").entered();
                    lock(&report.statistics).measured(Stage::Queue, waited);
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
