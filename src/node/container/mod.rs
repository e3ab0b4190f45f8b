//! Program `perception_container`: several of our nodes in one process, out of one YAML file.
//!
//! | file | holds |
//! |---|---|
//! | `arguments` | the command line |
//! | `config` | the YAML file, and what must hold in it |
//! | `values` | parameters out of YAML, there and in ROS's parameter files |
//!
//! Each node has its own spinning thread, as an r2r node belongs to one, with its own lifecycle services, parameters, bond and
//! diagnostics. The detectors share `inference_threads` turns (`node::turns`): so many compute at the same time, and the others wait
//! with the newest frame.

mod arguments;
mod config;
mod values;

use std::{
    io::{Write, stderr, stdout},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::ExitCode,
    sync::mpsc::{self, Receiver},
    thread,
};

use anyhow::Context as _;

use self::{
    arguments::{Arguments, HELP},
    config::{ContainerConfig, NodeKind, Restart},
};
use super::{
    Shutdown, camera_detector, host::NodeOptions, lidar_detector, obstacle_fusion, process::run_logged, turns::Turns,
};

/// The whole program: reads the command line, logs to stderr and runs the nodes until SIGINT or SIGTERM. Exit code 2 is an error that
/// was logged.
pub fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    // Who does not listen to the end, such as `| head`, has heard enough.
    match Arguments::read(arguments) {
        Ok(Arguments::Help) => {
            let _ = stdout().write_all(HELP.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Arguments::Version) => {
            let _ = writeln!(stdout(), "perception_container {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Ok(Arguments::Config(path)) => run_logged(|shutdown| run(&path, shutdown)),
        Err(error) => {
            let _ = writeln!(stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the nodes of a file until SIGINT or SIGTERM. Must be called within a tokio runtime.
///
/// # Errors
/// A file that cannot be used, or a node that failed, by its name; where the file says that the others go on, only when none is left.
pub fn run(path: &Path, shutdown: &Shutdown) -> anyhow::Result<()> {
    let config = ContainerConfig::read(path)?;
    let nodes = config.nodes(path)?;
    let turns = Turns::of(config.inference_threads.get());
    let runtime = tokio::runtime::Handle::current();
    let (told, outcomes) = mpsc::channel();
    for (kind, options) in &nodes {
        let name = full_name(options);
        let (kind, options, turns) = (*kind, options.clone(), turns.clone());
        let (runtime, shutdown, tell, title) = (runtime.clone(), shutdown.clone(), told.clone(), name.clone());
        let spawned = thread::Builder::new().name(options.name.clone()).spawn(move || {
            let _inside = runtime.enter();
            let span = tracing::info_span!("node", name = %title);
            let ended = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| run_node(kind, &options, turns, &shutdown))));
            let result = ended.unwrap_or_else(|_| Err(anyhow::anyhow!("a fault in the program; please report it")));
            // Nobody hears it only where the process ends anyway.
            let _ = tell.send((title, result));
        });
        if let Err(error) = spawned {
            let _ = told.send((name, Err(error.into())));
        }
    }
    drop(told);
    watch(&outcomes, nodes.len(), config.restart, shutdown)
}

/// Name with namespace.
fn full_name(options: &NodeOptions) -> String {
    format!("{}/{}", options.namespace, options.name)
}

fn run_node(kind: NodeKind, options: &NodeOptions, turns: Turns, shutdown: &Shutdown) -> anyhow::Result<()> {
    match kind {
        NodeKind::CameraDetector => camera_detector::run_as(options, turns, shutdown),
        NodeKind::LidarDetector => lidar_detector::run_as(options, turns, shutdown),
        NodeKind::ObstacleFusion => obstacle_fusion::run_as(options, shutdown),
    }
}

/// How a node ended: its full name, and why.
type Outcome = (String, anyhow::Result<()>);

/// Waits until all nodes have ended, and sees to it that one which fails ends the others, unless they shall go on.
fn watch(outcomes: &Receiver<Outcome>, nodes: usize, restart: Restart, shutdown: &Shutdown) -> anyhow::Result<()> {
    let (mut first, mut failed) = (None, 0);
    for (name, result) in outcomes {
        let Err(error) = result.with_context(|| format!("node {name}")) else { continue };
        failed += 1;
        if restart == Restart::KeepGoing && !shutdown.is_requested() {
            tracing::error!("{error:#}; the other nodes go on");
        } else {
            shutdown.request();
            match &first {
                None => first = Some(error),
                Some(_) => tracing::error!("{error:#}"),
            }
        }
    }
    match first {
        Some(error) => Err(error),
        None if failed == nodes => anyhow::bail!("no node is left"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(restart: Restart, failures: &[Option<&str>]) -> (anyhow::Result<()>, bool) {
        let (told, outcomes) = mpsc::channel();
        for (place, failure) in failures.iter().enumerate() {
            let result = failure.map_or(Ok(()), |failure| Err(anyhow::anyhow!("{failure}")));
            told.send((format!("/node_{place}"), result)).unwrap();
        }
        drop(told);
        let shutdown = Shutdown::default();
        let result = watch(&outcomes, failures.len(), restart, &shutdown);
        (result, shutdown.is_requested())
    }

    #[test]
    fn the_first_failure_ends_all_and_is_told_by_the_nodes_name() {
        let (result, is_over) = watched(Restart::Process, &[None, Some("no model"), Some("another")]);
        assert_eq!((format!("{:#}", result.unwrap_err()), is_over), ("node /node_1: no model".to_owned(), true));
        let (result, is_over) = watched(Restart::Process, &[None, None]);
        assert!(result.is_ok() && !is_over);
    }

    #[test]
    fn the_others_go_on_while_there_are_any() {
        let (result, is_over) = watched(Restart::KeepGoing, &[Some("no model"), None]);
        assert!(result.is_ok() && !is_over);
        let (result, _) = watched(Restart::KeepGoing, &[Some("no model"), Some("no model")]);
        assert_eq!(result.unwrap_err().to_string(), "no node is left");
    }
}
