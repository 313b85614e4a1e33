//! This program once more, as a child that is asked one line and answers one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child as Process, ChildStdin, ChildStdout, Command, Stdio};

/// A child process. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Child {
    /// Starts this program with other arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let program = std::env::current_exe().expect("a running program has a file");
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs already");
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, input, output }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Says a line and waits for the answer. Blocks: nothing else happens on this thread meanwhile.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.hear()
    }

    /// Says a line.
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("open while the value lives");
        writeln!(input, "{line}").and_then(|()| input.flush()).expect("the child listens");
    }

    /// Waits for a line.
    pub(crate) fn hear(&mut self) -> String {
        let mut answer = String::new();
        let length = self.output.read_line(&mut answer).expect("the child speaks");
        assert!(length > 0, "the child has ended: its own words are above");
        answer.trim().to_owned()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // At the end of its input a child ends by itself.
        drop(self.input.take());
        _ = self.process.wait();
    }
}
