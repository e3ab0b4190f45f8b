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
    parameters::NodeParameters,
    subscriptions::Subscription,
    turns::Turns,
    warnings::Warnings,
};
use crate::messages::LabelInfo;

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

    /// Whether anybody would get what a message brings; a message that nobody waits for is left alone. Asked for each message, at the
    /// price of a lock and a count in the middleware.
    fn is_listened_to(&self) -> bool;

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

/// Where work tells how it goes.
pub(super) struct Report {
    statistics: Arc<Mutex<NodeStatistics>>,
    warnings: Warnings,
}

impl Report {
    /// Counts a message as processed, with what is known of its stages.
    pub(super) fn record(&self, latencies: &[(Stage, Option<Duration>)]) {
        lock(&self.statistics).record(latencies);
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
    turns: Turns,
    configured: Option<Configured>,
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
}

/// What configuring brings.
pub(super) struct Loaded<W: Work> {
    parameters: W::Parameters,
    model: W::Model,
}

impl<W: Work> Detection<W> {
    /// A node that is not configured, and computes when it has a turn.
    pub(super) fn new(turns: Turns) -> Self {
        Self { turns, configured: None, work: PhantomData }
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
        let report = Report { statistics: statistics.clone(), warnings: Warnings::default() };
        let (worker_slot, worker_gate, turns) = (slot.clone(), gate.clone(), self.turns.clone());
        let span = tracing::Span::current();
        let working = thread::Builder::new()
            .name("inference".into())
            .spawn(move || span.in_scope(|| run(work, &worker_slot, &worker_gate, &turns, report)))?;
        tracing::info!("{} listens to {} ({})", host.name, source.topic, source.type_name);
        self.configured =
            Some(Configured { model: source.model, subscription, labels, statistics, slot, gate, working });
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
        let Some(Configured { model, statistics, slot, .. }) = &self.configured else { return Vec::new() };
        let mut statistics = lock(statistics);
        statistics.counters.dropped = slot.replaced();
        vec![statistics.status(&format!("{name}: {}", Self::ABOUT), &[("model", model)])]
    }
}

const ENDED: &str = "the inference thread ended by a fault in the program; please report it";

/// How long the inference thread waits for a message before it looks whether it shall end.
const PATIENCE: Duration = Duration::from_millis(200);

fn run<W: Work>(mut work: W, slot: &Latest<Vec<u8>>, gate: &Gate, turns: &Turns, mut report: Report) {
    loop {
        match slot.wait(PATIENCE) {
            Taken::Closed => return,
            Taken::Nothing => continue,
            Taken::Value(()) => {}
        }
        if !work.is_listened_to() {
            if let Taken::Value(_) = slot.take(Duration::ZERO) {
                lock(&report.statistics).idled();
            }
            continue;
        }
        // What comes while others have their turns is the newer message.
        let _turn = turns.take();
        let Taken::Value(message) = slot.take(Duration::ZERO) else { continue };
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
