//! Hints for a setting that does not exist.

use super::{
    environment::PREFIX,
    samples::{generalised, samples},
};

/// Greatest distance of a name that is suggested.
const CLOSE: usize = 3;

/// Returns the text for a setting that does not exist, with the closest one that does.
pub(super) fn unknown_setting(setting: &str) -> String {
    let known = samples().into_iter().map(|sample| sample.setting);
    let general = generalised(setting.split('.'));
    let closest = known.map(|name| (distance(&name, &general), name)).min();
    match closest {
        Some((distance, name)) if distance <= CLOSE => format!("there is no setting {setting}; did you mean {name}?"),
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

/// Returns one warning for all variables that begin as ours do and are no settings.
pub(super) fn ignored_variables<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let shown: Vec<String> = names
        .map(|name| match closest_variable(name) {
            Some(meant) => format!("{name} (did you mean {meant}?)"),
            None => name.to_owned(),
        })
        .collect();
    (!shown.is_empty()).then(|| {
        format!(
            "ignored in the environment: {}; a setting has two underscores after its section, like {PREFIX}SERVER__LISTEN",
            shown.join(", ")
        )
    })
}

/// Returns the variable of a setting that is meant by one with single underscores.
fn closest_variable(name: &str) -> Option<String> {
    let is_close = |variable: &String| strsim::damerau_levenshtein(&variable.replace("__", "_"), name) <= 1;
    let fixed = samples().into_iter().filter(|sample| !sample.setting.contains('<'));
    let mut variables =
        fixed.map(|sample| format!("{PREFIX}{}", sample.setting.replace('.', "__").to_ascii_uppercase()));
    variables.find(is_close)
}
