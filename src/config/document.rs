//! The layers: a file's values, the environment and flags over them, and where each value came from.

use std::{collections::HashMap, fmt::Write as _, path::Path};

use serde::Deserialize;
use toml::{Table, Value, de::DeTable, de::DeValue};

use super::{
    SAMPLE,
    environment::{Environment, PREFIX},
    errors::ConfigErrors,
    sections::Sections,
};

/// A setting's path, e.g. `server.listen`.
type Setting = String;

/// The values that were given, before anything is made of them.
pub(super) struct Document {
    values: Table,
    /// Where each value that was given stands.
    places: HashMap<Setting, String>,
    /// Texts from the environment and flags that may be TOML (`true`, `["a"]`) and are tried as such where text does not fit.
    texts: HashMap<Setting, String>,
    file: String,
}

impl Document {
    /// Reads the file.
    ///
    /// # Errors
    /// Where it cannot be read, or is not TOML.
    pub(super) fn read(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        let Some(file) = file else {
            let text = "there is none here: make one with `countersign init`, name one with --config, or try `countersign serve --dev`";
            return Err(ConfigErrors::one("countersign.toml", text));
        };
        let name =
            file.file_name().map_or_else(|| file.display().to_string(), |name| name.to_string_lossy().into_owned());
        let text = std::fs::read_to_string(file)
            .map_err(|why| ConfigErrors::one(file.display().to_string(), format!("cannot be read: {why}")))?;
        Self::parse(name, &text)
    }

    /// Takes a text as if it stood in a file of this name.
    pub(super) fn parse(file: String, text: &str) -> Result<Self, ConfigErrors> {
        let syntax = |why: &toml::de::Error| {
            let place = why.span().map_or_else(|| file.clone(), |span| position(&file, text, span.start));
            ConfigErrors::one(place, format!("not TOML: {}", why.message()))
        };
        let values: Table = toml::from_str(text).map_err(|why| syntax(&why))?;
        let spanned = DeTable::parse(text).map_err(|why| syntax(&why))?;
        let mut places = HashMap::new();
        note_places(spanned.get_ref(), "", &mut |path, at| drop(places.insert(path, position(&file, text, at))));
        Ok(Self { values, places, texts: HashMap::new(), file })
    }

    /// Lays the environment over the file, and flags over both.
    pub(super) fn overlay(&mut self, environment: &Environment, flags: &[(String, String)]) {
        for (mut path, variable, value) in environment.settings() {
            self.spell_name(&mut path);
            self.put(&path, value, format!("environment {variable}"));
        }
        for (path, value) in flags {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            let flag = path.last().map(|name| name.replace('_', "-")).unwrap_or_default();
            self.put(&path, value, format!("flag --{flag}"));
        }
    }

    /// A name that the file spells with `-` or so is meant by a variable that can only have `_`.
    fn spell_name(&self, path: &mut [String]) {
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
        self.texts.insert(setting.clone(), text.to_owned());
        self.places.insert(setting, place);
    }

    /// Where a setting was given: its own place, or that of the table it would stand in.
    pub(super) fn place(&self, setting: &str) -> String {
        let mut path = setting;
        loop {
            if let Some(place) = self.places.get(path) {
                return place.clone();
            }
            match path.rsplit_once('.') {
                Some((table, _)) => path = table,
                None => return self.file.clone(),
            }
        }
    }

    /// The sections, and every value that does not fit into them.
    ///
    /// Each value that does not fit is noted and taken out, until the rest does; so one mistake hides no other.
    pub(super) fn sections(&mut self) -> (Sections, ConfigErrors) {
        let mut errors = ConfigErrors::default();
        let mut values = self.values.clone();
        for section in bare_sections(&values) {
            values.remove(&section);
            errors.add(
                self.place(&section),
                format!("{section} is a section: write [{section}], and its settings below"),
            );
        }
        loop {
            let mut unknown = Vec::new();
            let mut note = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
            let deserializer = serde_ignored::Deserializer::new(Value::Table(values.clone()), &mut note);
            match serde_path_to_error::deserialize::<_, Sections>(deserializer) {
                Ok(sections) => {
                    for setting in unknown {
                        errors.add(self.place(&setting), unknown_setting(&setting));
                    }
                    return (sections, errors);
                }
                Err(error) => {
                    let setting = taken_out(&mut values, &error.path().to_string());
                    let place = self.place(&setting);
                    if let Some(value) = self.as_toml(&setting) {
                        put_back(&mut values, &setting, value);
                        continue;
                    }
                    errors.add(place, format!("{setting}: {}", type_error(&setting, &error.inner().to_string())));
                    if setting.is_empty() {
                        return (Sections::default(), errors);
                    }
                }
            }
        }
    }

