//! `tidegate token`: a token for development.
//!
//! Exit status: 0 with the token on standard output; 2 if the configuration has no secret to sign it with.

use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Map, Value};

use crate::auth;
use crate::config::{self, Layers};

/// Signs a token for development with `auth.jwt.secret`, as the configuration asks for it.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The role that it names: one of `auth.roles`.
    #[arg(long)]
    role: String,
    /// A claim, as in --claim sub=7 or --claim 'app={"tenant":1}'; what is no JSON is a text. Any number of times.
    #[arg(long, value_name = "NAME=JSON", value_parser = claim)]
    claim: Vec<(String, Value)>,
    /// How long it is good, as in 90s, 15m, 8h or 30d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    expires_in: Duration,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The server would refuse it.
    #[error("`{0}` is not one of `auth.roles`: the server would refuse it")]
    Role(String),
    /// The tokens are another's to sign.
    #[error("a token can be signed only where `auth.mode` is jwt and `auth.jwt.secret` is set")]
    NoSecret,
    /// It could not be said.
    #[error("cannot write to standard output")]
    Output(#[from] io::Error),
}

impl Error {
    /// Always 2: nothing was begun.
    pub const fn exit_status(&self) -> u8 {
        2
    }
}

/// Prints a token.
///
/// # Errors
/// [`Error`], with an exit status of its own.
pub fn run(arguments: Arguments, layers: Layers) -> Result<(), Error> {
    let auth = layers.load()?.auth;
    if !auth.roles.contains(&arguments.role) {
        return Err(Error::Role(arguments.role));
    }
    let secret =
        auth.jwt.secret.as_ref().filter(|_| auth.mode == config::AuthMode::Jwt).ok_or(Error::NoSecret)?;
    let expires_at = SystemTime::now() + arguments.expires_in;
    let claims = Map::from_iter(arguments.claim);
    let token =
        auth::mint(secret, &auth.jwt.algorithms, &auth.rules(), &arguments.role, Some(expires_at), claims);
    let token = token.ok_or(Error::NoSecret)?;
    writeln!(io::stdout(), "{token}")?;
    Ok(())
}

fn claim(text: &str) -> Result<(String, Value), &'static str> {
    let (name, value) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("expected name=value")?;
    let read: Value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    // These are texts, whatever they look like: `sub=7` is the person "7".
    let is_text = ["sub", "iss", "jti"].contains(&name) && !read.is_string();
    Ok((name.to_owned(), if is_text { value.into() } else { read }))
}

fn time(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "expected a whole number with s, m, h or d behind it, of at most 3650 days";
    const MOST: Duration = Duration::from_hours(87600);
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(EXPECTED)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(EXPECTED),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or(EXPECTED)?;
    Some(Duration::from_secs(seconds)).filter(|time| *time <= MOST).ok_or(EXPECTED)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_and_times_are_read_as_they_are_written() {
        for (text, value) in [
            ("sub=7", json!("7")),
            ("tenant=7", json!(7)),
            ("sub=\"7\"", json!("7")),
            ("sub=ann", json!("ann")),
            ("app={\"a\":[1]}", json!({"a": [1]})),
            ("x=a=b", json!("a=b")),
            ("x=", json!("")),
        ] {
            assert_eq!(claim(text).expect(text).1, value, "{text}");
        }
        assert!(claim("sub").is_err() && claim("=7").is_err());
        for (text, seconds) in [("90s", 90), ("15m", 900), ("8h", 28_800), ("30d", 2_592_000)] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "1", "1w", "-1s", "1.5h", "99999999999999999999d", "3651d", "é"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
