//! Children of this program: a `distill` that lets others work, each with a log of its own.
//!
//! A process of its own costs one piece of work when it crashes, not the rest, and its pools of threads meet nobody else's.

use std::{
    ffi::OsString,
    fs::{OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::AtomicBool,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How often children are looked at.
pub const POLL: Duration = Duration::from_millis(200);
/// Exit code of a child that finished but could not read part of its input.
pub const DATA_LOST: i32 = 3;

/// What Ctrl-C asks for.
#[derive(Debug, Default)]
pub struct Interrupts {
    /// Start nothing more; the children write their checkpoints and end.
    pub stop: AtomicBool,
    /// Do not wait for that.
    pub kill: AtomicBool,
}

/// Hears how pieces of work go that children do; the numbers are the places of these in the list of all. `End` is how one can end.
pub trait Watch<End> {
    /// A piece of work starts.
    fn started(&mut self, place: usize);
    /// One that trains has made so many epochs, those of an earlier process included.
    fn epochs(&mut self, _place: usize, _epochs: usize) {}
    /// A piece of work ended.
    fn ended(&mut self, place: usize, end: &End);
}

/// Notes what it hears of, in that order.
#[cfg(test)]
#[derive(Debug, Default)]
pub(in crate::distill) struct Ear {
    /// What started.
    pub started: Vec<usize>,
    /// What ended.
    pub ended: Vec<usize>,
}

#[cfg(test)]
impl<End> Watch<End> for Ear {
    fn started(&mut self, place: usize) {
        self.started.push(place);
    }

    fn ended(&mut self, place: usize, _: &End) {
        self.ended.push(place);
    }
}

/// A child at work. None outlives this, not even in a panic.
#[derive(Debug)]
pub struct LoggedChild {
    child: Child,
}

impl LoggedChild {
    /// Starts a child; what it says goes to the end of its log, whose folder is made.
    ///
    /// # Errors
    /// In words: the log cannot be written, another process still writes it, or the program cannot be started.
    pub fn start(program: &Path, log: &Path, arguments: &[OsString]) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{}: {error}", log.display());
        let folder = log.parent().unwrap_or_else(|| Path::new("."));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut file = OpenOptions::new().create(true).append(true).open(log).map_err(failed)?;
        // The child inherits the lock with the file: it holds as long as the child lives, even when this process is killed.
        // A file system without locks does without.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(format!(
                "another process still works in {}; wait for it, or end it, and repeat the command",
                folder.display()
            ));
        }
        let told: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
        writeln!(file, "$ distill {}", told.join(" ")).map_err(failed)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(failed)?)
            .stderr(file)
            // Ctrl-C in the terminal reaches this process alone, which then asks each child once: a second signal would end it
            // without its checkpoint.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        Ok(Self { child })
    }

    /// Asks it to write its checkpoint and end.
    pub fn ask_to_stop(&self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It may have ended by itself; it is not waited for yet, so its number is nobody else's.
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
    }

    /// Ends it at once. One that has ended by itself is as well.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// How it ended; nothing while it is at work.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}

impl Drop for LoggedChild {
    /// One that has ended is not there to be killed any more.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Why a child that ended like this failed, by the last words in its log.
pub fn complaint(status: ExitStatus, log: &Path) -> String {
    let last = last_line(log);
    // Without a code a signal ended it, which its last words know nothing of.
    match status.code() {
        Some(_) => last,
        None => format!("ended by {status}; before that it said: {last}"),
    }
}

/// The last line of a log that is not empty, without the word that every error starts with.
fn last_line(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("nothing");
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_told_without_their_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        std::fs::write(&path, "epoch 1\nerror: training diverged\n\n").unwrap();
        assert_eq!(last_line(&path), "training diverged");
        assert_eq!(last_line(&folder.path().join("none")), "nothing");
    }

    #[test]
    fn a_child_writes_to_its_log_and_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("work/log.txt");
        let mut child = LoggedChild::start(Path::new("sleep"), &log, &["60".into()]).unwrap();
        assert!(child.ended().unwrap().is_none());
        let second = LoggedChild::start(Path::new("true"), &log, &[]).unwrap_err();
        assert!(second.contains("another process still works") && second.contains("work"), "{second}");
        child.kill();
        drop(child);
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "$ distill 60\n");
        // In a folder of its own: a child of another thread may hold the lock for an instant, until it becomes its program.
        let other = folder.path().join("other/log.txt");
        let none = LoggedChild::start(Path::new("/no/such/program"), &other, &[]).unwrap_err();
        assert!(none.contains("/no/such/program"), "{none}");
    }
}
