//! Owners and modes of the files of an installation, all checked at once.

use std::{collections::BTreeMap, path::Path};

use super::{errors::ConfigErrors, secret_files::SecretFiles, sections::Sections};
use crate::{
    custody,
    files::{Breaches, Rule, Use, User, folder_of},
    store,
};

/// `[store]`, its path resolved against the folder of the configuration file.
pub(super) fn store(sections: &Sections, folder: &Path) -> store::Config {
    store::Config { path: folder.join(&sections.store.path), ..sections.store.clone() }
}

/// `[custody]`, its folder resolved against the folder of the configuration file.
pub(super) fn custody(sections: &Sections, folder: &Path) -> custody::Config {
    let allow_world_readable = sections.secrets.allow_world_readable;
    custody::Config { allow_world_readable, ..sections.custody.at(folder) }
}

/// Rule for the user that works on the store.
pub(super) fn rule(sections: &Sections, folder: &Path) -> Rule {
    Rule::new(User::owner_of(&store(sections, folder).path), sections.secrets.allow_world_readable)
}

/// Adds every breach of the rule: in the configuration file, secret files, key files, the store, and their folders.
pub(super) fn check(
    sections: &Sections,
    file: Option<&Path>,
    folder: &Path,
    secrets: &SecretFiles<'_>,
    errors: &mut ConfigErrors,
) {
    let rule = secrets.rule();
    let configuration = file.map(|file| (file, Use::Configuration));
    let mut found = Breaches::default();
    let mut foreign = BTreeMap::new();
    for (file, purpose) in configuration.into_iter().chain(secrets.read().map(|file| (file, Use::Secret))) {
        let folder = folder_of(file);
        let is_foreign = *foreign.entry(folder).or_insert_with(|| {
            let breaches = rule.judge_path(folder, Use::Folder);
            let is_foreign = breaches.are_of_owner();
            found.extend(breaches);
            is_foreign
        });
        if !is_foreign {
            found.extend(rule.judge_path(file, purpose));
        }
    }
    found.extend(custody::breaches(&custody(sections, folder), rule));
    found.extend(store::breaches(&store(sections, folder), rule));
    for breach in found.0 {
        errors.add(breach.path, breach.why);
    }
}
