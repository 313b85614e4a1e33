use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::machine;
use super::Error;

/// The programs of one PostgreSQL installation.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
    libraries: Option<PathBuf>,
    version: u32,
}

/// The oldest major version whose logical replication carries what Tidegate reads.
const OLDEST: u32 = 14;
/// Where packages put the programs of several major versions: parent folder, then what stands before the number.
const INSTALLED: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
];

impl Binaries {
    /// Finds them: in `folder` if that is given (or in `folder/bin`); else the newest that packages installed, then
    /// where `pg_config` says.
    pub fn find(folder: Option<&Path>) -> Result<Self, Error> {
        if let Some(folder) = folder {
            let candidates = [folder.to_owned(), folder.join("bin")];
            return candidates
                .into_iter()
                .find(|candidate| complete(candidate))
                .ok_or_else(|| Error::NoBinaries { looked_in: folder.display().to_string() })
                .and_then(|folder| Self::in_folder(&folder));
        }
        newest_installed()
            .or_else(told_by_pg_config)
            .ok_or_else(|| Error::NoBinaries {
                looked_in: "/usr/lib/postgresql, /usr/pgsql-*, Homebrew, or where `pg_config` says"
                    .to_owned(),
            })
            .and_then(|folder| Self::in_folder(&folder))
    }

    fn in_folder(folder: &Path) -> Result<Self, Error> {
        let folder = folder.canonicalize().map_err(machine::Error::file("find", folder))?;
        // A relocatable build brings its libraries along and finds them only if it is told so.
        let libraries = folder
            .parent()
            .map(|parent| parent.join("lib"))
            .filter(|libraries| libraries.join("libpq.so.5").exists() && !libraries.starts_with("/usr"));
        let mut binaries = Self { folder, libraries, version: 0 };
        let program = binaries.folder.join("postgres");
        let output = binaries
            .command("postgres")
            .arg("--version")
            .output()
            .map_err(machine::Error::program(program))?;
        let text = String::from_utf8_lossy(&output.stdout);
        binaries.version = major_version(&text).ok_or_else(|| machine::Error::Exited {
            program: "postgres --version",
            status: output.status,
            output: format!("{text}{}", String::from_utf8_lossy(&output.stderr)).trim().to_owned(),
        })?;
        if binaries.version < OLDEST {
            return Err(Error::TooOld { version: binaries.version, folder: binaries.folder });
        }
        Ok(binaries)
    }

    /// PostgreSQL's major version.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The folder of the programs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command that runs one of its programs.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.folder.join(program));
        // Messages in English, whatever the machine speaks: some are looked for.
        command.current_dir("/").env("LC_ALL", "C").env_remove("PGDATA").env_remove("PGPORT");
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }
}

fn complete(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

fn newest_installed() -> Option<PathBuf> {
    INSTALLED
        .iter()
        .flat_map(|(parent, prefix)| {
            let entries = fs::read_dir(parent).into_iter().flatten().flatten();
            entries.filter_map(move |entry| {
                let version: u32 = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
                Some((version, entry.path().join("bin")))
            })
        })
        .filter(|(_, folder)| complete(folder))
        .max_by_key(|(version, _)| *version)
        .map(|(_, folder)| folder)
}

fn told_by_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    complete(&folder).then_some(folder)
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` → 15.
fn major_version(text: &str) -> Option<u32> {
    let word = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    word[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_the_program_says() {
        for (text, version) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18.4", Some(18)),
            ("postgres (PostgreSQL) 19devel", Some(19)),
            ("postgres: not found", None),
        ] {
            assert_eq!(major_version(text), version, "{text}");
        }
    }

    #[test]
    fn a_folder_without_the_programs_is_named() {
        let error = Binaries::find(Some(Path::new("/nowhere"))).expect_err("nothing there");
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }
}