    /// A text from the environment or a flag as the TOML value it may be; each is tried once.
    fn as_toml(&mut self, setting: &str) -> Option<Value> {
        let text = self.texts.remove(setting)?;
        Value::deserialize(toml::de::ValueDeserializer::parse(&text).ok()?).ok()
    }

    /// The sections as TOML, with the origin of each value beside it where that is asked for.
    pub(super) fn dump(&self, sections: &Sections, show_origin: bool) -> String {
        let text = toml::to_string(sections).unwrap_or_default();
        if !show_origin {
            return text;
        }
        let (mut table, mut shown) = (String::new(), String::new());
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                name.clone_into(&mut table);
            }
            let setting = line.split_once(" = ").map(|(name, _)| format!("{table}.{name}"));
            let origin = setting.map(|setting| self.origin(&setting));
            let _ = match origin {
                Some(origin) => writeln!(shown, "{line}  # {origin}"),
                None => writeln!(shown, "{line}"),
            };
        }
        shown
    }

    fn origin(&self, setting: &str) -> &str {
        let table = setting.rsplit_once('.').map_or("", |(table, _)| table);
        // An inline table is given as a whole.
        let place =
            self.places.get(setting).or_else(|| self.places.get(table).filter(|_| table.starts_with("limits.")));
        place.map_or("default", String::as_str)
    }
}

/// Calls `note` with the path and the byte of each value.
fn note_places(table: &DeTable<'_>, above: &str, note: &mut impl FnMut(Setting, usize)) {
    for (name, value) in table {
        let name_text: &str = name.get_ref();
        let path = if above.is_empty() { name_text.to_owned() } else { format!("{above}.{name_text}") };
        if let DeValue::Table(inner) = value.get_ref() {
            note_places(inner, &path, note);
        }
        note(path, name.span().start);
    }
}

/// `file:line:column` of a byte.
fn position(file: &str, text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{file}:{line}:{column}")
}

/// Sections that are given as something else than a table; the library would take a list for one.
fn bare_sections(values: &Table) -> Vec<String> {
    let known = Table::try_from(Sections::default()).unwrap_or_default();
    values
        .iter()
        .filter(|(name, value)| known.contains_key(*name) && !value.is_table())
        .map(|(name, _)| name.clone())
        .collect()
}

/// Takes the value at a path out of the table, or the nearest one above it; the path that was taken out.
fn taken_out(values: &mut Table, path: &str) -> Setting {
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

fn put_back(values: &mut Table, setting: &str, value: Value) {
    match setting.split_once('.') {
        None => drop(values.insert(setting.to_owned(), value)),
        Some((first, rest)) => {
            let inner = values.entry(first.to_owned()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                put_back(inner, rest, value);
            }
        }
    }
}

/// Why a value does not fit, without what the library adds around it; a value that may be a secret is not shown.
fn type_error(setting: &str, message: &str) -> String {
    if ["sealing", "custody", "braze"].contains(&setting.split('.').next().unwrap_or_default())
        && !["custody.max_wait", "custody.batch"].contains(&setting)
    {
        return "does not fit: `countersign config default` shows how it is written; text stands in quotes".to_owned();
    }
    message.lines().next().unwrap_or_default().trim().to_owned()
}

fn unknown_setting(setting: &str) -> String {
    let known = known_settings();
    let general = generalised(setting);
    let closest = known.iter().map(|name| (strsim::damerau_levenshtein(name, &general), name)).min();
    match closest {
        Some((distance, name)) if distance <= 3 => format!("there is no setting {setting}; did you mean {name}?"),
        _ => format!(
            "there is no setting {setting} (`countersign config default` shows them all; in the environment {PREFIX}SECTION__SETTING)"
        ),
    }
}

/// A setting with the names that operators choose left open: `apps.web.ring` is `apps.<name>.ring`.
fn generalised(setting: &str) -> String {
    let mut names: Vec<&str> = setting.split('.').collect();
    if names.len() > 2 && ["apps", "rings", "braze"].contains(&names[0]) {
        names[1] = "<name>";
    }
    names.join(".")
}

/// Every setting there is, as the sample has them.
pub(super) fn known_settings() -> Vec<Setting> {
    let mut table = String::new();
    let mut known = Vec::new();
    for line in SAMPLE.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut table);
        } else if let Some((name, _)) = line.split_once(" = ").filter(|(name, _)| !name.contains(' ')) {
            known.push(generalised(&format!("{table}.{name}")));
        }
    }
    known
}
