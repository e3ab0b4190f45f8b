//! The loop of a managed node.

use std::{
    collections::VecDeque,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use r2r::diagnostic_msgs::msg::DiagnosticStatus;

use super::{
    machine::{Outcome, StateMachine},
    managed::Managed,
    services::{ChangeRequest, Services, answer_change},
    state::{Activity, State},
    transition::{ACTIVATE, CONFIGURE, SHUTDOWN},
};
use crate::node::{
    Shutdown,
    bond::Bond,
    diagnostics::{ERROR, OK, WARN, pair},
    host::{DIAGNOSTICS_PERIOD, Host, SPIN},
    parameters::NodeParameters,
};

/// How long a node that shall end waits for work that is under way, such as a model that is being loaded.
const LEAVE: Duration = Duration::from_secs(3);
/// How long what was said last has to get out before its publishers go.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Runs a managed node until it shall end. It configures and activates itself where its parameters say so, and ends with the error
/// where it then cannot; otherwise it waits for a lifecycle manager, and an error costs the transition alone.
///
/// # Errors
/// An own start that failed, what the node cannot go on after, or a ROS 2 that refuses the services.
pub(in crate::node) fn serve<M: Managed>(
    mut host: Host<M::Parameters>,
    mut node: M,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let mut driver = Driver::<M>::create(&mut host)?;
    let result = driver.run(&mut host, &mut node, shutdown);
    driver.leave(&mut host, &mut node);
    drop((driver, node));
    host.end();
    result
}

/// Work that is under way.
struct Running<T> {
    activity: Activity,
    work: JoinHandle<anyhow::Result<T>>,
    asked: Asked,
}

/// Who waits for the end of a transition.
#[derive(Default)]
struct Asked {
    request: Option<ChangeRequest>,
    /// Whether something went wrong before.
    has_failed: bool,
}

struct Driver<M: Managed> {
    machine: StateMachine,
    services: Services,
    bond: Bond,
    running: Option<Running<M::Product>>,
    /// Why the newest transition failed.
    failure: Option<anyhow::Error>,
}

impl<M: Managed> Driver<M> {
    fn create(host: &mut Host<M::Parameters>) -> anyhow::Result<Self> {
        let services = Services::create(&mut host.node)?;
        let bond = Bond::new(host.node.name().context("the node has no name")?);
        Ok(Self { machine: StateMachine::new(), services, bond, running: None, failure: None })
    }

    fn run(&mut self, host: &mut Host<M::Parameters>, node: &mut M, shutdown: &Shutdown) -> anyhow::Result<()> {
        let is_autostart = host.parameters().autostart();
        let mut autostart = is_autostart.then(|| VecDeque::from([CONFIGURE, ACTIVATE]));
        if !is_autostart {
            tracing::info!("{} is unconfigured and waits for its lifecycle manager (autostart is false)", host.name);
        }
        let mut told = Instant::now();
        while !shutdown.is_requested() {
            let patience = if self.is_active() { node.patience().min(SPIN) } else { SPIN };
            host.spin(patience);
            self.answer(host, node);
            self.look_after_work(host, node);
            if let Some(steps) = autostart.as_mut().filter(|_| self.running.is_none()) {
                if let Some(error) = self.failure.take() {
                    return Err(error);
                }
                match steps.pop_front() {
                    Some(id) => self.start(host, node, id, "", Asked::default()),
                    None => autostart = None,
                }
            }
            node.turn(self.is_active(), host)?;
            self.bond.turn();
            if told.elapsed() >= DIAGNOSTICS_PERIOD {
                told = Instant::now();
                let statuses = self.diagnostics(&host.name, node);
                host.tell(statuses);
            }
        }
        Ok(())
    }

    /// Lets go of everything, as far as that can be waited for.
    fn leave(&mut self, host: &mut Host<M::Parameters>, node: &mut M) {
        let deadline = Instant::now() + LEAVE;
        loop {
            self.look_after_work(host, node);
            if self.running.is_none() {
                if self.machine.state() == State::Finalized {
                    break;
                }
                self.start(host, node, 0, SHUTDOWN, Asked::default());
            }
            if Instant::now() >= deadline {
                tracing::warn!("{}: what is under way does not end; it is left behind", host.name);
                break;
            }
            host.spin(Duration::from_millis(2));
        }
        thread::sleep(LAST_WORDS);
    }

    fn is_active(&self) -> bool {
        self.machine.state() == State::Active
    }

    fn answer(&mut self, host: &mut Host<M::Parameters>, node: &mut M) {
        self.services.answer(&self.machine);
        while let Some(request) = self.services.next_change() {
            let (id, label) = (request.message.transition.id, request.message.transition.label.clone());
            self.start(host, node, id, &label, Asked { request: Some(request), has_failed: false });
        }
    }

    /// Begins a transition, or refuses it.
    fn start(&mut self, host: &mut Host<M::Parameters>, node: &mut M, id: u8, label: &str, asked: Asked) {
        match self.machine.begin(id, label) {
            Ok(way) => {
                self.services.announce(way);
                self.failure = None;
                self.work(host, node, asked);
            }
            Err(refusal) => {
                tracing::warn!("{}: {refusal}", host.name);
                if let Some(request) = asked.request {
                    answer_change(request, false);
                }
            }
        }
    }

    /// Begins the work of the transition state that the node is in.
    fn work(&mut self, host: &mut Host<M::Parameters>, node: &mut M, asked: Asked) {
        let Some(activity) = self.machine.state().activity() else { return };
        if matches!(activity, Activity::Deactivate | Activity::ShutDown | Activity::ProcessError) {
            self.bond.leave();
        }
        let work = node.begin(activity, host).and_then(|job| {
            let named = thread::Builder::new().name("transition".into());
            let span = tracing::Span::current();
            Ok(named.spawn(move || span.in_scope(job))?)
        });
        match work {
            Ok(work) => self.running = Some(Running { activity, work, asked }),
            Err(error) => self.conclude(host, node, activity, Err(error), asked),
        }
    }

    /// Ends the transition whose work is over.
    fn look_after_work(&mut self, host: &mut Host<M::Parameters>, node: &mut M) {
        let Some(Running { activity, work, asked }) = self.running.take_if(|running| running.work.is_finished()) else {
            return;
        };
        let result = match work.join() {
            Ok(Ok(product)) => node.end(activity, product, host),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(anyhow::anyhow!("a fault in the program; please report it")),
        };
        self.conclude(host, node, activity, result, asked);
    }

    fn conclude(
        &mut self,
        host: &mut Host<M::Parameters>,
        node: &mut M,
        activity: Activity,
        result: anyhow::Result<()>,
        mut asked: Asked,
    ) {
        let outcome = match (&result, activity) {
            (Ok(()), _) => Outcome::Success,
            // Nothing is lost: the node is where it was.
            (Err(_), Activity::Configure | Activity::Activate) => Outcome::Failure,
            (Err(_), _) => Outcome::Error,
        };
        match (activity, outcome) {
            (Activity::Configure, Outcome::Success) => {
                host.release_idle();
                host.warn_of_unused_overrides();
            }
            (Activity::Configure, _) => host.withdraw(),
            (Activity::Activate, Outcome::Success) => self.bond.begin(host),
            _ => {}
        }
        if let Err(error) = result {
            if asked.request.is_some() {
                tracing::error!("{}: {} failed: {error:#}", host.name, self.machine.state().label());
            }
            asked.has_failed = true;
            self.failure = Some(error);
        }
        if let Some(way) = self.machine.end(outcome) {
            self.services.announce(way);
            tracing::info!("{} is {}", host.name, way.goal.label());
        }
        if self.machine.state().activity().is_some() {
            return self.work(host, node, asked);
        }
        if let Some(request) = asked.request {
            answer_change(request, !asked.has_failed);
        }
    }

    /// Of an active node what it says itself; else the state and what went wrong.
    fn diagnostics(&self, name: &str, node: &mut M) -> Vec<DiagnosticStatus> {
        let state = self.machine.state();
        let mut statuses = if self.is_active() { node.diagnostics(name) } else { Vec::new() };
        if statuses.is_empty() {
            let (level, message) = match (&self.failure, state) {
                (Some(error), _) => (ERROR, format!("{}: {error:#}", state.label())),
                (None, State::Unconfigured) => {
                    (WARN, "unconfigured: no lifecycle manager has configured it (parameter autostart)".to_owned())
                }
                (None, _) => (OK, state.label().to_owned()),
            };
            let name = format!("{name}: {}", M::ABOUT);
            statuses.push(DiagnosticStatus { level, name, message, hardware_id: String::new(), values: Vec::new() });
        }
        if let Some(first) = statuses.first_mut() {
            first.values.push(pair("state", state.label()));
        }
        statuses
    }
}
