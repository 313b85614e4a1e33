use percent_encoding::percent_decode_str;

use super::Error;

/// The parameters of a connection text, by libpq's names; the last of several by one name counts.
///
/// See <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>.
#[derive(Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads either form: a URL, or `key=value` pairs.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let url = ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let parameters = match url {
            Some(rest) => Self::parse_url(rest)?,
            None if text.contains("://") => return Err(Error::Scheme),
            None => Self::parse_pairs(text)?,
        };
        match parameters.0.iter().find(|(_, value)| value.contains('\0')) {
            Some((key, _)) => Err(Error::Nul { key: key.clone() }),
            None => Ok(parameters),
        }
    }

    /// Takes one parameter out.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        let index = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.swap_remove(index).1)
    }

    /// What has not been taken.
    pub(super) fn rest(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    fn push(&mut self, key: String, value: String) {
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    fn parse_url(text: &str) -> Result<Self, Error> {
        let mut parameters = Self::default();
        // As libpq does: an `@` before the first slash ends the credentials, whatever they hold.
        let authority = &text[..text.find('/').unwrap_or(text.len())];
        let rest = match authority.split_once('@') {
            None => text,
            Some((credentials, _)) => {
                let (user, password) = match credentials.split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (credentials, None),
                };
                if !user.is_empty() {
                    parameters.push("user".into(), decode("user", user)?);
                }
                if let Some(password) = password {
                    parameters.push("password".into(), decode("password", password)?);
                }
                &text[credentials.len() + 1..]
            }
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        parameters.push_hosts(hosts)?;
        if !database.is_empty() {
            parameters.push("dbname".into(), decode("dbname", database)?);
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| Error::NoValue { key: shown(pair) })?;
            let key = decode("a parameter's name", key)?;
            let value = decode(&key, value)?;
            parameters.push(key, value);
        }
        Ok(parameters)
    }

    fn push_hosts(&mut self, text: &str) -> Result<(), Error> {
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for part in text.split(',') {
            let (host, port) = match part.strip_prefix('[') {
                None => part.split_once(':').unwrap_or((part, "")),
                Some(rest) => {
                    let (host, rest) = rest.split_once(']').ok_or(Error::Bracket)?;
                    match rest.strip_prefix(':') {
                        Some(port) => (host, port),
                        None if rest.is_empty() => (host, ""),
                        None => return Err(Error::Bracket),
                    }
                }
            };
            hosts.push(decode("host", host)?);
            ports.push(decode("port", port)?);
        }
        for (key, values) in [("host", hosts), ("port", ports)] {
            if values.iter().any(|value| !value.is_empty()) {
                self.push(key.into(), values.join(","));
            }
        }
        Ok(())
    }

    fn parse_pairs(text: &str) -> Result<Self, Error> {
        let mut parameters = Self::default();
        let mut rest = text.trim_start();
        let mut previous = String::new();
        while !rest.is_empty() {
            let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
            let (key, tail) = rest.split_at(end);
            let Some(tail) = tail.trim_start().strip_prefix('=') else {
                // What follows a value with a blank in it is a part of that value: of a password too.
                return Err(if previous.is_empty() { Error::Form } else { Error::Blank { key: previous } });
            };
            if previous == "password" && !super::is_known(key) {
                return Err(Error::Blank { key: previous });
            }
            let (value, tail) = value(key, tail.trim_start())?;
            parameters.push(key.to_owned(), value);
            key.clone_into(&mut previous);
            rest = tail.trim_start();
        }
        Ok(parameters)
    }
}

/// Takes one value off the front of `text`: bare up to a blank, or in single quotes; a backslash escapes.
fn value<'a>(key: &str, text: &'a str) -> Result<(String, &'a str), Error> {
    let (quoted, text) = text.strip_prefix('\'').map_or((false, text), |rest| (true, rest));
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &text[index + 1..])),
            blank if blank.is_whitespace() && !quoted => return Ok((value, &text[index..])),
            other => value.push(other),
        }
    }
    if quoted { Err(Error::Unterminated { key: key.into() }) } else { Ok((value, "")) }
}

fn decode(part: &str, text: &str) -> Result<String, Error> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Error::Encoding { part: part.into() }),
    }
}

/// A name as far as it is one: what is odd or long may be a secret in the wrong place.
fn shown(name: &str) -> String {
    let plain = name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain { name.into() } else { "…".into() }
}
