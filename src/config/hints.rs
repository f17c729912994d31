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
