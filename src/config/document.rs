//! The layers of a configuration: the values of a file, the environment over them, flags over both.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;
use toml::{Spanned, Table, Value, de::DeTable};
use zeroize::{Zeroize, Zeroizing};

use super::{
    environment::Environment,
    errors::ConfigErrors,
    expected::{ValueErrors, is_table, mistake, takes_table, takes_value},
    hints::unknown_setting,
    origins::{Origins, Setting},
    samples::{NAMED, generalised},
    sections::Sections,
    syntax::syntax_error,
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
        std::io::ErrorKind::FileTooLarge => why.to_string(),
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
        Self::parse(&name, text(bytes.expose()).map_err(|why| failed(why.to_string()))?)
    }

    /// Parses a text as the content of a file of this name.
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, ConfigErrors> {
        let (parsed, wrong): (Spanned<DeTable<'_>>, _) = DeTable::parse_recoverable(text);
        let mut errors = ConfigErrors::default();
        for why in &wrong {
            syntax_error(file, text, why, &mut errors);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let origins = Origins::of_file(file, text, parsed.get_ref());
        let values = Table::deserialize(toml::Deserializer::from(parsed)).map_err(|why| {
            syntax_error(file, text, &why, &mut errors);
            errors
        })?;
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
        self.take_tables(&mut values.0, &mut errors);
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
                    let path = nearest(&values.0, error.path());
                    if path.is_empty() {
                        errors.add(self.origins.place(""), "does not fit: `countersign config default` shows the form");
                        return (Sections::default(), errors);
                    }
                    self.take_value(&mut values.0, &path, &mut errors);
                }
            }
        }
    }

    /// Takes what is not a table out of the places of tables: serde would also accept a list there.
    fn take_tables(&mut self, values: &mut Table, errors: &mut ConfigErrors) {
        while let Some(path) = bare_table(values, &[]) {
            let setting = path.join(".");
            if takes_table(&general(&path)) {
                self.take_value(values, &path, errors);
                continue;
            }
            if let Some(value) = self.as_toml(&setting) {
                replace(values, &path, Some(value));
                continue;
            }
            replace(values, &path, None);
            let written = match path.as_slice() {
                [section] if NAMED.contains(&section.as_str()) => format!("{section}.<name>"),
                _ => setting.clone(),
            };
            let text = format!("{setting} is a section: write [{written}], and its settings below");
            errors.add(self.origins.place(&setting), text);
        }
    }

    /// Takes out a value that does not fit; or converts it, where it is a text that is meant as another value.
    fn take_value(&mut self, values: &mut Table, path: &[String], errors: &mut ConfigErrors) {
        if let Some(value) = self.as_toml(&path.join(".")) {
            return replace(values, path, Some(value));
        }
        // A value within a table that is one value, such as a rate, is reported as the whole.
        let whole = (1..path.len()).find(|depth| takes_value(&general(&path[..*depth])));
        let path = &path[..whole.unwrap_or(path.len())];
        let setting = path.join(".");
        let Some(value) = get(values, path) else { return };
        let ValueErrors { texts, rest } = mistake(&general(path), value);
        for text in texts {
            errors.add(self.origins.place(&setting), format!("{setting}: {text}"));
        }
        replace(values, path, rest);
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

fn general(path: &[String]) -> String {
    generalised(path.iter().map(String::as_str))
}

/// Returns the path of a value that is no table in the place of one.
fn bare_table(values: &Table, above: &[String]) -> Option<Vec<String>> {
    values.iter().find_map(|(name, value)| {
        let path = [above, std::slice::from_ref(name)].concat();
        match value {
            Value::Table(inner) => bare_table(inner, &path),
            _ => (is_table(&general(&path)) || takes_table(&general(&path))).then_some(path),
        }
    })
}

/// Returns the path of the value that an error is about, or of the nearest value above it.
fn nearest(values: &Table, path: &serde_path_to_error::Path) -> Vec<String> {
    let mut names = Vec::new();
    for segment in path {
        let serde_path_to_error::Segment::Map { key } = segment else { break };
        names.push(key.clone());
        if get(values, &names).is_none() {
            names.pop();
            break;
        }
    }
    names
}

fn get<'a>(values: &'a Table, path: &[String]) -> Option<&'a Value> {
    let (last, tables) = path.split_last()?;
    let mut table = values;
    for name in tables {
        table = table.get(name)?.as_table()?;
    }
    table.get(last)
}

/// Replaces the value at a path, or removes it.
fn replace(values: &mut Table, path: &[String], new: Option<Value>) {
    let Some((last, tables)) = path.split_last() else { return };
    let mut table = values;
    for name in tables {
        let Some(inner) = table.get_mut(name).and_then(Value::as_table_mut) else { return };
        table = inner;
    }
    match new {
        Some(value) => drop(table.insert(last.clone(), value)),
        None => drop(table.remove(last)),
    }
}
