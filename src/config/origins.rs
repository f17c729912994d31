//! Origins: the place where each setting was given, for errors and for `config dump --show-origin`.

use std::{collections::HashMap, fmt::Write as _};

use toml::de::{DeTable, DeValue};

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

    /// Records the place of a setting; it replaces an earlier place.
    pub(super) fn put(&mut self, setting: Setting, place: String) {
        self.places.insert(setting, place);
    }

    /// Returns the place of a setting: its own, or that of the nearest table above it.
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

    /// Adds to each value of a TOML text its origin, as a comment.
    pub(super) fn annotate(&self, toml: &str) -> String {
        let (mut table, mut shown) = (String::new(), String::new());
        for line in toml.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                name.clone_into(&mut table);
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
        let place =
            self.places.get(setting).or_else(|| self.places.get(table).filter(|_| table.starts_with("limits.")));
        place.map_or("default", String::as_str)
    }
}

/// Calls `note` with the path and the byte offset of each value.
fn each_value(table: &DeTable<'_>, above: &str, note: &mut impl FnMut(Setting, usize)) {
    for (name, value) in table {
        let name_text: &str = name.get_ref();
        let path = if above.is_empty() { name_text.to_owned() } else { format!("{above}.{name_text}") };
        if let DeValue::Table(inner) = value.get_ref() {
            each_value(inner, &path, note);
        }
        note(path, name.span().start);
    }
}

/// Returns `file:line:column` of a byte offset.
pub(super) fn position(file: &str, text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{file}:{line}:{column}")
}
