use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Error;
use super::postmaster::Postmaster;

/// Ends the postmaster if this process dies without doing so: the other end of a pipe that only we hold open.
///
/// It is a process group of its own, so a Ctrl-C in the terminal reaches us and not it. Dropping it takes it away.
#[derive(Debug)]
pub(super) struct Guard {
    shell: Child,
}

/// Waits for the pipe to break, then stops the postmaster and removes the folder if one is named.
const WATCH: &str = r#"
read -r _
kill -INT "$1" 2>/dev/null
[ -n "$2" ] || exit 0
while kill -0 "$1" 2>/dev/null; do sleep 0.1; done
rm -rf -- "$2"
"#;

impl Guard {
    pub(super) fn watch(postmaster: &Postmaster, remove: Option<&Path>) -> Result<Self, Error> {
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "tidegate-guard", &postmaster.pid().to_string()]);
        command.arg(remove.unwrap_or(Path::new("")));
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let shell = command.spawn().map_err(|source| Error::Program { program: "sh".into(), source })?;
        Ok(Self { shell })
    }

    /// Breaks the pipe, as the kernel does when this process dies.
    #[cfg(test)]
    pub(super) fn lose(&mut self) {
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
