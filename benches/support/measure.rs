//! Time, memory, and medians of several.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What something took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// By the clock on the wall.
    pub(crate) wall: Duration,
    /// Of this process, on all cores.
    pub(crate) cpu: Duration,
}

/// Runs while something is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    started: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), cpu: process_cpu() }
    }

    pub(crate) fn stop(self) -> Cost {
        Cost { wall: self.started.elapsed(), cpu: process_cpu().saturating_sub(self.cpu) }
    }
}

/// CPU time of this process so far, user and system.
fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("time since the process started");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("less than a second"))
}

/// What a process holds in memory, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux's /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the process lives");
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
    kilobytes * 1024
}

/// The middle one; of an even number the mean of both.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts here stay far below 2^52")]
pub(crate) const fn count(count: u64) -> f64 {
    count as f64
}

/// Whether a reach was held, for the end of a line.
pub(crate) const fn verdict(held: bool) -> &'static str {
    if held { "held" } else { "MISSED" }
}
