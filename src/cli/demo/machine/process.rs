use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::Error;

/// How often a condition outside this process is looked at: servers take tens of milliseconds for anything.
const POLL: Duration = Duration::from_millis(5);

/// Looks at `condition` until it gives something or `deadline` has passed.
pub(crate) fn poll_until<T, E>(
    deadline: Instant,
    mut condition: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    loop {
        if let Some(found) = condition()? {
            return Ok(Some(found));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

pub(crate) fn signal(pid: i32, signal: Signal) -> Result<(), Error> {
    let target = process_id(pid).ok_or(Error::NoSuchProcess { pid })?;
    match rustix::process::kill_process(target, signal) {
        // Gone already is what every signal of ours is for.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(errno) => Err(Error::Signal { pid, source: errno.into() }),
    }
}

/// Neither a group of processes nor the system's first one.
fn process_id(pid: i32) -> Option<Pid> {
    if pid > 1 { Pid::from_raw(pid) } else { None }
}

/// Whether the process is there and not only waiting for its parent to notice that it ended.
pub(crate) fn alive(pid: i32) -> bool {
    let Some(target) = process_id(pid) else { return false };
    match status(pid) {
        Some(status) => status.state != b'Z',
        None if Path::new("/proc/self/stat").exists() => false,
        None => rustix::process::test_kill_process(target) != Err(rustix::io::Errno::SRCH),
    }
}

/// The children of a process. Where there is no `/proc`, `ps` says.
pub(crate) fn children(parent: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return children_by_ps(parent) };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| status(*pid).is_some_and(|status| status.parent == parent))
        .collect()
}

/// The children of a process, and theirs.
pub(crate) fn descendants(ancestor: i32) -> Vec<i32> {
    let mut found = children(ancestor);
    let mut looked_at = 0;
    while let Some(pid) = found.get(looked_at) {
        let theirs = children(*pid);
        found.extend(theirs);
        looked_at += 1;
    }
    found
}

fn children_by_ps(parent: i32) -> Vec<i32> {
    let Ok(output) = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output() else { return Vec::new() };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let mut ids = line.split_whitespace().map(str::parse::<i32>);
            let pid = ids.next()?.ok()?;
            (ids.next()?.ok()? == parent).then_some(pid)
        })
        .collect()
}

/// Whether a process with this id runs a server in `data`; ids are used again, so a file that names one proves
/// nothing.
pub(crate) fn serves(pid: i32, data: &Path) -> bool {
    if !alive(pid) {
        return false;
    }
    if let Ok(folder) = fs::read_link(format!("/proc/{pid}/cwd")) {
        return folder == data;
    }
    let output = Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&*data.to_string_lossy()))
}

struct Status {
    state: u8,
    parent: i32,
}

/// Reads `/proc/<pid>/stat`: `pid (name) state parent …`, where the name may hold anything.
fn status(pid: i32) -> Option<Status> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let mut fields = rest.split_whitespace();
    Some(Status { state: *fields.next()?.as_bytes().first()?, parent: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_is_not_alive_though_nobody_has_waited_for_it() {
        let mut child = Command::new("sleep").arg("600").spawn().expect("coreutils");
        let pid = i32::try_from(child.id()).expect("ids are positive");
        let ours = i32::try_from(std::process::id()).expect("ids are positive");
        assert!(alive(pid));
        assert!(children(ours).contains(&pid));
        signal(pid, Signal::KILL).expect("ours");
        let deadline = Instant::now() + Duration::from_secs(10);
        let gone =
            poll_until(deadline, || Ok::<_, Error>((!alive(pid)).then_some(()))).expect("no error to give");
        assert_eq!(gone, Some(()));
        child.wait().expect("ours");
    }

    #[test]
    fn nothing_is_sent_to_groups_or_to_the_first_process() {
        for pid in [-1, 0, 1] {
            assert!(signal(pid, Signal::CONT).is_err());
        }
    }
}
