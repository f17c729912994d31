//! Owners and modes of the files of an installation, all checked at once.

use std::{collections::BTreeMap, path::Path};

use super::{errors::ConfigErrors, secret_files::SecretFiles, sections::Sections};
use crate::{
    custody,
    files::{Breaches, Rule, Use, User, folder_of},
    store,
};

/// `[store]`, its paths resolved against the folder of the configuration file.
pub(super) fn store(sections: &Sections, folder: &Path) -> store::Config {
    let section = &sections.store;
    let ca_file = section.ca_file.as_ref().map(|file| folder.join(file));
    store::Config { path: folder.join(&section.path), ca_file, ..section.clone() }
}

/// `[custody]`, its folder resolved against the folder of the configuration file.
pub(super) fn custody(sections: &Sections, folder: &Path) -> custody::Config {
    let allow_world_readable = sections.secrets.allow_world_readable;
    custody::Config { allow_world_readable, ..sections.custody.at(folder) }
}

/// Rule for the user that works on the store; on the key files, where the store is no file.
pub(super) fn rule(sections: &Sections, folder: &Path) -> Rule {
    let store = store(sections, folder);
    let used = if store.url.is_some() { custody(sections, folder).dir } else { store.path };
    Rule::new(User::owner_of(&used), sections.secrets.allow_world_readable)
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
    let authorities = sections.store.ca_file.as_ref().filter(|_| sections.store.url.is_some());
    let authorities = authorities.map(|file| folder.join(file));
    let public = [file, authorities.as_deref()].into_iter().flatten().map(|file| (file, Use::Configuration));
    let mut found = Breaches::default();
    let mut foreign = BTreeMap::new();
    for (file, purpose) in public.chain(secrets.read().map(|file| (file, Use::Secret))) {
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
