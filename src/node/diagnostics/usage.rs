//! Memory and processor time of this process, as Linux tells them; elsewhere nothing is known.

use std::time::Duration;

/// The units of processor times in `/proc`, a second: USER_HZ, which Linux keeps at 100 for all programs on every machine we build for.
const TICKS: f64 = 100.0;
/// Lines of `/proc/self/status` are in KiB.
const KIB_IN_MIB: f64 = 1024.0;

/// Resident memory in MiB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Memory {
    /// Now.
    pub(super) now: f64,
    /// The most since the process began.
    pub(super) peak: f64,
}

/// This process's memory.
pub(super) fn memory() -> Option<Memory> {
    memory_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The processor time of all threads of this process since it began, in the kernel too.
pub(super) fn processor_time() -> Option<Duration> {
    processor_time_in(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// Reads `VmRSS` and `VmHWM` (proc_pid_status(5)).
fn memory_in(status: &str) -> Option<Memory> {
    let mebibytes = |key: &str| -> Option<f64> {
        let rest = status.lines().find_map(|line| line.strip_prefix(key))?;
        let kibibytes: f64 = rest.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes / KIB_IN_MIB)
    };
    Some(Memory { now: mebibytes("VmRSS:")?, peak: mebibytes("VmHWM:")? })
}

/// Reads `utime` and `stime` (proc_pid_stat(5)), the 14th and 15th field; the second is the program's name in brackets, which may hold
/// anything.
fn processor_time_in(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let kernel: f64 = fields.next()?.parse().ok()?;
    Duration::try_from_secs_f64((user + kernel) / TICKS).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        let status = "Name:\tdetector\nVmPeak:\t 999999 kB\nVmHWM:\t  204800 kB\nVmRSS:\t   51200 kB\nThreads:\t7\n";
        assert_eq!(memory_in(status), Some(Memory { now: 50.0, peak: 200.0 }));
        assert_eq!(memory_in("Name:\tkthread\n"), None);
        let stat = "4242 (a ) b (c) S 1 2 3 4 -1 4194560 100 0 0 0 1250 750 9 9 20 0 7 0 100 1 1 1";
        assert_eq!(processor_time_in(stat), Some(Duration::from_secs(20)));
        assert_eq!(processor_time_in("4242 (a) S 1"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_and_time() {
        let memory = memory().unwrap();
        assert!(memory.now > 0.5 && memory.peak >= memory.now, "{memory:?}");
        assert!(processor_time().is_some());
    }
}
