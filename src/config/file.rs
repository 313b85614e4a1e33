use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::error::{Error, Origin, Setting};

/// What the file at `path` sets, in the order of the keys.
pub(super) fn settings(path: &Path) -> Result<Vec<Setting>, Error> {
    let text = read(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    let table: Table = toml::from_str(&text).map_err(|error| syntax(path, &text, &error))?;
    let spanned = DeTable::parse(&text).map_err(|error| syntax(path, &text, &error))?;
    let lines = lines(&text, spanned.get_ref());
    let setting = |(key, value): (String, Value)| {
        let line = lines.get(&key).copied().unwrap_or(1);
        Setting { key, value, origin: Origin::File { path: path.to_owned(), line } }
    };
    Ok(flatten(table).into_iter().map(setting).collect())
}

fn read(path: &Path) -> io::Result<String> {
    /// Some thousand times the default file: whatever is larger was given by mistake.
    const MOST_BYTES: u64 = 8 << 20;
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than any configuration"));
    }
    Ok(text)
}

/// Each key with its sections before it and its value, as `section.key` or `section.section.key`; an empty section stands
/// for itself.
pub(super) fn flatten(table: Table) -> Vec<(String, Value)> {
    let mut settings = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(keys) if !keys.is_empty() => {
                let below = flatten(keys).into_iter();
                settings.extend(below.map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            other => settings.push((name, other)),
        }
    }
    settings
}

/// The line of each section and key, by its whole name.
fn lines(text: &str, table: &DeTable<'_>) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for (name, value) in table {
        lines.insert(name.get_ref().to_string(), line(text, &name.span()));
        if let DeValue::Table(keys) = value.get_ref() {
            let below = self::lines(text, keys).into_iter();
            lines.extend(below.map(|(key, line)| (format!("{}.{key}", name.get_ref()), line)));
        }
    }
    lines
}

fn line(text: &str, span: &Range<usize>) -> usize {
    1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
}

fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    Error::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| line(text, &span)),
        message: error.message().to_owned(),
    }
}
