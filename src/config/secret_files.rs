//! Secrets: read from the files that the configuration names, or taken from the environment.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{notes::Notes, sections::Sections};
use crate::{braze, domain::sealing::SealingSecrets, secret::Secret};

/// Largest secret file.
const MAX_BYTES: u64 = 64 * 1024;

/// Reads the sealing secrets.
pub(super) fn sealing(sections: &mut Sections, folder: &Path, notes: &mut Notes<'_>) -> Option<SealingSecrets> {
    let sealing = &mut sections.sealing;
    let (setting, text) = match sealing.secret.take() {
        Some(secret) => ("sealing.secret", Zeroizing::new(secret.expose().clone())),
        None => ("sealing.secret_file", secret_file(&folder.join(&sealing.secret_file), "sealing.secret_file", notes)?),
    };
    SealingSecrets::parse(&text).map_err(|bad| notes.at(setting, bad)).ok()
}

/// Reads the passphrase of the key files into custody's section.
pub(super) fn passphrase(sections: &mut Sections, folder: &Path, notes: &mut Notes<'_>) {
    let custody = &mut sections.custody;
    let (setting, text) = match (custody.passphrase.take(), &custody.passphrase_file) {
        (Some(passphrase), _) => ("custody.passphrase", Zeroizing::new(passphrase.expose().clone())),
        (None, Some(file)) => match secret_file(&folder.join(file), "custody.passphrase_file", notes) {
            Some(text) => ("custody.passphrase_file", text),
            None => return,
        },
        (None, None) => return,
    };
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => custody.passphrase = Some(Secret::new(line.to_owned())),
        None => notes.at(setting, "holds no passphrase: the first line must be the passphrase"),
    }
}

/// Reads the REST API keys into the workspaces' sections.
pub(super) fn rest_keys(workspaces: &mut BTreeMap<String, braze::Config>, folder: &Path, notes: &mut Notes<'_>) {
    for (name, workspace) in workspaces {
        workspace.api_key = rest_key(name, workspace, folder, notes);
    }
}

fn rest_key(name: &str, workspace: &mut braze::Config, folder: &Path, notes: &mut Notes<'_>) -> Option<Secret<String>> {
    let (setting, text) = match (workspace.api_key.take(), &workspace.api_key_file) {
        (Some(key), _) => (format!("braze.{name}.api_key"), Zeroizing::new(key.expose().clone())),
        (None, Some(file)) => {
            let setting = format!("braze.{name}.api_key_file");
            let text = secret_file(&folder.join(file), &setting, notes)?;
            (setting, text)
        }
        (None, None) => return None,
    };
    let key = text.trim();
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
        notes.at(&setting, "holds no REST API key: one line, without spaces");
        return None;
    }
    Some(Secret::new(key.to_owned()))
}

/// Reads a file that holds a secret. Its group may read it, because containers mount secrets so; others may not read
/// it, and nobody but its owner may write it.
fn secret_file(path: &PathBuf, setting: &str, notes: &mut Notes<'_>) -> Option<Zeroizing<String>> {
    if path.file_name().is_some_and(|name| SealingSecrets::parse(&name.to_string_lossy()).is_ok()) {
        notes.at(setting, "holds the secret itself: it must name the file that holds it");
        return None;
    }
    let hint = if setting == "sealing.secret_file" { "; `countersign init` makes one" } else { "" };
    let metadata = std::fs::metadata(path)
        .map_err(|why| notes.at(setting, format_args!("{}: {why}{hint}", path.display())))
        .ok()?;
    let mode = metadata.permissions().mode() & 0o777;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        notes.at(setting, format_args!("{} is not a small file", path.display()));
        return None;
    }
    if mode & 0o027 != 0 {
        notes.at(
            setting,
            format_args!("{0} has mode {mode:04o}: others could read it; run `chmod 600 {0}`", path.display()),
        );
        return None;
    }
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    text.map_err(|why| notes.at(setting, format_args!("{}: {why}", path.display()))).ok()
}
