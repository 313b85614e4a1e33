use std::fmt;

use super::super::Config;
use super::probe::Kind;
use crate::report::{Report, Safety, Severity};

/// What a user may do with an object. See <https://www.rabbitmq.com/docs/access-control#authorisation>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    Configure,
    Write,
    Read,
}

/// Permissions that the user does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing(Vec<(Permission, Kind, String)>);

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        })
    }
}

impl Missing {
    pub(super) fn add(&mut self, permission: Permission, kind: Kind, name: &str) {
        self.0.push((permission, kind, name.to_owned()));
    }

    /// One line each, and below the last what gives them all: permissions are given by patterns, all at once.
    pub(super) fn tell(&self, config: &Config, report: &mut Report) {
        let uri = &config.url.0;
        let user = &uri.authority.userinfo.username;
        for (permission, kind, name) in &self.0 {
            let kind = kind.word();
            report.add(
                Severity::Fault,
                "permissions",
                format!("user `{user}` may not {permission} the {kind} `{name}`"),
            );
        }
        if self.0.is_empty() {
            let message = format!("user `{user}` may configure, write and read what it has to");
            report.add(Severity::Fine, "permissions", message);
        } else {
            report.mend(Safety::ByHand, command(user, &uri.vhost, &config.stream));
        }
    }
}

/// What lets a user do all that the server does. In the place of what the user could do before.
pub(super) fn command(user: &str, vhost: &str, stream: &str) -> String {
    let (ours, written) = if stream.starts_with("tidegate.") {
        (r"^tidegate\.".to_owned(), r"^(tidegate\.|amq\.default$)".to_owned())
    } else {
        let stream = pattern(stream);
        (format!(r"^(tidegate\.|{stream}$)"), format!(r"^(tidegate\.|{stream}$|amq\.default$)"))
    };
    let arguments = [vhost, user, &ours, &written, &ours].map(quoted).join(" ");
    format!("rabbitmqctl set_permissions --vhost {arguments} # in place of those it has there")
}

/// One word for a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A regular expression that matches this text.
fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_what_the_server_touches_and_nothing_else() {
        assert_eq!(
            command("app", "/", "tidegate.journal"),
            r"rabbitmqctl set_permissions --vhost '/' 'app' '^tidegate\.' '^(tidegate\.|amq\.default$)' '^tidegate\.' # in place of those it has there"
        );
        assert_eq!(
            command("o'neil", "v", "our.journal"),
            r"rabbitmqctl set_permissions --vhost 'v' 'o'\''neil' '^(tidegate\.|our\.journal$)' '^(tidegate\.|our\.journal$|amq\.default$)' '^(tidegate\.|our\.journal$)' # in place of those it has there"
        );
    }
}
