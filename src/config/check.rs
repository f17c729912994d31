//! What a single value cannot tell: rules between settings, names, and the secret files.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::{
    braze,
    document::Document,
    errors::ConfigErrors,
    sections::{App, Sections},
};
use crate::{
    domain::{
        ids::{AppName, BRAZE_MAX_USER_ID_BYTES, RingName, UserIdRules},
        policy::{AppPolicy, ClaimsPolicy, LIFETIMES, RefreshPolicy},
        sealing::SealingSecrets,
    },
    secret::Secret,
};

/// Threads that sign, at most: more than any machine has processors to gain from.
const MAX_THREADS: usize = 1024;

/// What comes out where nothing is wrong.
pub(super) struct Checked {
    pub(super) sealing: SealingSecrets,
    pub(super) passphrase: Option<Secret<String>>,
    pub(super) apps: Vec<Arc<AppPolicy>>,
    /// The REST API keys, by workspace.
    pub(super) rest_keys: BTreeMap<String, Secret<String>>,
}

/// Notes down errors, each at the place of its setting.
pub(super) struct Notes<'a> {
    document: &'a Document,
    errors: &'a mut ConfigErrors,
}

impl Notes<'_> {
    pub(super) fn at(&mut self, setting: &str, text: impl std::fmt::Display) {
        self.errors.add(self.document.place(setting), format!("{setting}: {text}"));
    }
}

/// Checks what the sections say together, and reads the secrets they name.
pub(super) fn check(
    sections: &Sections,
    document: &Document,
    folder: &Path,
    errors: &mut ConfigErrors,
) -> Option<Checked> {
    let apps = rules(sections, document, errors);
    let mut notes = Notes { document, errors };
    let sealing = sealing(sections, folder, &mut notes);
    let passphrase = passphrase(sections, folder, &mut notes);
    let rest_keys = braze::rest_keys(sections, folder, &mut notes);
    Some(Checked { sealing: sealing?, passphrase, apps, rest_keys })
}

/// Checks what the sections say together; the apps that can be made of them.
pub(super) fn rules(sections: &Sections, document: &Document, errors: &mut ConfigErrors) -> Vec<Arc<AppPolicy>> {
    let mut notes = Notes { document, errors };
    server(sections, &mut notes);
    store(sections, &mut notes);
    custody(sections, &mut notes);
    if let Some(text) = sections.log.level_error() {
        notes.at("log.level", text);
    }
    for ring in sections.rings.keys() {
        if let Err(bad) = ring.parse::<RingName>() {
            notes.at(&format!("rings.{ring}"), bad);
        }
    }
    braze::rules(sections, &mut notes);
    if sections.apps.is_empty() {
        notes.at("apps", "there is no app: write a table [apps.<name>] for each of your Braze apps");
    }
    sections.apps.iter().filter_map(|(name, raw)| app(name, raw, sections, &mut notes)).collect()
}

fn server(sections: &Sections, notes: &mut Notes<'_>) {
    let server = &sections.server;
    for (name, address) in [("server.listen", server.listen), ("server.ops_listen", server.ops_listen)] {
        if !address.ip().is_loopback() && !server.allow_plaintext {
            notes.at(name, format_args!(
                "{address} can be reached from elsewhere, and this service speaks plain HTTP: put a TLS terminator in front and set `allow_plaintext = true` in [server]"
            ));
        }
    }
    if server.listen == server.ops_listen && server.listen.port() != 0 {
        notes.at("server.ops_listen", "is the same as listen: operators' routes get an address of their own");
    }
}

fn store(sections: &Sections, notes: &mut Notes<'_>) {
    if sections.store.path.to_string_lossy().contains("://") {
        notes.at("store.path", "is a URL: this build has the embedded store only, give the path of its file");
    }
}

fn custody(sections: &Sections, notes: &mut Notes<'_>) {
    if sections.custody.threads.is_some_and(|threads| threads.get() > MAX_THREADS) {
        notes.at("custody.threads", format_args!("at most {MAX_THREADS}; without it there is one for each processor"));
    }
}

fn app(name: &str, raw: &App, sections: &Sections, notes: &mut Notes<'_>) -> Option<Arc<AppPolicy>> {
    let setting = |setting: &str| format!("apps.{name}.{setting}");
    let isolated = sections.rings.get(&raw.ring).is_some_and(|ring| ring.isolate_apps);
    if !LIFETIMES.contains(&raw.lifetime.0) || raw.lifetime.0.subsec_nanos() != 0 {
        notes.at(&setting("lifetime"), "must be whole seconds from \"1m\" to \"24h\"");
    }
    if raw.max_user_id_bytes.get() > BRAZE_MAX_USER_ID_BYTES {
        notes.at(&setting("max_user_id_bytes"), format_args!("Braze takes at most {BRAZE_MAX_USER_ID_BYTES}"));
    }
    for origin in &raw.allowed_origins {
        if let Some(text) = bad_origin(origin) {
            notes.at(&setting("allowed_origins"), format_args!("{origin:?} {text}"));
        }
    }
    if raw.sdk_api_key.as_ref().is_some_and(String::is_empty) {
        notes.at(&setting("sdk_api_key"), "is empty: give the app's SDK API key at Braze, or leave it out");
    }
    if raw.sdk_api_key.is_none() && isolated {
        notes.at(
            &format!("apps.{name}"),
            format_args!("needs its sdk_api_key: ring {} isolates its apps by `iss`", raw.ring),
        );
    } else if raw.sdk_api_key.is_none() && raw.claims.iss {
        notes.at(&setting("claims.iss"), "needs the app's sdk_api_key, which becomes `iss`");
    }
    let refresh = refresh(name, raw, notes);
    let app = name.parse::<AppName>().map_err(|bad| notes.at(&format!("apps.{name}"), bad)).ok();
    let ring = raw.ring.parse::<RingName>().map_err(|bad| notes.at(&setting("ring"), bad)).ok();
    Some(Arc::new(AppPolicy {
        app: app?,
        sdk_api_key: raw.sdk_api_key.clone(),
        ring: ring?,
        lifetime: raw.lifetime.0,
        refresh,
        claims: ClaimsPolicy {
            jti: raw.claims.jti,
            iat: raw.claims.iat,
            aud: raw.claims.aud,
            iss: raw.claims.iss || isolated,
            kid: raw.claims.kid,
        },
        user_ids: UserIdRules {
            max_bytes: raw.max_user_id_bytes.get(),
            allow_invisible: raw.allow_invisible_characters,
        },
        allowed_origins: raw.allowed_origins.clone(),
    }))
}

