use std::io;

use fallible_iterator::FallibleIterator as _;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::{AuthenticationSaslBody, ErrorFields, Message};
use postgres_protocol::message::frontend;

use super::super::{Config, Error};
use super::{Connection, server_error};
use crate::postgres::Settings;
use crate::postgres::settings::Binding;

/// What the password exchange goes over.
#[derive(Debug)]
pub(super) enum Channel {
    /// A Unix socket: the bytes never leave the machine.
    Local,
    /// TCP, readable by whoever is on the way.
    Plain,
    /// TLS; what binds the exchange to it, where the certificate defines that.
    Tls { binding: Option<Vec<u8>> },
}

/// `protocol_violation`: what poolers answer to startup parameters that they do not know.
const PROTOCOL_VIOLATION: &str = "08P01";

impl Connection {
    /// Starts the session in replication mode.
    pub(super) async fn log_in(&mut self, config: &Config, channel: &Channel) -> Result<(), Error> {
        let settings = &config.settings;
        let timeout_ms = config.wal_sender_timeout.as_millis().to_string();
        let options = settings.startup_options(&[
            // A frozen holder gives the slot up after this long.
            ("wal_sender_timeout", &timeout_ms),
            // The session waits for the slot, and for other people's transactions when it creates one.
            ("idle_session_timeout", "0"),
            ("statement_timeout", "0"),
            ("lock_timeout", "0"),
        ]);
        let parameters = [
            ("user", settings.user()),
            ("database", settings.database()),
            ("replication", "database"),
            ("application_name", settings.application_name().unwrap_or("tidegate")),
            ("options", &options),
        ];
        frontend::startup_message(parameters, &mut self.out).map_err(Error::Lost)?;
        self.flush().await?;
        self.authenticate(settings, channel).await?;
        loop {
            match self.message().await? {
                Message::ReadyForQuery(_) => return Ok(()),
                Message::ErrorResponse(body) => return Err(self.refused(body.fields())),
                Message::BackendKeyData(_) | Message::ParameterStatus(_) | Message::NoticeResponse(_) => {}
                _ => return Err(Error::Unexpected("to the login")),
            }
        }
    }

    async fn authenticate(&mut self, settings: &Settings, channel: &Channel) -> Result<(), Error> {
        let must_bind = settings.tls().channel_binding == Binding::Require;
        let unbound = "`channel_binding=require`, and the server asks for nothing that could be bound";
        match self.message().await? {
            Message::ErrorResponse(body) => return Err(self.refused(body.fields())),
            Message::AuthenticationSasl(body) => {
                self.scram(settings, channel, &body).await?;
            }
            Message::AuthenticationOk if !must_bind => return Ok(()),
            Message::AuthenticationMd5Password(body) if !must_bind => {
                let password = self.password(settings)?;
                let hash = md5_hash(settings.user().as_bytes(), password, body.salt());
                self.send_password(hash.as_bytes()).await?;
            }
            Message::AuthenticationCleartextPassword if !must_bind => {
                if matches!(channel, Channel::Plain) {
                    return Err(self.unable(
                        "the server asks for the password in clear text and there is no TLS: \
                         set `sslmode=require` or stricter, or `scram-sha-256` in its pg_hba.conf",
                    ));
                }
                let password = self.password(settings)?;
                self.send_password(password).await?;
            }
            Message::AuthenticationOk
            | Message::AuthenticationMd5Password(_)
            | Message::AuthenticationCleartextPassword => return Err(self.unable(unbound)),
            _ => {
                return Err(self.unable(
                    "the server asks for a method that is not spoken here: \
                     `scram-sha-256`, `md5`, `password`, `cert` and `trust` are",
                ));
            }
        }
        match self.message().await? {
            Message::AuthenticationOk => Ok(()),
            Message::ErrorResponse(body) => Err(self.refused(body.fields())),
            _ => Err(Error::Unexpected("to the password")),
        }
    }

    async fn scram(
        &mut self,
        settings: &Settings,
        channel: &Channel,
        body: &AuthenticationSaslBody,
    ) -> Result<(), Error> {
        let password = self.password(settings)?;
        let offered: Vec<&str> = body.mechanisms().collect().map_err(|source| self.scram_failed(source))?;
        let (mechanism, binding) = choose(settings.tls().channel_binding, channel, &offered)
            .map_err(|reason| self.unable(reason))?;
        let mut scram = ScramSha256::new(password, binding);
        frontend::sasl_initial_response(mechanism, scram.message(), &mut self.out).map_err(Error::Lost)?;
        self.flush().await?;
        match self.message().await? {
            Message::AuthenticationSaslContinue(body) => {
                scram.update(body.data()).map_err(|source| self.scram_failed(source))?;
            }
            Message::ErrorResponse(body) => return Err(self.refused(body.fields())),
            _ => return Err(Error::Unexpected("to the start of the password exchange")),
        }
        frontend::sasl_response(scram.message(), &mut self.out).map_err(Error::Lost)?;
        self.flush().await?;
        match self.message().await? {
            // The server proves here that it knows the password too: one that skips it is not the one.
            Message::AuthenticationSaslFinal(body) => {
                scram.finish(body.data()).map_err(|source| self.scram_failed(source))
            }
            Message::ErrorResponse(body) => Err(self.refused(body.fields())),
            _ => Err(Error::Unexpected("to the end of the password exchange")),
        }
    }

