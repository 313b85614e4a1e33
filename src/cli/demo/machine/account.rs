use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Error;

/// As whom a server's programs run.
#[derive(Clone, Debug)]
pub(crate) enum Account {
    /// As we do.
    Ours,
    /// As somebody else, since we are root and a server should not be.
    Other {
        /// The user's name.
        name: String,
        /// The user.
        uid: u32,
        /// The user's group.
        gid: u32,
    },
}

impl Account {
    /// Ours; for root, that of the first of `users` that the machine has.
    pub(crate) fn for_server(server: &'static str, users: &[&str]) -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ours);
        }
        let path = "/etc/passwd";
        let known = fs::read_to_string(path).map_err(Error::file("read", path))?;
        users
            .iter()
            .find_map(|name| find_user(&known, name))
            .ok_or_else(|| Error::NoAccount { server, users: users.join("` or `") })
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Ours => "you",
            Self::Other { name, .. } => name,
        }
    }

    /// Has `command` run as this account. The standard library drops root's supplementary groups with it.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
    }

    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Ours => Ok(()),
            Self::Other { uid, gid, .. } => {
                chown(path, Some(*uid), Some(*gid)).map_err(Error::file("change the owner of", path))
            }
        }
    }

    /// Whether the account can work in `folder`: a checkout below root's home is closed to everybody else.
    pub(crate) fn reaches(&self, folder: &Path) -> bool {
        let mut command = Command::new("test");
        command.arg("-w").arg(folder).arg("-a").arg("-x").arg(folder);
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.apply(&mut command);
        command.status().is_ok_and(|status| status.success())
    }
}

/// Finds a user in the text of `/etc/passwd`: `name:password:uid:gid:…`.
fn find_user(users: &str, wanted: &str) -> Option<Account> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| *name == wanted)?;
        let mut ids = fields.skip(1).map(str::parse);
        match (ids.next(), ids.next()) {
            (Some(Ok(uid)), Some(Ok(gid))) => Some(Account::Other { name: name.to_owned(), uid, gid }),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres-backup:x:7:8::/:\npostgres:x:101:104::/:\n";
        assert!(matches!(find_user(users, "postgres"), Some(Account::Other { uid: 101, gid: 104, .. })));
        assert!(find_user(users, "nobody").is_none());
    }
}
