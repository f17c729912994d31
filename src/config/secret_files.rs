//! Secrets: read from the files that the configuration names, or taken from the environment.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{notes::Notes, sections::Sections};
use crate::{
    braze,
    domain::sealing::SealingSecrets,
    failures::{WebhookConfig, WebhookSecrets, check_webhook_url},
    files::{MAX_SECRET_BYTES, Rule, Use, read_given, text},
    secret::Secret,
};

/// Remedies for a file that does not exist.
const RESTORE_SEALING: &str = "restore it from the backup, without it every user has to log in again; only a new \
                               installation gets one from `countersign init`";
const WRITE_PASSPHRASE: &str = "write the passphrase of the key files there, as its first line";
const WRITE_PASSWORD: &str = "write the password of the database's role there, as its first line";
const WRITE_REST_KEY: &str = "write the REST API key there, from Braze: Settings > APIs and Identifiers > API Keys";

const WRITE_WEBHOOK_URL: &str = "write the URL of the receiver of events there, as its first line";
const WRITE_WEBHOOK_SECRET: &str = "write the secret that the receiver knows there, as its first line: whsec_ and base64 of \
                                    at least 24 bytes, or a text of at least 24 characters";

/// Length of the shortest secret of the receiver of events, in bytes (Standard Webhooks).
const SHORTEST_WEBHOOK_SECRET: usize = 24;

const HOLDS_SECRET: &str = "holds the secret itself: it must name the file that holds it";

/// Reader of the secret files, which remembers what it read.
pub(super) struct SecretFiles<'a> {
    folder: &'a Path,
    rule: Rule,
    read: Vec<PathBuf>,
}

impl<'a> SecretFiles<'a> {
    /// Reader of files that are named from this folder.
    pub(super) fn new(folder: &'a Path, rule: Rule) -> Self {
        Self { folder, rule, read: Vec::new() }
    }

    /// Rule for owners and modes.
    pub(super) fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Files that were read. Their owners and modes are still to be judged.
    pub(super) fn read(&self) -> impl Iterator<Item = &Path> {
        self.read.iter().map(PathBuf::as_path)
    }

    /// Reads the sealing secrets.
    pub(super) fn sealing(&mut self, sections: &mut Sections, notes: &mut Notes<'_>) -> Option<SealingSecrets> {
        let sealing = &mut sections.sealing;
        let (setting, text) = if let Some(secret) = sealing.secret.take() {
            ("sealing.secret", Zeroizing::new(secret.expose().clone()))
        } else {
            let setting = "sealing.secret_file";
            (setting, self.file(&sealing.secret_file, setting, RESTORE_SEALING, notes)?)
        };
        SealingSecrets::parse(&text).map_err(|bad| notes.at(setting, bad)).ok()
    }

    /// Reads the passphrase of the key files into custody's section.
    pub(super) fn passphrase(&mut self, sections: &mut Sections, notes: &mut Notes<'_>) {
        let custody = &mut sections.custody;
        let (setting, text) = match (custody.passphrase.take(), &custody.passphrase_file) {
            (Some(passphrase), _) => ("custody.passphrase", Zeroizing::new(passphrase.expose().clone())),
            (None, Some(file)) => {
                let setting = "custody.passphrase_file";
                let Some(text) = self.file(file, setting, WRITE_PASSPHRASE, notes) else { return };
                (setting, text)
            }
            (None, None) => return,
        };
        match first_line(&text) {
            Some(line) => custody.passphrase = Some(line),
            None => notes.at(setting, "holds no passphrase: the first line must be the passphrase"),
        }
    }

    /// Reads the password of the database's role into the store's section. Without `store.url` it has no use.
    pub(super) fn database_password(&mut self, sections: &mut Sections, notes: &mut Notes<'_>) {
        let store = &mut sections.store;
        let (setting, text) = match (&store.password, &store.password_file) {
            _ if store.url.is_none() => return,
            (Some(password), _) => ("store.password", Zeroizing::new(password.expose().to_owned())),
            (None, Some(file)) => {
                let setting = "store.password_file";
                let Some(text) = self.file(file, setting, WRITE_PASSWORD, notes) else { return };
                (setting, text)
            }
            (None, None) => return,
        };
        match first_line(&text) {
            Some(line) => store.password = Some(line.into()),
            None => notes.at(setting, "holds no password: the first line must be the password"),
        }
    }

    /// Reads the REST API keys into the workspaces' sections.
    pub(super) fn rest_keys(&mut self, workspaces: &mut BTreeMap<String, braze::Config>, notes: &mut Notes<'_>) {
        for (name, workspace) in workspaces {
            workspace.api_key = self.rest_key(name, workspace, notes);
        }
    }

