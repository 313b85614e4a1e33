use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use super::super::machine::{Account, Error, generate_secret, write_private};
use super::Access;
use super::address::USER;
use super::binaries::Binaries;
use super::folder::Folder;

/// Settings of ours, in a file that the cluster's own one includes last.
const SETTINGS_FILE: &str = "tidegate.conf";
/// The first of these that the machine has: both sort by bytes, and that is what filters can reproduce.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];

/// Makes an empty cluster in the folder, and says its superuser's password if it has one.
pub(super) fn init(
    binaries: &Binaries,
    account: &Account,
    folder: &Folder,
    access: Access,
) -> Result<Option<String>, Error> {
    let password = match access {
        Access::Trust => None,
        Access::Password => Some(generate_secret()?),
    };
    let mut last = None;
    for locale in LOCALES {
        let output = run_initdb(binaries, account, folder, password.as_deref(), locale)?;
        if output.status.success() {
            let path = folder.data().join("postgresql.conf");
            append(&path, &format!("include = '{SETTINGS_FILE}'\n"))?;
            return Ok(password);
        }
        last = Some(output);
    }
    let output = last.expect("there is at least one locale to try");
    Err(Error::Exited {
        program: "initdb",
        status: output.status,
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn run_initdb(
    binaries: &Binaries,
    account: &Account,
    folder: &Folder,
    password: Option<&str>,
    locale: &str,
) -> Result<Output, Error> {
    let program = binaries.folder().join("initdb");
    let mut command = binaries.command("initdb");
    command
        .arg("--pgdata")
        .arg(folder.data())
        .args(["--username", USER, "--encoding", "UTF8", "--locale", locale, "--no-sync"])
        .args(["--auth-local", "trust", "--auth-host"])
        .stdin(Stdio::null())
        // A Ctrl-C in the terminal is for us: a half-made cluster has nothing to say about it.
        .process_group(0);
    account.apply(&mut command);
    let Some(password) = password else {
        return command.arg("trust").output().map_err(Error::program(program));
    };
    let file = folder.path().join("password");
    write_private(&file, password, account)?;
    let output = command.arg("scram-sha-256").arg("--pwfile").arg(&file).output();
    fs::remove_file(&file).map_err(Error::file("remove", &file))?;
    output.map_err(Error::program(program))
}

/// Writes `settings`, after those that make a private cluster fit for logical replication; the last one wins.
pub(super) fn configure(folder: &Folder, settings: &[(String, String)]) -> Result<(), Error> {
    let sockets = folder.sockets().map(|path| path.display().to_string()).unwrap_or_default();
    let base = [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", &*sockets),
        ("wal_level", "logical"),
        ("cluster_name", "tidegate"),
    ];
    let given = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut text = String::new();
    for (name, value) in base.into_iter().chain(given) {
        let value = value.replace('\\', r"\\").replace('\'', "''");
        writeln!(text, "{name} = '{value}'").expect("strings take what is written");
    }
    let path = folder.data().join(SETTINGS_FILE);
    fs::write(&path, text).map_err(Error::file("write", &path))
}

fn append(path: &Path, text: &str) -> Result<(), Error> {
    let mut file = OpenOptions::new().append(true).open(path).map_err(Error::file("open", path))?;
    file.write_all(text.as_bytes()).map_err(Error::file("write", path))
}
