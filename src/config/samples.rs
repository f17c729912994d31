//! Settings of the sample, each with the value that it has there: the example of a right value.

use serde::Deserialize;
use toml::Value;

use super::{SAMPLE, origins::Setting};

/// Sections whose tables have names that operators choose.
pub(super) const NAMED: [&str; 3] = ["apps", "rings", "braze"];

/// Setting of the sample.
pub(super) struct Sample {
    /// Path of the setting, with `<name>` for a name that operators choose.
    pub(super) setting: Setting,
    /// Value as it is written there.
    pub(super) text: &'static str,
}

impl Sample {
    /// Value as it is read from there.
    pub(super) fn value(&self) -> Option<Value> {
        Value::deserialize(toml::de::ValueDeserializer::parse(self.text).ok()?).ok()
    }
}

/// Replaces a name that operators choose by `<name>`, and leaves the place in a list out: `apps.web.sign_in[0].issuer`
/// becomes `apps.<name>.sign_in.issuer`.
pub(super) fn generalised<'a>(names: impl IntoIterator<Item = &'a str>) -> Setting {
    let mut names: Vec<&str> = names.into_iter().map(|name| element(name).map_or(name, |(list, _)| list)).collect();
    if names.len() > 1 && NAMED.contains(&names[0]) {
        names[1] = "<name>";
    }
    names.join(".")
}

/// Returns the list and the place that a name like `sign_in[0]` has.
pub(super) fn element(name: &str) -> Option<(&str, usize)> {
    let (list, place) = name.strip_suffix(']')?.rsplit_once('[')?;
    Some((list, place.parse().ok()?))
}

/// Returns true where this path, with `<name>` for a name that operators choose, is a list of tables.
pub(super) fn is_list(general: &str) -> bool {
    SAMPLE.lines().filter_map(list_header).any(|list| generalised(list.split('.')) == general)
}

fn list_header(line: &str) -> Option<&str> {
    line.strip_prefix("# ").unwrap_or(line).strip_prefix("[[")?.strip_suffix("]]")
}

/// Returns every setting of the sample.
pub(super) fn samples() -> Vec<Sample> {
    let mut table = "";
    let mut known = Vec::new();
    for line in SAMPLE.lines() {
        if let Some(list) = list_header(line) {
            table = list;
            continue;
        }
        let line = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            table = name;
        } else if let Some((name, text)) = line.split_once(" = ").filter(|(name, _)| !name.contains(' ')) {
            known.push(Sample { setting: generalised(table.split('.').chain([name])), text });
        }
    }
    known
}