    async fn send_password(&mut self, password: &[u8]) -> Result<(), Error> {
        frontend::password_message(password, &mut self.out).map_err(Error::Lost)?;
        self.flush().await
    }

    fn password<'a>(&self, settings: &'a Settings) -> Result<&'a [u8], Error> {
        settings
            .password()
            .ok_or_else(|| self.unable("the server asks for a password and none is configured"))
    }

    fn refused(&self, fields: ErrorFields<'_>) -> Error {
        let (endpoint, source) = (self.endpoint.clone(), Box::new(server_error(fields)));
        if source.code == PROTOCOL_VIOLATION {
            Error::Pooler { endpoint, source }
        } else {
            Error::Refused { endpoint, source }
        }
    }

    fn unable(&self, reason: &'static str) -> Error {
        Error::Login { endpoint: self.endpoint.clone(), reason }
    }

    fn scram_failed(&self, source: io::Error) -> Error {
        Error::Scram { endpoint: self.endpoint.clone(), source }
    }
}

/// The strongest mechanism that both sides have.
fn choose(
    wish: Binding,
    channel: &Channel,
    offered: &[&str],
) -> Result<(&'static str, ChannelBinding), &'static str> {
    let end_point = match channel {
        Channel::Tls { binding: Some(end_point) } if wish != Binding::Disable => Some(end_point),
        _ => None,
    };
    match end_point {
        Some(end_point) if offered.contains(&SCRAM_SHA_256_PLUS) => {
            Ok((SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(end_point.clone())))
        }
        _ if wish == Binding::Require => {
            Err("`channel_binding=require`, and server and connection do not both support it: \
                 it takes TLS, `scram-sha-256`, and a certificate signed with a known hash")
        }
        _ if !offered.contains(&SCRAM_SHA_256) => {
            Err("the server asks for a mechanism that is not spoken here: SCRAM-SHA-256 is")
        }
        // Saying so lets the server notice that somebody took the better mechanism off its list.
        Some(_) => Ok((SCRAM_SHA_256, ChannelBinding::unrequested())),
        None => Ok((SCRAM_SHA_256, ChannelBinding::unsupported())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exchange_is_bound_to_the_channel_where_both_sides_can() {
        let both = [SCRAM_SHA_256_PLUS, SCRAM_SHA_256];
        let bound = || Channel::Tls { binding: Some(vec![1]) };
        let unbound = || Channel::Tls { binding: None };
        let first_message = |binding| {
            String::from_utf8(ScramSha256::new(b"", binding).message()[..2].to_vec()).expect("ASCII")
        };
        for (wish, channel, offered, expected) in [
            (Binding::Prefer, bound(), &both[..], Some((SCRAM_SHA_256_PLUS, "p="))),
            (Binding::Require, bound(), &both[..], Some((SCRAM_SHA_256_PLUS, "p="))),
            (Binding::Disable, bound(), &both[..], Some((SCRAM_SHA_256, "n,"))),
            (Binding::Prefer, bound(), &both[1..], Some((SCRAM_SHA_256, "y,"))),
            (Binding::Require, bound(), &both[1..], None),
            (Binding::Prefer, unbound(), &both[..], Some((SCRAM_SHA_256, "n,"))),
            (Binding::Require, unbound(), &both[..], None),
            (Binding::Prefer, Channel::Plain, &both[1..], Some((SCRAM_SHA_256, "n,"))),
            (Binding::Require, Channel::Local, &both[1..], None),
            (Binding::Prefer, Channel::Plain, &["OTHER"][..], None),
        ] {
            let chosen = choose(wish, &channel, offered).ok();
            let chosen = chosen.map(|(mechanism, binding)| (mechanism, first_message(binding)));
            let chosen = chosen.as_ref().map(|(mechanism, message)| (*mechanism, message.as_str()));
            assert_eq!(chosen, expected, "{wish:?} {channel:?} {offered:?}");
        }
    }
}
