//! A running node of ours and a client of somebody else's making.

use std::{
    io::{Read, Seek},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;

/// Whether python3 can be the client. Otherwise says, as a test's last words, why it is skipped.
pub fn rclpy() -> bool {
    let found = Command::new("python3")
        .args(["-c", "import rclpy, tf2_msgs.msg, vision_msgs.msg, visualization_msgs.msg"])
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        println!("skipped: python3 has no rclpy with vision_msgs (source scripts/env)");
    }
    found
}

/// A script of tests/ros/.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ros").join(name)
}

/// Every so manieth frame of the real recording as a file named after its stamp, by other people's code.
pub fn frames_of_bag(data: &Path, folder: &Path, every: usize, format: &str) -> Vec<(i64, PathBuf)> {
    let mut command = Command::new("python3");
    command
        .arg(script("frames_of_bag.py"))
        .arg(data.join("bags/indoor_person_mcap"))
        .arg(folder)
        .args([&every.to_string(), format]);
    assert!(command.status().unwrap().success());
    let mut frames: Vec<(i64, PathBuf)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().parse().unwrap(), path))
        .collect();
    frames.sort();
    frames
}

/// A running node that does not outlive its test, in a ROS domain of its own.
pub struct Node {
    child: Child,
    domain: String,
}

impl Node {
    /// Starts a program with parameters such as `rate:=10.0`.
    pub fn start(program: &str, parameters: &[String]) -> Self {
        Self::start_with(program, parameters, &[])
    }

    /// The same with variables of its environment.
    pub fn start_with(program: &str, parameters: &[String], variables: &[(&str, &str)]) -> Self {
        let arguments: Vec<String> =
            parameters.iter().flat_map(|parameter| ["-p".to_owned(), parameter.clone()]).collect();
        Self::start_as(program, &arguments, variables)
    }

    /// Starts a program with all that follows `--ros-args`.
    pub fn start_as(program: &str, arguments: &[String], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program);
        command.arg("--ros-args").args(arguments).envs(variables.iter().copied());
        Self::run(&mut command)
    }

    /// Starts a program with a command line.
    pub fn start_words(program: &str, words: &[&str]) -> Self {
        Self::run(Command::new(program).args(words))
    }

    /// Starts a command, whatever its arguments.
    pub fn run(command: &mut Command) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let domain = (20 + (std::process::id() + NEXT.fetch_add(1, Ordering::Relaxed)) % 80).to_string();
        let child = command.env("ROS_DOMAIN_ID", &domain).spawn().unwrap();
        Self { child, domain }
    }

    /// Number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What a client of tests/ros/ hears when it does what the plan says.
    pub fn hear<T: DeserializeOwned>(&self, client: &str, plan: &serde_json::Value) -> T {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        std::fs::write(&path, plan.to_string()).unwrap();
        let output = Command::new("python3")
            .arg(script(client))
            .arg(&path)
            .env("ROS_DOMAIN_ID", &self.domain)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Sends a signal and says how the node ended and how long it took.
    pub fn end(mut self, signal: &str) -> (Option<i32>, Duration) {
        let start = Instant::now();
        Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), start.elapsed());
            }
            assert!(start.elapsed() < Duration::from_secs(20), "the node does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command line that sets parameters.
fn ros_arguments<T: AsRef<str>>(parameters: &[T]) -> Vec<&str> {
    let pairs = parameters.iter().flat_map(|parameter| ["-p", parameter.as_ref()]);
    std::iter::once("--ros-args").chain(pairs).collect()
}

/// Asserts that a program refuses parameters: see [`ends_with_error`].
pub fn refuses(program: &str, parameters: &[&str], words: &[&str]) {
    ends_with_error(program, &ros_arguments(parameters), words);
}

/// Asserts that a program with a command line ends at once with one clear error that holds the words, and without a panic.
pub fn ends_with_error(program: &str, line: &[&str], words: &[&str]) {
    let mut command = Command::new(program);
    command.args(line);
    let (mut log, start) = (tempfile::tempfile().unwrap(), Instant::now());
    let mut child = command.stdout(Stdio::null()).stderr(log.try_clone().unwrap()).spawn().unwrap();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if start.elapsed() > Duration::from_secs(60) {
            // A node that runs in spite of it must not outlive the test.
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut told = String::new();
    log.rewind().unwrap();
    log.read_to_string(&mut told).unwrap();
    assert_eq!(status.expect("the program ends by itself").code(), Some(2), "{told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is not in: {told}");
    }
    assert!(!told.contains("panicked"), "{told}");
}
