use std::ffi::{OsStr, OsString};

use toml::Value;

use super::error::{Error, Origin, Setting};

/// In front of every variable that is a key; a single underscore leaves other names free for other uses.
pub(super) const PREFIX: &str = "TIDEGATE__";

/// The variable called `name`, if it is set and not empty: for what is no key of the configuration, such as a token.
///
/// # Errors
/// [`Error::NotUnicode`] if it is not UTF-8.
pub fn variable(name: &str) -> Result<Option<String>, Error> {
    match std::env::var_os(name) {
        None => Ok(None),
        Some(value) if value.is_empty() => Ok(None),
        Some(value) => text(name, value).map(Some),
    }
}

/// The keys among `variables`, as texts, in the order of their names.
pub(super) fn settings<I>(variables: I) -> Result<Vec<Setting>, Error>
where
    I: IntoIterator<Item = (OsString, OsString)>,
{
    let mut settings = Vec::new();
    for (name, value) in variables {
        let Some((name, key)) = key(&name) else { continue };
        let value = Value::String(text(&name, value)?);
        settings.push(Setting { key, value, origin: Origin::Variable(name) });
    }
    // The environment has no order; errors should be the same in every run.
    settings.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(settings)
}

/// The variable that sets `key`.
pub(super) fn name(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

fn key(name: &OsStr) -> Option<(String, String)> {
    let name = name.to_str()?;
    let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase().replace("__", ".");
    Some((name.to_owned(), key))
}

fn text(name: &str, value: OsString) -> Result<String, Error> {
    value.into_string().map_err(|_| Error::NotUnicode { variable: name.to_owned() })
}
