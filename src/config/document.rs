//! The layers of a configuration: the values of a file, the environment over them, flags over both.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;
use toml::{Spanned, Table, Value, de::DeTable};
use zeroize::{Zeroize, Zeroizing};

use super::{
    environment::Environment,
    errors::ConfigErrors,
    hints::{type_error, unknown_setting},
    origins::{Origins, Setting, position},
    sections::Sections,
};
use crate::files::{Rule, Use, read_given, text};

/// Largest configuration file.
const MAX_BYTES: usize = 1 << 20;

/// Values as they were given, before they are converted to sections. Some may be secrets: they are erased on drop.
pub(super) struct Document {
    values: Table,
    origins: Origins,
    /// Texts from the environment and flags. Where a setting does not take a string, its text is parsed as TOML
    /// (`true`, `["a"]`).
    texts: HashMap<Setting, Zeroizing<String>>,
}

const MAKE_ONE: &str =
    "make one with `countersign init`, give its path with --config, or try `countersign serve --dev`";

fn unreadable(why: &std::io::Error) -> String {
    match why.kind() {
        std::io::ErrorKind::NotFound => format!("does not exist: {MAKE_ONE}"),
        _ => format!("cannot be read: {why}"),
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        erase(&mut self.values);
    }
}

impl Document {
    /// Reads the file.
    ///
    /// # Errors
    /// The file cannot be read, or is not TOML.
    pub(super) fn read(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        let Some(file) = file else {
            let text = format!("neither here nor in /etc/countersign: {MAKE_ONE}");
            return Err(ConfigErrors::one("countersign.toml", text));
        };
        let name =
            file.file_name().map_or_else(|| file.display().to_string(), |name| name.to_string_lossy().into_owned());
        let failed = |why: String| ConfigErrors::one(file.display().to_string(), why);
        let rule = Rule::of_process(false);
        // The file may hold secrets.
        let (bytes, _) =
            read_given(file, MAX_BYTES, &rule, Use::Configuration).map_err(|why| failed(unreadable(&why)))?;
        if bytes.expose().len() > MAX_BYTES {
            return Err(failed("is larger than 1 MiB: this is no configuration file".to_owned()));
        }
        Self::parse(&name, text(bytes.expose()).map_err(|why| failed(why.to_string()))?)
    }

    /// Parses a text as the content of a file of this name.
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, ConfigErrors> {
        let syntax = |why: &toml::de::Error| {
            let place = why.span().map_or_else(|| file.to_owned(), |span| position(file, text, span.start));
            ConfigErrors::one(place, format!("not TOML: {}", why.message()))
        };
        let parsed: Spanned<DeTable<'_>> = DeTable::parse(text).map_err(|why| syntax(&why))?;
        let origins = Origins::of_file(file, text, parsed.get_ref());
        let values = Table::deserialize(toml::Deserializer::from(parsed)).map_err(|why| syntax(&why))?;
        Ok(Self { values, origins, texts: HashMap::new() })
    }

    /// Returns the place of each setting.
    pub(super) fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Returns the origins and erases the values.
    pub(super) fn into_origins(mut self) -> Origins {
        std::mem::replace(&mut self.origins, Origins::empty())
    }

    /// Overrides the file with the environment, and both with the flags.
    pub(super) fn overlay(&mut self, environment: &Environment, flags: &[(String, String)]) {
        for (mut path, variable, value) in environment.settings() {
            self.use_spelling_of_file(&mut path);
            self.put(&path, value, format!("environment {variable}"));
        }
        for (path, value) in flags {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            let flag = path.last().map(|name| name.replace('_', "-")).unwrap_or_default();
            self.put(&path, value, format!("flag --{flag}"));
        }
    }

    /// Replaces a name in a variable's path by the name in the file that differs only by `-` for `_`: variables cannot
    /// have `-`.
    fn use_spelling_of_file(&self, path: &mut [String]) {
        let [section, name, ..] = path else { return };
        let Some(Value::Table(named)) = self.values.get(section.as_str()) else { return };
        if let Some(known) = named.keys().find(|known| known.replace('-', "_") == *name) {
            name.clone_from(known);
        }
    }

