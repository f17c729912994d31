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

/// Replaces a name that operators choose by `<name>`: `apps.web.ring` becomes `apps.<name>.ring`.
pub(super) fn generalised<'a>(names: impl IntoIterator<Item = &'a str>) -> Setting {
    let mut names: Vec<&str> = names.into_iter().collect();
    if names.len() > 1 && NAMED.contains(&names[0]) {
        names[1] = "<name>";
    }
    names.join(".")
}

/// Returns every setting of the sample.
pub(super) fn samples() -> Vec<Sample> {
    let mut table = "";
    let mut known = Vec::new();
    for line in SAMPLE.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            table = name;
        } else if let Some((name, text)) = line.split_once(" = ").filter(|(name, _)| !name.contains(' ')) {
            known.push(Sample { setting: generalised(table.split('.').chain([name])), text });
        }
    }
    known
}
