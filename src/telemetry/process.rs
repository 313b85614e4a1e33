use std::fs;
use std::io;

use metrics::{counter, gauge};

use super::metric;

/// What Linux tells of a process in `/proc`; on other systems these numbers are absent.
///
/// See <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>.
pub(super) fn sample() {
    if let Some(bytes) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident_bytes) {
        gauge!(metric::PROCESS_RESIDENT_BYTES).set(float(bytes));
    }
    if let Some(time) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_milliseconds) {
        counter!(metric::PROCESS_CPU_MILLISECONDS).absolute(time);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // Less the one that reads the directory.
        gauge!(metric::PROCESS_OPEN_FILES).set(float(files.count().saturating_sub(1) as u64));
    }
    if let Ok((soft, _)) = rlimit::getrlimit(rlimit::Resource::NOFILE) {
        gauge!(metric::PROCESS_OPEN_FILES_LIMIT).set(float(soft));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 bytes are more than there are")]
fn float(number: u64) -> f64 {
    number as f64
}

/// `VmRSS:     12345 kB`
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Fields 14 and 15, `utime` and `stime`, in ticks. The second field is a name in parentheses that may hold
/// anything, so fields are counted from the last parenthesis.
fn cpu_milliseconds(stat: &str) -> Option<u64> {
    /// `USER_HZ` is 100 on every architecture that this program is built for.
    const TICK_MILLISECONDS: u64 = 10;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    user.checked_add(system)?.checked_mul(TICK_MILLISECONDS)
}

/// Raises the limit of open files to its hard value and returns it: every client is an open file.
///
/// # Errors
/// If the operating system refuses; the limit is then what it was.
pub fn raise_open_file_limit() -> io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_proc_are_read() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    1024 kB\nVmData: 1 kB\n"), Some(1_048_576));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 1 0 0 0 25 17 0 0 20 0 1 0 100 1 1";
        assert_eq!(cpu_milliseconds(stat), Some(420));
        assert_eq!(cpu_milliseconds("42 (a"), None);
    }

    #[test]
    fn the_open_file_limit_is_raised_to_its_hard_value() {
        let limit = raise_open_file_limit().expect("within the hard limit");
        let (soft, hard) = rlimit::getrlimit(rlimit::Resource::NOFILE).expect("readable");
        assert_eq!((limit, soft), (hard, hard));
    }
}