    fn put(&mut self, path: &[String], text: &str, place: String) {
        let setting = path.join(".");
        let Some((last, tables)) = path.split_last() else { return };
        let mut table = &mut self.values;
        for name in tables {
            let entry = table.entry(name.clone()).or_insert_with(|| Value::Table(Table::new()));
            if !entry.is_table() {
                *entry = Value::Table(Table::new());
            }
            let Value::Table(inner) = entry else { return };
            table = inner;
        }
        table.insert(last.clone(), Value::String(text.to_owned()));
        self.texts.insert(setting.clone(), Zeroizing::new(text.to_owned()));
        self.origins.put(setting, place);
    }

    /// Returns the sections, and every value that does not fit into them.
    ///
    /// Each value that does not fit is reported and removed, until the remaining ones fit, so that one mistake hides no
    /// other.
    pub(super) fn sections(&mut self) -> (Sections, ConfigErrors) {
        let mut errors = ConfigErrors::default();
        let mut values = Erased(self.values.clone());
        for section in bare_sections(&values.0) {
            values.0.remove(&section);
            let text = format!("{section} is a section: write [{section}], and its settings below");
            errors.add(self.origins.place(&section), text);
        }
        loop {
            let mut unknown = Vec::new();
            let mut note = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
            let deserializer = serde_ignored::Deserializer::new(Value::Table(values.0.clone()), &mut note);
            match serde_path_to_error::deserialize::<_, Sections>(deserializer) {
                Ok(sections) => {
                    for setting in unknown {
                        errors.add(self.origins.place(&setting), unknown_setting(&setting));
                    }
                    return (sections, errors);
                }
                Err(error) => {
                    let setting = remove_nearest(&mut values.0, &error.path().to_string());
                    if let Some(value) = self.as_toml(&setting) {
                        insert(&mut values.0, &setting, value);
                        continue;
                    }
                    let text = format!("{setting}: {}", type_error(&setting, &error.inner().to_string()));
                    errors.add(self.origins.place(&setting), text);
                    if setting.is_empty() {
                        return (Sections::default(), errors);
                    }
                }
            }
        }
    }

    /// Parses a text from the environment or a flag as a TOML value; each text is tried once.
    fn as_toml(&mut self, setting: &str) -> Option<Value> {
        let text = self.texts.remove(setting)?;
        Value::deserialize(toml::de::ValueDeserializer::parse(&text).ok()?).ok()
    }
}

/// Values that are erased on drop.
struct Erased(Table);

impl Drop for Erased {
    fn drop(&mut self) {
        erase(&mut self.0);
    }
}

/// Overwrites every text.
fn erase(values: &mut Table) {
    for (_, value) in values.iter_mut() {
        match value {
            Value::String(text) => text.zeroize(),
            Value::Table(inner) => erase(inner),
            _ => {}
        }
    }
}

/// Returns the sections that are not given as a table; serde would also accept a list.
fn bare_sections(values: &Table) -> Vec<String> {
    let known = Table::try_from(Sections::default()).unwrap_or_default();
    values
        .iter()
        .filter(|(name, value)| known.contains_key(*name) && !value.is_table())
        .map(|(name, _)| name.clone())
        .collect()
}

/// Removes the value at a path, or the nearest value above it; returns the path of the removed value.
fn remove_nearest(values: &mut Table, path: &str) -> Setting {
    let names: Vec<&str> = path.split('.').map(|name| name.split('[').next().unwrap_or(name)).collect();
    for depth in (1..=names.len()).rev() {
        if remove(values, &names[..depth]) {
            return names[..depth].join(".");
        }
    }
    String::new()
}

fn remove(values: &mut Table, path: &[&str]) -> bool {
    match path {
        [] => false,
        [last] => values.remove(*last).is_some(),
        [first, rest @ ..] => {
            values.get_mut(*first).and_then(Value::as_table_mut).is_some_and(|inner| remove(inner, rest))
        }
    }
}

fn insert(values: &mut Table, setting: &str, value: Value) {
    match setting.split_once('.') {
        None => drop(values.insert(setting.to_owned(), value)),
        Some((first, rest)) => {
            let inner = values.entry(first.to_owned()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
