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
    let closest = known.map(|name| (strsim::damerau_levenshtein(&name, &general), name)).min();
    match closest {
        Some((distance, name)) if distance <= CLOSE => format!("there is no setting {setting}; did you mean {name}?"),
        _ => format!(
            "there is no setting {setting} (`countersign config default` shows them all; in the environment {PREFIX}SECTION__SETTING)"
        ),
    }
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
