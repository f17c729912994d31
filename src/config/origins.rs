//! Origins: the place where each setting was given, for errors and for `config dump --show-origin`.

use std::{collections::HashMap, fmt::Write as _};

use toml::de::{DeArray, DeTable, DeValue};

/// Path of a setting, e.g. `server.listen`.
pub(super) type Setting = String;

/// Place of each setting that was given: `countersign.toml:12:3`, `environment COUNTERSIGN_…` or `flag --listen`.
pub(super) struct Origins {
    places: HashMap<Setting, String>,
    file: String,
}

impl Origins {
    /// Records the places of the values of a parsed file.
    pub(super) fn of_file(file: &str, text: &str, values: &DeTable<'_>) -> Self {
        let mut places = HashMap::new();
        each_value(values, "", &mut |path, at| drop(places.insert(path, position(file, text, at))));
        Self { places, file: file.to_owned() }
    }

    /// Makes origins without places.
    pub(super) fn empty() -> Self {
        Self { places: HashMap::new(), file: String::new() }
    }

    /// Records the place of a setting; it replaces an earlier place, and those of all that the setting held.
    pub(super) fn put(&mut self, setting: Setting, place: String) {
        let is_inside = |other: &str| other.strip_prefix(&setting).is_some_and(|rest| rest.starts_with(['.', '[']));
        self.places.retain(|other, _| !is_inside(other));
        self.places.insert(setting, place);
    }

    /// Returns the place of a setting: its own, or that of the nearest table above it.
    pub(super) fn place(&self, setting: &str) -> String {
        let mut path = setting;
        loop {
            if let Some(place) = self.places.get(path) {
                return place.clone();
            }
            match above(path) {
                Some(table) => path = table,
                None => return self.file.clone(),
            }
        }
    }

    /// Adds to each value of a TOML text its origin, as a comment.
    pub(super) fn annotate(&self, toml: &str) -> String {
        let (mut table, mut shown) = (String::new(), String::new());
        let mut elements = Elements::default();
        for line in toml.lines() {
            if let Some(name) = line.strip_prefix("[[").and_then(|line| line.strip_suffix("]]")) {
                table = elements.next(name);
            } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                table = elements.path(name);
            }
            let setting = line.split_once(" = ").map(|(name, _)| format!("{table}.{name}"));
            let _ = match setting.map(|setting| self.origin(&setting)) {
                Some(origin) => writeln!(shown, "{line}  # {origin}"),
                None => writeln!(shown, "{line}"),
            };
        }
        shown
    }

    fn origin(&self, setting: &str) -> &str {
        let table = setting.rsplit_once('.').map_or("", |(table, _)| table);
        // The values of an inline table have the origin of the table.
        let of_table = || self.places.get(table).filter(|_| table.starts_with("limits."));
        let place = self.places.get(setting).or_else(of_table).or_else(|| self.of_element(table));
        place.map_or("default", String::as_str)
    }

    /// Returns the origin of all that the table of a list has: its preset, or the whole list, where no file has it.
    fn of_element(&self, table: &str) -> Option<&String> {
        let element = std::iter::successors(Some(table), |path| above(path)).find(|path| path.ends_with(']'))?;
        if self.places.contains_key(element) {
            return self.places.get(&format!("{element}.preset"));
        }
        self.places.get(above(element)?)
    }
}

/// Place in its list of each table that a TOML text has so far.
#[derive(Default)]
struct Elements {
    list: String,
    number: usize,
}

impl Elements {
    /// Returns the path of the next table of a list.
    fn next(&mut self, list: &str) -> Setting {
        self.number = if self.list == list { self.number + 1 } else { 0 };
        list.clone_into(&mut self.list);
        format!("{list}[{}]", self.number)
    }

    /// Returns the path of a table, which may be in the last table of a list.
    fn path(&self, table: &str) -> Setting {
        match table.strip_prefix(&self.list).filter(|rest| !self.list.is_empty() && rest.starts_with('.')) {
            Some(rest) => format!("{}[{}]{rest}", self.list, self.number),
            None => table.to_owned(),
        }
    }
}

/// Returns the path of the table or the list that a setting is in.
fn above(setting: &str) -> Option<&str> {
    if setting.ends_with(']') {
        return setting.rsplit_once('[').map(|(list, _)| list);
    }
    setting.rsplit_once('.').map(|(table, _)| table)
}

/// Calls `note` with the path and the byte offset of each value.
fn each_value(table: &DeTable<'_>, above: &str, note: &mut impl FnMut(Setting, usize)) {
    for (name, value) in table {
        let name_text: &str = name.get_ref();
        let path = if above.is_empty() { name_text.to_owned() } else { format!("{above}.{name_text}") };
        match value.get_ref() {
            DeValue::Table(inner) => each_value(inner, &path, note),
            DeValue::Array(list) => each_element(list, &path, note),
            _ => {}
        }
        note(path, name.span().start);
    }
}

/// Calls `note` with the path and the byte offset of each table of a list, and of the values in it.
fn each_element(list: &DeArray<'_>, above: &str, note: &mut impl FnMut(Setting, usize)) {
    for (number, element) in list.iter().enumerate() {
        if let DeValue::Table(inner) = element.get_ref() {
            let path = format!("{above}[{number}]");
            each_value(inner, &path, note);
            note(path, element.span().start);
        }
    }
}

/// Returns `file:line:column` of a byte offset.
pub(super) fn position(file: &str, text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{file}:{line}:{column}")
}
