use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Error;

/// Ends a server if this process dies without doing so: the other end of a pipe that only we hold open.
///
/// It is a process group of its own, so a Ctrl-C in the terminal reaches us and not it. Dropping it takes it away.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
}

/// What a guard watches over.
pub(crate) struct Watch<'a> {
    /// The server's first process.
    pub(crate) server: i32,
    /// The name of the signal that stops it.
    pub(crate) signal: &'static str,
    /// A process that is of no use without the server.
    pub(crate) companion: Option<i32>,
    /// A folder to remove when all are gone.
    pub(crate) remove: Option<&'a Path>,
}

/// Waits for the pipe to break, then stops the server, even a suspended one, and what goes with it.
const WATCH: &str = r#"
read -r _
kill "-$1" "$2" 2>/dev/null
kill -CONT "$2" 2>/dev/null
[ -n "$3$4" ] || exit 0
while kill -0 "$2" 2>/dev/null; do sleep 0.1; done
[ -z "$3" ] || kill -KILL "$3" 2>/dev/null
[ -z "$4" ] || rm -rf -- "$4"
"#;

impl Guard {
    pub(crate) fn watch(watch: &Watch<'_>) -> Result<Self, Error> {
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "tidegate-guard", watch.signal, &watch.server.to_string()]);
        command.arg(watch.companion.map(|pid| pid.to_string()).unwrap_or_default());
        command.arg(watch.remove.unwrap_or(Path::new("")));
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let shell = command.spawn().map_err(Error::program("sh"))?;
        Ok(Self { shell })
    }

    /// Breaks the pipe, as the kernel does when this process dies.
    #[cfg(test)]
    pub(crate) fn lose(&mut self) {
        drop(self.shell.stdin.take());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Neither can fail: it is our child, and nobody else waits for it.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
