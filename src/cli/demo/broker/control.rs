use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::super::machine::{self, Account};
use super::address::Ports;
use super::binaries::Binaries;
use super::layout::Layout;
use super::{Address, Error, SERVER};
use crate::config;

/// The operator's access to a private broker: `rabbitmqctl`, with the broker's own secrets.
#[derive(Clone, Debug)]
pub struct Control {
    binaries: Binaries,
    account: Account,
    layout: Layout,
    address: Address,
}

/// Keeps Erlang's own connections off all other interfaces.
const LOOPBACK_ONLY: &str = "-kernel inet_dist_use_interface {127,0,0,1}";
/// Where Erlang is, if not on the path of who started us.
const PATHS: &str = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin";

impl Control {
    pub(super) const fn new(binaries: Binaries, account: Account, layout: Layout, address: Address) -> Self {
        Self { binaries, account, layout, address }
    }

    /// The one of the broker that another process left running in `folder`.
    ///
    /// # Errors
    /// [`Error::NoneLeft`] if no broker was started there. It may have ended since.
    pub fn open(binaries: Option<&Path>, folder: &Path) -> Result<Self, Error> {
        let layout = Layout::of(folder);
        let text = fs::read_to_string(layout.address()).ok();
        let address = text.and_then(|text| Address::from_text(&text));
        Ok(Self {
            binaries: Binaries::find(binaries)?,
            account: Account::for_server(SERVER, &["rabbitmq", "nobody"])?,
            address: address.ok_or_else(|| Error::NoneLeft { folder: folder.to_owned() })?,
            layout,
        })
    }

    /// Where the broker listens.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.layout.folder()
    }

    /// Runs `rabbitmqctl`, which takes half a second, and gives what it printed: rows without headings.
    pub fn run(&self, arguments: &[&str]) -> Result<String, Error> {
        let program = self.binaries.program("rabbitmqctl");
        let mut command = self.command(&program);
        command
            .arg("--silent")
            .args(arguments)
            .env("RABBITMQ_CTL_ERL_ARGS", LOOPBACK_ONLY)
            // Any free port: of the ten that it would try, others on the machine may hold all.
            .env("RABBITMQ_CTL_DIST_PORT_MIN", "0")
            .env("RABBITMQ_CTL_DIST_PORT_MAX", "0");
        let output = command.output().map_err(machine::Error::program(program))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        let output_text = format!("{}{text}", String::from_utf8_lossy(&output.stderr));
        let (status, output) = (output.status, output_text.trim().to_owned());
        Err(machine::Error::Exited { program: "rabbitmqctl", status, output }.into())
    }

    /// The command that starts the broker.
    ///
    /// Debian's `/usr/sbin/rabbitmq-server` is for root, and the program below it stays between us and Erlang, unless
    /// it believes that something looks after it.
    pub(super) fn server(&self) -> Command {
        let mut command = self.command(&self.binaries.program("rabbitmq-server"));
        command
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", format!("+S 2:2 {LOOPBACK_ONLY}"))
            .env("RABBITMQ_DIST_PORT", self.address.ports.distribution.to_string())
            .env("RABBITMQ_CONFIG_FILE", self.layout.config())
            .env("RABBITMQ_CONFIG_FILES", self.layout.nothing())
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", self.layout.nothing())
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.layout.plugins())
            .env("RABBITMQ_MNESIA_BASE", self.layout.data())
            .env("RABBITMQ_MNESIA_DIR", self.layout.node())
            .env("RABBITMQ_FEATURE_FLAGS_FILE", self.layout.data().join("feature_flags"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", self.layout.folder().join("generated"))
            .env("RABBITMQ_LOG_BASE", self.layout.folder())
            .env("RABBITMQ_PID_FILE", self.layout.folder().join("rabbitmq.pid"))
            // To the standard output, where Erlang's own words about a failed start are too.
            .env("RABBITMQ_LOGS", "-")
            // A dump takes seconds, and nobody reads it.
            .env("ERL_CRASH_DUMP_SECONDS", "0");
        command
    }

    /// The command that starts the name server of the broker's Erlang, in the foreground.
    pub(super) fn epmd(&self) -> Command {
        self.command(Path::new("epmd"))
    }

    /// A command with the broker's environment and nothing of ours, where other Erlang settings may be.
    fn command(&self, program: &Path) -> Command {
        // Ours first: it leads to the Erlang that the user has chosen.
        let ours = config::variable("PATH").ok().flatten().unwrap_or_default();
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", format!("{ours}:{PATHS}"))
            .env("LANG", "C.UTF-8")
            .env("HOME", self.layout.folder())
            .env("ERL_EPMD_PORT", self.address.ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_CONF_ENV_FILE", self.layout.nothing())
            .env("RABBITMQ_NODENAME", &self.address.node)
            .current_dir(self.layout.folder())
            .stdin(Stdio::null());
        self.account.apply(&mut command);
        // A Ctrl-C in the terminal is for us, and we stop the broker when we are through with it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
    }

    pub(super) const fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) const fn account(&self) -> &Account {
        &self.account
    }

    pub(super) fn draw_ports(&mut self) -> Result<(), machine::Error> {
        self.address.ports = Ports::draw()?;
        Ok(())
    }
}