fn refresh(name: &str, raw: &App, notes: &mut Notes<'_>) -> Option<RefreshPolicy> {
    let refresh = &raw.refresh;
    if !refresh.enabled {
        return None;
    }
    let setting = |setting: &str| format!("apps.{name}.refresh.{setting}");
    if refresh.idle.0 < raw.lifetime.0 {
        notes.at(&setting("idle"), "is shorter than the token's lifetime: sessions would end before their tokens");
    }
    if refresh.absolute.0 < refresh.idle.0 {
        notes.at(&setting("absolute"), "is shorter than idle");
    }
    if refresh.retry_window.0 > refresh.idle.0 {
        notes.at(&setting("retry_window"), "is longer than idle, when the session is over anyway");
    }
    Some(RefreshPolicy { idle: refresh.idle.0, absolute: refresh.absolute.0, retry_window: refresh.retry_window.0 })
}

/// Why an origin is none, as browsers serialise them (RFC 6454 §6.2): `scheme://host[:port]`, lower case, nothing behind.
fn bad_origin(origin: &str) -> Option<&'static str> {
    let Some((scheme, host)) = origin.split_once("://") else {
        return Some(match origin {
            "*" => "would let every page in: list each origin",
            "null" => "is what pages without an origin send, anybody's: it cannot be allowed",
            _ => "is no origin: write scheme://host[:port], like \"https://www.example.com\"",
        });
    };
    let default_port = (scheme == "https" && host.ends_with(":443")) || (scheme == "http" && host.ends_with(":80"));
    match () {
        () if host.is_empty() || scheme.is_empty() => Some("has no host: write scheme://host[:port]"),
        () if host.contains(['/', '?', '#', '@', '*', ' ', ',']) => {
            Some("has more than scheme://host[:port]: no path, no slash at the end, no pattern")
        }
        () if origin.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii()) => {
            Some("is not as browsers send it: lower case, international names as xn--…")
        }
        () if !is_host(host) => Some("has no host that browsers would send: write scheme://host[:port]"),
        () if default_port => Some("names the default port, which browsers leave out"),
        () => None,
    }
}

/// Whether this is a host, with a port or without (RFC 3986 §3.2).
fn is_host(host: &str) -> bool {
    let authority = host.parse::<http::uri::Authority>();
    let names_port = host.rsplit(']').next().is_some_and(|behind| behind.contains(':'));
    authority.is_ok_and(|authority| !authority.host().is_empty() && names_port == authority.port_u16().is_some())
}

fn sealing(sections: &Sections, folder: &Path, notes: &mut Notes<'_>) -> Option<SealingSecrets> {
    let (setting, text) = match &sections.sealing.secret {
        Some(secret) => ("sealing.secret", secret.0.clone()),
        None => (
            "sealing.secret_file",
            secret_file(&folder.join(&sections.sealing.secret_file), "sealing.secret_file", notes)?,
        ),
    };
    SealingSecrets::parse(&text).map_err(|bad| notes.at(setting, bad)).ok()
}

fn passphrase(sections: &Sections, folder: &Path, notes: &mut Notes<'_>) -> Option<Secret<String>> {
    let custody = &sections.custody;
    let (setting, text) = match (&custody.passphrase, &custody.passphrase_file) {
        (Some(passphrase), _) => ("custody.passphrase", passphrase.0.clone()),
        (None, Some(file)) => {
            ("custody.passphrase_file", secret_file(&folder.join(file), "custody.passphrase_file", notes)?)
        }
        (None, None) => return None,
    };
    if let Some(line) = text.lines().next().filter(|line| !line.is_empty()) {
        Some(Secret::new(line.to_owned()))
    } else {
        notes.at(setting, "holds no passphrase: its first line is it");
        None
    }
}

/// Reads a file that holds a secret. Others must not be able to read it, nor the group to change it; a group may read it,
/// since that is how containers mount secrets.
pub(super) fn secret_file(path: &PathBuf, setting: &str, notes: &mut Notes<'_>) -> Option<Zeroizing<String>> {
    if path.file_name().is_some_and(|name| SealingSecrets::parse(&name.to_string_lossy()).is_ok()) {
        notes.at(setting, "holds the secret itself: it names the file that does");
        return None;
    }
    let metadata = std::fs::metadata(path)
        .map_err(|why| notes.at(setting, format_args!("{}: {why}; `countersign init` makes one", path.display())))
        .ok()?;
    let mode = metadata.permissions().mode() & 0o777;
    if !metadata.is_file() || metadata.len() > 64 * 1024 {
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
