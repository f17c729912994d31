//! The layers of a configuration: the values of a file, the environment over them, flags over both.

use std::{collections::HashMap, path::Path};

use rustix::io::Errno;
use serde::Deserialize;
use toml::{Spanned, Table, Value, de::DeTable};
use zeroize::{Zeroize, Zeroizing};

use super::{
    environment::{Environment, SEPARATOR},
    errors::ConfigErrors,
    expected::{ValueErrors, is_table, mistake, takes_table, takes_value},
    hints::unknown_setting,
    origins::{Origins, Setting},
    samples::{NAMED, element, generalised, is_list, samples},
    sections::Sections,
    syntax::syntax_error,
};
use crate::{
    files::{Rule, Use, read_given, text},
    telemetry::TOO_FEW_FILES,
};

/// Largest configuration file.
const MAX_BYTES: usize = 1 << 20;

/// Values as they were given, before they are converted to sections. Some may be secrets: they are erased on drop.
pub(super) struct Document {
    values: Table,
    origins: Origins,
    /// Texts from the environment and flags. Where a setting does not take a string, its text is parsed as TOML
    /// (`true`, `["a"]`).
    texts: HashMap<Setting, Zeroizing<String>>,
    /// Variables that would change a part of a list.
    parts: ConfigErrors,
}

const MAKE_ONE: &str =
    "make one with `countersign init`, give its path with --config, or try `countersign serve --dev`";

fn unreadable(why: &std::io::Error) -> String {
    match why.kind() {
        std::io::ErrorKind::NotFound => format!("does not exist: {MAKE_ONE}"),
        std::io::ErrorKind::FileTooLarge => why.to_string(),
        _ if Errno::from_io_error(why) == Some(Errno::MFILE) => format!("cannot be read: {TOO_FEW_FILES}"),
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
        Ok(Self { values, origins, texts: HashMap::new(), parts: ConfigErrors::default() })
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
            if let Some(depth) = (1..path.len()).find(|depth| holds_list(&general(&path[..*depth]))) {
                let whole: Vec<&str> = variable.split(SEPARATOR).take(depth).collect();
                let (setting, whole) = (path[..depth].join("."), whole.join(SEPARATOR));
                let text = format!("{setting}: a list cannot be changed by parts: give the whole list in {whole}");
                self.parts.add(format!("environment {variable}"), text);
                continue;
            }
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
        let mut errors = std::mem::take(&mut self.parts);
        let mut values = Erased(self.values.clone());
        self.take_tables(&mut values.0, &mut errors);
        loop {
            let mut unknown = Vec::new();
            let mut note = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
            let deserializer = serde_ignored::Deserializer::new(Value::Table(values.0.clone()), &mut note);
            match serde_path_to_error::deserialize::<_, Sections>(deserializer) {
                Ok(sections) => {
                    for setting in unknown {
                        let setting = elements_in_brackets(&setting);
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
            if is_list(&general(&path)) {
                let list = setting.split('[').next().unwrap_or_default();
                let text =
                    format!("{setting}: is a list of sections: write [[{list}]], and the settings of each below");
                errors.add(self.origins.place(&setting), text);
                continue;
            }
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

    /// Parses a text from the environment or a flag as a TOML value, or as the JSON of a list or table; each text is
    /// tried once.
    fn as_toml(&mut self, setting: &str) -> Option<Value> {
        let text = self.texts.remove(setting)?;
        let from_toml = toml::de::ValueDeserializer::parse(&text).ok();
        let from_json = || serde_json::from_str(&text).ok().filter(|_| text.trim_start().starts_with(['[', '{']));
        from_toml.and_then(|value| Value::deserialize(value).ok()).or_else(from_json)
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

/// Returns true for a list of tables, or of values.
fn holds_list(general: &str) -> bool {
    is_list(general)
        || samples()
            .iter()
            .any(|sample| sample.setting == general && sample.value().is_some_and(|value| value.is_array()))
}

fn general(path: &[String]) -> String {
    generalised(path.iter().map(String::as_str))
}

fn general_with(path: &[String], last: &str) -> String {
    generalised(path.iter().map(String::as_str).chain([last]))
}

/// Returns the path of a value that is no table in the place of one, or no list in the place of one.
fn bare_table(values: &Table, above: &[String]) -> Option<Vec<String>> {
    values.iter().find_map(|(name, value)| {
        let path = [above, std::slice::from_ref(name)].concat();
        let general = general(&path);
        match value {
            Value::Array(list) if is_list(&general) => list.iter().enumerate().find_map(|(number, element)| {
                let path = [above, &[format!("{name}[{number}]")]].concat();
                match element {
                    Value::Table(inner) => bare_table(inner, &path),
                    _ => Some(path),
                }
            }),
            Value::Table(inner) if !is_list(&general) => bare_table(inner, &path),
            _ => (is_table(&general) || takes_table(&general)).then_some(path),
        }
    })
}

/// Writes a place in a list as the rest of the configuration does: `sign_in.0.issuer` becomes `sign_in[0].issuer`.
fn elements_in_brackets(setting: &str) -> String {
    let mut names: Vec<String> = Vec::new();
    for name in setting.split('.') {
        let is_list = is_list(&general(&names));
        match names.last_mut().filter(|_| is_list && name.parse::<usize>().is_ok()) {
            Some(list) => *list = format!("{list}[{name}]"),
            None => names.push(name.to_owned()),
        }
    }
    names.join(".")
}

/// Returns the path of the value that an error is about, or of the nearest value above it.
fn nearest(values: &Table, path: &serde_path_to_error::Path) -> Vec<String> {
    let mut names = Vec::new();
    for segment in path {
        match (segment, names.pop()) {
            (serde_path_to_error::Segment::Map { key }, above) => {
                names.extend(above);
                names.push(key.clone());
            }
            (serde_path_to_error::Segment::Seq { index }, Some(list)) if is_list(&general_with(&names, &list)) => {
                names.push(format!("{list}[{index}]"));
            }
            (_, above) => {
                names.extend(above);
                break;
            }
        }
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
        table = member(table, name)?.as_table()?;
    }
    member(table, last)
}

/// Returns a member of a table, or an element of a list in it.
fn member<'a>(table: &'a Table, name: &str) -> Option<&'a Value> {
    match element(name) {
        Some((list, number)) => table.get(list)?.as_array()?.get(number),
        None => table.get(name),
    }
}

fn member_mut<'a>(table: &'a mut Table, name: &str) -> Option<&'a mut Value> {
    match element(name) {
        Some((list, number)) => table.get_mut(list)?.as_array_mut()?.get_mut(number),
        None => table.get_mut(name),
    }
}

/// Replaces the value at a path, or removes it.
fn replace(values: &mut Table, path: &[String], new: Option<Value>) {
    let Some((last, tables)) = path.split_last() else { return };
    let mut table = values;
    for name in tables {
        let Some(inner) = member_mut(table, name).and_then(Value::as_table_mut) else { return };
        table = inner;
    }
    if element(last).is_some() {
        // An empty table keeps the places of the elements after it.
        if let Some(old) = member_mut(table, last) {
            *old = new.unwrap_or_else(|| Value::Table(Table::new()));
        }
        return;
    }
    match new {
        Some(value) => drop(table.insert(last.clone(), value)),
        None => drop(table.remove(last)),
    }
}
