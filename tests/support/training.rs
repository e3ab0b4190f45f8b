//! Trainings that are cut short, and what they had computed until then.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// Epochs that a training has written to its `metrics.jsonl` so far.
pub fn epochs_made(metrics: &Path) -> usize {
    std::fs::read_to_string(metrics).map_or(0, |text| text.lines().count())
}

/// What each epoch of a training's `metrics.jsonl` computed, without how long it took.
pub fn history(metrics: &Path) -> Vec<Value> {
    let timeless = |line: &str| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        for key in ["seconds", "images_per_second", "wait_share"] {
            assert!(record.as_object_mut().unwrap().remove(key).is_some(), "{key} is not in {line}");
        }
        record
    };
    std::fs::read_to_string(metrics).unwrap().lines().map(timeless).collect()
}

/// Waits until a process that is to be cut short is as far as that.
pub fn wait_until(is_there: impl Fn() -> bool, child: &mut Child) {
    let start = Instant::now();
    while !is_there() {
        assert!(child.try_wait().unwrap().is_none(), "ended before it was cut short");
        if start.elapsed() > Duration::from_secs(300) {
            // Left alone it would take a core from all other tests.
            interrupt(child);
            let _ = child.wait();
            panic!("not so far in 5 minutes");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Presses Ctrl-C.
pub fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// Starts a training and kills it, as a power cut would, once it has made so many epochs by its `metrics.jsonl`, which must not tell of
/// an earlier one.
pub fn kill_after(epochs: usize, metrics: &Path, mut command: Command) {
    let _ = std::fs::remove_file(metrics);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until(|| epochs_made(metrics) >= epochs, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
}