    fn rest_key(&mut self, name: &str, workspace: &mut braze::Config, notes: &mut Notes<'_>) -> Option<Secret<String>> {
        let (setting, text) = match (workspace.api_key.take(), &workspace.api_key_file) {
            (Some(key), _) => (format!("braze.{name}.api_key"), Zeroizing::new(key.expose().clone())),
            (None, Some(file)) => {
                let setting = format!("braze.{name}.api_key_file");
                let text = self.file(file, &setting, WRITE_REST_KEY, notes)?;
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

    /// Reads the URL and the secret of the receiver of events.
    pub(super) fn webhook(&mut self, webhook: &mut WebhookConfig, notes: &mut Notes<'_>) {
        let (url_file, secret_file) = match (&webhook.url_file, &webhook.secret_file) {
            (Some(url), Some(secret)) => (url, secret),
            (None, None) => return,
            (Some(_), None) => {
                return notes.at("failures.webhook", "needs secret_file, too: receivers verify events by that secret");
            }
            (None, Some(_)) => return notes.at("failures.webhook", "needs url_file, too: the file that holds the URL"),
        };
        let url = self.file(url_file, "failures.webhook.url_file", WRITE_WEBHOOK_URL, notes);
        let secret = self.file(secret_file, "failures.webhook.secret_file", WRITE_WEBHOOK_SECRET, notes);
        let (Some(url), Some(secret)) = (url, secret) else { return };
        let (url, secret) = (url.trim(), secret.trim());
        if let Err(why) = check_webhook_url(url, webhook.allow_private_addresses) {
            return notes
                .at("failures.webhook.url_file", format_args!("holds a URL that must not be requested: {why}"));
        }
        let encoded = secret.strip_prefix("whsec_");
        let key = encoded.map_or_else(|| Ok(secret.as_bytes().to_owned()), |encoded| STANDARD.decode(encoded));
        match key {
            Ok(key) if key.len() >= SHORTEST_WEBHOOK_SECRET => {
                let (url, key) = (Secret::new(url.to_owned()), Secret::new(key));
                webhook.secrets = Some(Arc::new(WebhookSecrets { url, key }));
            }
            _ => notes.at("failures.webhook.secret_file", format_args!("holds no secret: {WRITE_WEBHOOK_SECRET}")),
        }
    }

    /// Reads a file that holds a secret.
    pub(super) fn file(
        &mut self,
        file: &Path,
        setting: &str,
        remedy: &str,
        notes: &mut Notes<'_>,
    ) -> Option<Zeroizing<String>> {
        if file.file_name().is_some_and(|name| SealingSecrets::parse(&name.to_string_lossy()).is_ok()) {
            notes.at(setting, HOLDS_SECRET);
            return None;
        }
        if file.to_string_lossy().contains(['\n', '\r']) || file.to_string_lossy().contains("-----BEGIN") {
            notes.at(setting, HOLDS_SECRET);
            return None;
        }
        let path = self.folder.join(file);
        let read = read_text(&path, &self.rule, remedy);
        if path.symlink_metadata().is_err() && may_be_secret(file, self.folder) {
            let text = format_args!(
                "the file that it names does not exist: {remedy} (its name is not shown, since it may be the secret itself)"
            );
            notes.at(setting, text);
            return None;
        }
        self.read.push(path.clone());
        read.map_err(|why| notes.at(setting, format_args!("{} {why}", path.display()))).ok()
    }
}

/// Returns the first line of a text that holds a secret; `None` where it is empty.
fn first_line(text: &str) -> Option<Secret<String>> {
    text.lines().next().filter(|line| !line.is_empty()).map(|line| Secret::new(line.to_owned()))
}

/// Returns true for a text that does not look like the path of a file: it has neither a folder that exists nor an
/// ending in lower case, such as `.pem`.
fn may_be_secret(file: &Path, base: &Path) -> bool {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let has_folder = folder.is_some_and(|folder| base.join(folder).is_dir());
    let ending = file.extension().map(|ending| ending.to_string_lossy().into_owned()).unwrap_or_default();
    let has_ending = (1..=10).contains(&ending.len()) && ending.bytes().all(|b| b.is_ascii_lowercase());
    let has_space = file.to_string_lossy().contains(char::is_whitespace);
    !(file.is_absolute() || has_folder || (has_ending && !has_space))
}

/// Reads the text of a file; the error is the reason, and what to do.
fn read_text(path: &Path, rule: &Rule, remedy: &str) -> Result<Zeroizing<String>, String> {
    let (bytes, _) = read_given(path, MAX_SECRET_BYTES, rule, Use::Secret).map_err(|why| match why.kind() {
        io::ErrorKind::NotFound => format!("does not exist: {remedy}"),
        _ if why.raw_os_error().is_some() => format!("cannot be read by user {}: {why}", rule.user().uid()),
        _ => why.to_string(),
    })?;
    text(bytes.expose()).map(|text| Zeroizing::new(text.to_owned())).map_err(|why| why.to_string())
}
