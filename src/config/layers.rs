use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::{Table, Value};

use super::error::{Error, Origin, Setting};
use super::{Config, environment, file, rules};

/// Every key with its default, its unit and its consequence, as a file to copy from.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// What overrides the defaults.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    file: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    flags: Vec<Setting>,
}

impl Layers {
    /// The environment of this process, and nothing else yet.
    pub fn of_process() -> Self {
        Self::default().environment(std::env::vars_os())
    }

    /// Reads `variables` as the environment; those that are no keys are passed over.
    #[must_use]
    pub fn environment<I>(mut self, variables: I) -> Self
    where
        I: IntoIterator<Item = (OsString, OsString)>,
    {
        self.environment = variables.into_iter().collect();
        self
    }

    /// Reads the TOML file at `path`.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Sets `key` over everything before; `flag` is what an error names as its origin.
    #[must_use]
    pub fn flag(mut self, flag: &str, key: &str, value: impl Into<String>) -> Self {
        let value = Value::String(value.into());
        self.flags.push(Setting { key: key.to_owned(), value, origin: Origin::Flag(flag.to_owned()) });
        self
    }

    /// The same from `section.key=value`.
    ///
    /// # Errors
    /// [`Error::MalformedFlag`] without `=`.
    pub fn set(self, assignment: &str) -> Result<Self, Error> {
        let (key, value) = assignment
            .split_once('=')
            .ok_or_else(|| Error::MalformedFlag { given: assignment.to_owned() })?;
        Ok(self.flag("--set", key.trim(), value))
    }

    /// What a child of this process needs, beside its environment, to come to the same configuration: the file, and the
    /// flags as variables. Everybody on the machine can read a process's arguments, but not these.
    pub fn for_child(&self) -> (Option<&Path>, impl Iterator<Item = (String, String)>) {
        let variables = self.flags.iter().map(|setting| {
            let value = setting.value.as_str().expect("flags are texts");
            (environment::name(&setting.key), value.to_owned())
        });
        (self.file.as_deref(), variables)
    }

    /// Puts the layers on each other and checks the whole.
    ///
    /// # Errors
    /// The first thing that is wrong, with its origin.
    pub fn load(self) -> Result<Config, Error> {
        let mut tree = Tree::of_defaults();
        let mut settings = Vec::new();
        if let Some(path) = &self.file {
            settings.extend(file::settings(path, &tree.table)?);
        }
        settings.extend(environment::settings(self.environment)?);
        settings.extend(self.flags);
        let mut config = tree.parse().expect("the defaults are valid");
        // One at a time, so that what goes wrong is this setting's fault.
        for setting in settings {
            tree.apply(&setting)?;
            config = tree
                .parse()
                .map_err(|reason| Error::BadValue { setting: Box::new(setting.clone()), reason })?;
            tree.origins.insert(setting.key, setting.origin);
        }
        rules::check(&config, &tree)?;
        Ok(config)
    }
}

/// The sections as they are after some settings.
pub(super) struct Tree {
    table: Table,
    origins: BTreeMap<String, Origin>,
}

impl Tree {
    fn of_defaults() -> Self {
        Self { table: toml::from_str(DEFAULTS).expect("the defaults are TOML"), origins: BTreeMap::new() }
    }

    /// The setting of `key` that holds.
    pub(super) fn setting(&self, key: &str) -> Setting {
        let (sections, name) = key.rsplit_once('.').expect("every key has a section");
        let section = sections.split('.').try_fold(&self.table, |table, name| table.get(name)?.as_table());
        let value = section.and_then(|section| section.get(name));
        let value = value.expect("rules name keys that there are").clone();
        let origin = self.origins.get(key).cloned().unwrap_or(Origin::Default);
        Setting { key: key.to_owned(), value, origin }
    }

    fn apply(&mut self, setting: &Setting) -> Result<(), Error> {
        // A section is no key.
        let Some(place) = self.place(&setting.key).filter(|place| !place.is_table()) else {
            return Err(Error::UnknownKey {
                key: setting.key.clone(),
                origin: setting.origin.clone(),
                nearest: self.nearest(&setting.key),
            });
        };
        *place = match (&setting.value, &setting.origin) {
            (Value::String(text), Origin::Variable(_) | Origin::Flag(_)) => coerce(text, place),
            (value, _) => value.clone(),
        };
        Ok(())
    }

    fn place(&mut self, key: &str) -> Option<&mut Value> {
        let (sections, name) = key.rsplit_once('.')?;
        let section =
            sections.split('.').try_fold(&mut self.table, |table, name| table.get_mut(name)?.as_table_mut());
        section?.get_mut(name)
    }

    fn parse(&self) -> Result<Config, String> {
        Config::deserialize(Value::Table(self.table.clone())).map_err(|error| error.message().to_owned())
    }

    fn nearest(&self, key: &str) -> Option<String> {
        /// Below it a suggestion is more often a riddle than a help.
        const ALIKE: f64 = 0.6;
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let score = |known: &str| {
            let same_name = if last(known) == last(key) { ALIKE } else { 0.0 };
            strsim::normalized_damerau_levenshtein(known, key).max(same_name)
        };
        file::flatten(self.table.clone(), &self.table)
            .into_iter()
            .map(|(known, _)| (score(&known), known))
            .filter(|(score, _)| *score >= ALIKE)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, known)| known)
    }
}

/// A text from a variable or a flag as the type that the key has; as it is where it cannot be read as that, and
/// then the key's own check refuses it.
fn coerce(text: &str, like: &Value) -> Value {
    let read = match like {
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Array(_) => serde_json::from_str(text).ok().map(Value::Array),
        _ => None,
    };
    read.unwrap_or_else(|| Value::String(text.to_owned()))
}
