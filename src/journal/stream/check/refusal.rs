use std::error::Error as _;
use std::io;

use lapin::ErrorKind;

use super::super::{Config, Error};
use super::permissions::{command, quoted};
use super::probe::{ACCESS_REFUSED, Objection, objection_in};
use crate::report::{Report, Safety, Severity};
use crate::telemetry::Chain;

/// The vhost is not there, or not for this user.
const NOT_ALLOWED: u16 = 530;

/// Why there is no connection, or none any more, and what mends it.
pub(super) fn tell(error: &Error, config: &Config, report: &mut Report) {
    let (uri, stream) = (&config.url.0, config.stream.as_str());
    let (user, vhost) = (&uri.authority.userinfo.username, &uri.vhost);
    let Error::Connect { source: cause, .. } = error else {
        return report.add(Severity::Fault, "broker", Chain(error).to_string());
    };
    let (subject, message, remedy) = match objection_in(cause) {
        Some(Objection { code: ACCESS_REFUSED, .. }) => (
            "login",
            format!(
                "user `{user}` is not there, or has another password, or may only come from the broker's own host"
            ),
            format!("rabbitmqctl change_password {} … # or add_user", quoted(user)),
        ),
        Some(Objection { code: NOT_ALLOWED, text }) if text.contains("not found") => (
            "vhost",
            format!("`{vhost}` is not there"),
            format!("rabbitmqctl add_vhost {}\n{}", quoted(vhost), command(user, vhost, stream)),
        ),
        Some(Objection { code: NOT_ALLOWED, text }) if text.contains("refused") => {
            ("vhost", format!("user `{user}` has no permission in `{vhost}`"), command(user, vhost, stream))
        }
        Some(Objection { text, .. }) => {
            return report.add(Severity::Fault, "broker", format!("refuses the connection: {text}"));
        }
        None if refused(cause) => (
            "broker",
            format!(
                "nothing listens at {}:{}: does it run, and is that its port?",
                uri.authority.host, uri.authority.port
            ),
            "rabbitmq-diagnostics listeners".to_owned(),
        ),
        None => return report.add(Severity::Fault, "broker", Chain(error).to_string()),
    };
    report.add(Severity::Fault, subject, message);
    report.mend(Safety::ByHand, remedy);
}

fn refused(error: &lapin::Error) -> bool {
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    match error.kind() {
        ErrorKind::IOError(error) => refused(error),
        _ => error.source().and_then(|source| source.downcast_ref()).is_some_and(refused),
    }
}
