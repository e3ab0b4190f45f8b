//! What every detector node does: the spinning thread puts messages into a slot where the newest wins, and one thread works on them,
//! while the node is active. The model is loaded when the node is configured and freed when it is cleaned up; meanwhile another one can
//! take its place between two messages, and a candidate can be tried beside it.
//!
//! | file | thread | does |
//! |---|---|---|
//! | `work` | | [`Work`]: what differs between the detectors |
//! | `inference` | inference | finds things in messages; takes the model that waits between two of them |
//! | `background` | background | loads, checks and frees models; tries the candidate |
//! | `swaps` | spinning | sees which models are wanted, and tells what came of it |
//! | `exchange` | all | where models wait for the other threads |
//! | `shadow`, `agreement` | | what is known of a candidate; how far two models agree on a frame |

mod agreement;
mod background;
mod exchange;
#[cfg(test)]
mod fake;
mod inference;
mod shadow;
mod swaps;
#[cfg(test)]
mod tests;
mod work;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use r2r::{diagnostic_msgs::msg::DiagnosticStatus, std_msgs::msg::Float64, std_srvs::srv::Trigger};

pub(super) use self::work::{Source, Work};
use self::{
    background::{Background, Publish},
    exchange::Exchange,
    inference::{Inference, Onlookers},
    shadow::{Allowance, Shadow},
    swaps::{Swaps, answer},
    work::Ready,
};
use super::{
    Latest, NodeStatistics, Stage,
    diagnostics::{
        drift::{Drift, DriftOptions},
        identity,
        latency_topics::LatencyTopics,
    },
    gate::Gate,
    host::{Host, latched, lock, reliable, sensor},
    labels::LabelTopic,
    lifecycle::{Activity, Job, Managed, job},
    onlooker::Onlooker,
    parameters::{DetectorParameters, NodeParameters},
    recorder::{Origin, RecordNow, Recording, refuse_to_record},
    requests::{Requests, offer, waiting},
    subscriptions::Subscription,
    turns::Turns,
    warnings::Warnings,
    watch::InputWatch,
};
use crate::messages::LabelInfo;

/// Stages whose latencies are topics.
const LATENCY_TOPICS: [Stage; 3] = [Stage::Pipeline, Stage::Infer, Stage::Age];

/// A detector as a managed node.
pub(super) struct Detection<W: Work> {
    turns: Turns,
    configured: Option<Configured<W>>,
    /// From the first configuration that records to the end.
    record_now: Option<RecordNow>,
    rollbacks: Requests<Trigger::Service>,
    promotions: Requests<Trigger::Service>,
}

/// What a node has from its configuration to its clean-up.
struct Configured<W: Work> {
    parameters: Arc<Mutex<W::Parameters>>,
    subscription: Subscription,
    watch: InputWatch,
    labels: Arc<LabelTopic>,
    statistics: Arc<Mutex<NodeStatistics>>,
    is_listened_to: Arc<AtomicBool>,
    onlookers: Onlookers,
    recording: Option<Recording>,
    slot: Arc<Latest<Vec<u8>>>,
    gate: Arc<Gate>,
    swaps: Swaps<W>,
    inference: JoinHandle<()>,
    background: JoinHandle<()>,
}

/// What configuring brings.
pub(super) struct Loaded<W: Work> {
    parameters: W::Parameters,
    model: W::Model,
}

impl<W: Work> Detection<W> {
    /// A node that is not configured, and computes when it has a turn. Offers its services.
    ///
    /// # Errors
    /// When ROS 2 refuses one.
    pub(super) fn new(host: &mut Host<W::Parameters>, turns: Turns) -> anyhow::Result<Self> {
        let rollbacks = offer(&mut host.node, "~/rollback")?;
        let promotions = offer(&mut host.node, "~/promote")?;
        Ok(Self { turns, configured: None, record_now: None, rollbacks, promotions })
    }

