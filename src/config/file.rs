use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::error::{Error, Origin, Setting};

/// What the file at `path` sets, in the order of the keys; `known` has all keys that there are.
pub(super) fn settings(path: &Path, known: &Table) -> Result<Vec<Setting>, Error> {
    let text = read(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    let table: Table = toml::from_str(&text).map_err(|error| syntax(path, &text, &error))?;
    let spanned = DeTable::parse(&text).map_err(|error| syntax(path, &text, &error))?;
    let mut found = BTreeMap::new();
    lines(&text, spanned.get_ref(), "", &mut found);
    let setting = |(key, value): (String, Value)| {
        let line = found.get(&key).copied().unwrap_or(1);
        Setting { key, value, origin: Origin::File { path: path.to_owned(), line } }
    };
    Ok(flatten(table, known).into_iter().map(setting).collect())
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

/// `section.key` with its value. What is no section of `known`, or an empty one, stands for itself.
pub(super) fn flatten(table: Table, known: &Table) -> Vec<(String, Value)> {
    let mut settings = Vec::new();
    for (name, value) in table {
        match (value, known.get(&name)) {
            (Value::Table(keys), Some(Value::Table(known))) if !keys.is_empty() => {
                settings.extend(
                    flatten(keys, known).into_iter().map(|(key, value)| (format!("{name}.{key}"), value)),
                );
            }
            (other, _) => settings.push((name, other)),
        }
    }
    settings
}

/// Where each key stands, those of sections within sections too.
fn lines(text: &str, table: &DeTable<'_>, within: &str, lines: &mut BTreeMap<String, usize>) {
    for (name, value) in table {
        let key = format!("{within}{}", name.get_ref());
        if let DeValue::Table(keys) = value.get_ref() {
            self::lines(text, keys, &format!("{key}."), lines);
        }
        lines.insert(key, line(text, &name.span()));
    }
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
