use std::fs;
use std::path::{Path, PathBuf};

use super::super::machine;
use super::Error;

/// The programs of one RabbitMQ installation.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

/// Where packages put them. `/usr/sbin` is not among these: what Debian has there is for the machine's own broker.
const INSTALLED: [&str; 4] = [
    "/usr/lib/rabbitmq/bin",
    "/opt/rabbitmq/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
];
/// Where the folders of several versions are.
const VERSIONS: &str = "/usr/lib/rabbitmq/lib";

impl Binaries {
    /// Finds them: in `folder` if that is given (or in `folder/sbin`); else where packages put them.
    pub fn find(folder: Option<&Path>) -> Result<Self, Error> {
        let (candidates, looked_in) = match folder {
            Some(folder) => (vec![folder.to_owned(), folder.join("sbin")], folder.display().to_string()),
            None => (installed(), INSTALLED.join(", ")),
        };
        let found = candidates.into_iter().find(|candidate| complete(candidate));
        let folder = found.ok_or(Error::NoBinaries { looked_in })?;
        let folder = folder.canonicalize().map_err(machine::Error::file("find", folder))?;
        Ok(Self { folder })
    }

    /// The folder of the programs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn installed() -> Vec<PathBuf> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let versions = versions.map(|entry| entry.path().join("sbin"));
    INSTALLED.iter().map(PathBuf::from).chain(versions).collect()
}

fn complete(folder: &Path) -> bool {
    ["rabbitmq-server", "rabbitmqctl"].iter().all(|program| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_the_programs_is_named_and_so_is_the_package() {
        let error = Binaries::find(Some(Path::new("/nowhere"))).expect_err("nothing there");
        let text = error.to_string();
        assert!(text.contains("/nowhere") && text.contains("apt-get install rabbitmq-server"), "{text}");
    }
}