    fn configure(&mut self, loaded: Loaded<W>, host: &mut Host<W::Parameters>) -> anyhow::Result<()> {
        let Loaded { parameters, model } = loaded;
        let current = Ready::of::<W>(model);
        let source = W::source(&parameters)?;
        let topic = host.advertise("~/label_info", LabelInfo::TYPE_NAME, latched())?;
        let labels = LabelTopic::new(current.labels.clone(), move |message: &[u8]| topic.publish_raw(message));
        let labels = Arc::new(labels);
        let publish = agreement_topic(host)?;
        let work = W::create(&parameters, host)?;
        let latencies = LatencyTopics::offer(host, &LATENCY_TOPICS)?;
        let qos = sensor(source.is_reliable);
        let subscription = host.subscribe(&source.topic, source.type_name, qos.clone())?;
        let watch = InputWatch::new(host, &source.topic, source.type_name, qos, W::SETTINGS);
        let mut onlookers = onlookers(&parameters, host.shared_parameters());
        // Its status comes last, as `diagnostics` adds to it.
        let recording = match self.record(&parameters, &source, &mut onlookers, host) {
            Ok(recording) => recording,
            Err(error) => {
                host.unsubscribe(subscription);
                return Err(error);
            }
        };
        let onlookers: Onlookers = Arc::new(Mutex::new(onlookers));
        for onlooker in lock(&onlookers).iter_mut() {
            onlooker.model_changed(&current.identity);
        }

        let exchange = Arc::new(Exchange::<W>::new(current.identity.clone()));
        let slot = Arc::new(Latest::<Vec<u8>>::new());
        let gate = Arc::new(Gate::default());
        let statistics = Arc::new(Mutex::new(NodeStatistics::of(W::NOUN)));
        let is_listened_to = Arc::new(AtomicBool::new(false));
        let shadow = Arc::new(Mutex::new(Shadow::default()));
        let (events, heard) = mpsc::channel();
        let inference = Inference {
            work,
            current,
            parameters: host.shared_parameters(),
            exchange: exchange.clone(),
            events: events.clone(),
            labels: labels.clone(),
            onlookers: onlookers.clone(),
            statistics: statistics.clone(),
            latencies,
            is_listened_to: is_listened_to.clone(),
            warnings: Warnings::default(),
            allowance: Allowance::default(),
        };
        let background = Background {
            exchange: exchange.clone(),
            events,
            parameters: host.shared_parameters(),
            shadow: shadow.clone(),
            gate: gate.clone(),
            publish,
            candidate: None,
        };
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let (worker_slot, worker_gate, turns) = (slot.clone(), gate.clone(), self.turns.clone());
        let (span, other_span) = (tracing::Span::current(), tracing::Span::current());
        let working = move || span.in_scope(|| inference.run(&worker_slot, &worker_gate, &turns));
        let inference = named("inference").spawn(working)?;
        let background = match named("background").spawn(move || other_span.in_scope(|| background.run())) {
            Ok(background) => background,
            Err(error) => {
                // The other thread would hold its model for ever.
                slot.close();
                return Err(error.into());
            }
        };
        tracing::info!("{} listens to {} ({})", host.name, source.topic, source.type_name);
        let swaps = Swaps::new(parameters, host.shared_parameters(), exchange, heard, shadow);
        self.configured = Some(Configured {
            parameters: host.shared_parameters(),
            subscription,
            watch,
            labels,
            statistics,
            is_listened_to,
            onlookers,
            recording,
            slot,
            gate,
            swaps,
            inference,
            background,
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
        let Some(options) = parameters.recording() else { return Ok(None) };
        if self.record_now.is_none() {
            self.record_now = Some(RecordNow::offer(&mut host.node)?);
        }
        let origin = Origin {
            node: host.name.clone(),
            topic: host.full_name(&source.topic),
            type_name: source.type_name.to_owned(),
            is_reliable: source.is_reliable,
        };
        let (recording, recorder) = Recording::start(options, origin, host)?;
        onlookers.push(Box::new(recorder));
        Ok(Some(recording))
    }

    /// Answers the services.
    fn answer(&mut self) {
        while let Some(request) = waiting(&mut self.rollbacks) {
            match &mut self.configured {
                Some(configured) => configured.swaps.roll_back(request),
                None => answer(request, false, UNCONFIGURED),
            }
        }
        while let Some(request) = waiting(&mut self.promotions) {
            match &mut self.configured {
                Some(configured) => configured.swaps.promote(request),
                None => answer(request, false, UNCONFIGURED),
            }
        }
    }

    /// Ends the threads, and frees the models, on another thread.
    fn clean_up(&mut self, host: &mut Host<W::Parameters>) -> Job<Option<Loaded<W>>> {
        let Some(configured) = self.configured.take() else { return job(|| Ok(None)) };
        let Configured { subscription, onlookers, recording, slot, swaps, inference, background, .. } = configured;
        host.unsubscribe(subscription);
        let finishing = recording.map(|recording| recording.leave(host));
        let exchange = swaps.end();
        job(move || {
            slot.close();
            exchange.close();
            let has_ended = [inference, background].map(|thread| thread.join().is_ok()) == [true, true];
            // The models that waited in it go here, and what onlookers hold.
            drop((exchange, onlookers));
            // The recorder's thread ends when nobody can give it anything any more.
            if let Some(finishing) = finishing {
                finishing.wait();
            }
            anyhow::ensure!(has_ended, ENDED);
            Ok(None)
        })
    }
}

/// Those who look at each frame's result from the configuration to the clean-up.
fn onlookers<P: DetectorParameters>(parameters: &P, shared: Arc<Mutex<P>>) -> Vec<Box<dyn Onlooker>> {
    let rule = Box::new(move || lock(&shared).drift_rule());
    vec![Box::new(Drift::new(DriftOptions { rule, window: parameters.drift_window() }))]
}

/// Offers the topic with the agreement of candidate and model.
fn agreement_topic<P: NodeParameters>(host: &mut Host<P>) -> anyhow::Result<Publish> {
    let topic = host.advertise_typed::<Float64>("~/shadow_agreement", reliable(5))?;
    Ok(Box::new(move |agreement| {
        if let Err(error) = topic.publish(&Float64 { data: agreement }) {
            tracing::debug!("the candidate's agreement cannot be published: {error}");
        }
    }))
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
                let parts = self
                    .configured
                    .as_ref()
                    .map(|configured| (configured.gate.clone(), configured.slot.clone(), configured.labels.clone()));
                job(move || {
                    // The message that is worked on is finished and published first.
                    if let Some((gate, slot, labels)) = parts {
                        gate.close();
                        slot.clear();
                        labels.deactivate();
                    }
                    Ok(None)
                })
            }
            Activity::CleanUp | Activity::ShutDown | Activity::ProcessError => self.clean_up(host),
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
                if let Some(Configured { labels, gate, watch, statistics, .. }) = &mut self.configured {
                    labels.activate()?;
                    lock(statistics).resume();
                    watch.begin(Instant::now());
                    gate.open();
                }
            }
            Activity::Deactivate => {}
            // The models went with the threads that had them.
            Activity::CleanUp | Activity::ShutDown | Activity::ProcessError => host.withdraw(),
        }
        Ok(())
    }

    fn turn(&mut self, is_active: bool, host: &mut Host<Self::Parameters>) -> anyhow::Result<()> {
        self.answer();
        let recording = self.configured.as_mut().and_then(|configured| configured.recording.as_mut());
        match (recording, &mut self.record_now) {
            (Some(recording), record_now) => recording.turn(host, record_now.as_mut()),
            (None, Some(record_now)) => refuse_to_record(record_now),
            (None, None) => {}
        }
        let Some(Configured { subscription, watch, statistics, slot, swaps, inference, background, .. }) =
            &mut self.configured
        else {
            return Ok(());
        };
        anyhow::ensure!(!inference.is_finished() && !background.is_finished(), ENDED);
        if swaps.turn() {
            host.tell_parameters();
        }
        let now = Instant::now();
        subscription.drain(|message| {
            if is_active {
                watch.arrived(&message, now);
                lock(statistics).arrived();
                slot.put(message);
            }
        });
        if is_active {
            watch.look(host, now);
        }
        Ok(())
    }

    fn diagnostics(&mut self, name: &str) -> Vec<DiagnosticStatus> {
        let Some(Configured {
            parameters, watch, statistics, is_listened_to, onlookers, recording, slot, swaps, ..
        }) = &self.configured
        else {
            return Vec::new();
        };
        let thresholds = lock(parameters).thresholds();
        let listened_to = if is_listened_to.load(Ordering::Relaxed) { "yes" } else { "no" };
        let running = swaps.running();
        let model = identity::lines(&running);
        let mut about: Vec<(&str, &str)> = model.iter().map(|(key, value)| (*key, value.as_str())).collect();
        about.push(("listened_to", listened_to));
        let mut statuses = Vec::new();
        {
            let mut statistics = lock(statistics);
            statistics.counters.dropped = slot.replaced();
            let mut status = statistics.status(&format!("{name}: {}", Self::ABOUT), &about, &thresholds);
            watch.tell(&mut status, Instant::now());
            statuses.push(status);
        }
        statuses.extend(swaps.statuses(name));
        statuses.extend(lock(onlookers).iter_mut().filter_map(|onlooker| onlooker.status(name)));
        let missing = recording.as_ref().and_then(Recording::missing_topics);
        if let (Some(missing), Some(recorder)) = (missing, statuses.last_mut()) {
            recorder.values.push(missing);
        }
        statuses
    }
}

const UNCONFIGURED: &str = "the node is not configured, so that no model is there";
const ENDED: &str = "a thread of the node ended by a fault in the program; please report it";
