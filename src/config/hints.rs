//! Hints for a value that does not fit, and for a setting that does not exist.

use super::{SAMPLE, environment::PREFIX, origins::Setting};

/// Sections whose values may be secrets, and their settings that never are.
const SECRET_SECTIONS: [&str; 3] = ["sealing", "custody", "braze"];
const NEVER_SECRET: [&str; 2] = ["custody.max_wait", "custody.batch"];

/// Returns the reason why a value does not fit: the first line of serde's message, or a general text for a secret.
pub(super) fn type_error(setting: &str, message: &str) -> String {
    let section = setting.split('.').next().unwrap_or_default();
    if SECRET_SECTIONS.contains(&section) && !NEVER_SECRET.contains(&setting) {
        return "does not fit: `countersign config default` shows how it is written; write text in quotes".to_owned();
    }
    let reason = message.lines().next().unwrap_or_default().trim();
    // The name of a type of this program says nothing to an operator.
    match reason.split_once("expected struct ") {
        Some((found, _)) => format!("{found}expected a table: write its settings below [{setting}]"),
        None => reason.to_owned(),
    }
}

/// Returns the text for a setting that does not exist, with the closest one that does.
pub(super) fn unknown_setting(setting: &str) -> String {
    let known = known_settings();
    let general = generalised(setting);
    let closest = known.iter().map(|name| (distance(name, &general), name)).min();
    match closest {
        Some((distance, name)) if distance <= 3 => format!("there is no setting {setting}; did you mean {name}?"),
        _ => format!(
            "there is no setting {setting} (`countersign config default` shows them all; in the environment {PREFIX}SECTION__SETTING)"
        ),
    }
}

/// Number of wrong letters; one for a name whose last word is missing or abbreviated, as in `allow_invisible`.
fn distance(known: &str, given: &str) -> usize {
    let missing = known.strip_prefix(given).is_some_and(|rest| rest.starts_with('_'));
    let abbreviated = given.rsplit_once('_').is_some_and(|(most, last)| {
        known.strip_prefix(most).and_then(|rest| rest.strip_prefix('_')).is_some_and(|word| shortens(last, word))
    });
    if missing || abbreviated { 1 } else { strsim::damerau_levenshtein(known, given) }
}

/// Returns true for the beginning of a word, with or without the `s` of the plural.
fn shortens(short: &str, word: &str) -> bool {
    short.len() > 2 && (word.starts_with(short) || short.strip_suffix('s').is_some_and(|short| word.starts_with(short)))
}

/// Replaces a name that operators choose by `<name>`: `apps.web.ring` becomes `apps.<name>.ring`.
fn generalised(setting: &str) -> String {
    let mut names: Vec<&str> = setting.split('.').collect();
    if names.len() > 2 && ["apps", "rings", "braze"].contains(&names[0]) {
        names[1] = "<name>";
    }
    names.join(".")
}

/// Returns every setting of the sample.
fn known_settings() -> Vec<Setting> {
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
