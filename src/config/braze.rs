//! Braze's workspaces, the apps in them, and how rings are rotated.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use super::{
    check::{Notes, secret_file},
    sections::{ADVISED_SOAK, App, Rotation, Sections, Workspace},
};
use crate::secret::Secret;

/// What the sections must say together.
pub(super) fn rules(sections: &Sections, notes: &mut Notes<'_>) {
    for (name, workspace) in &sections.braze {
        if let Some(text) = bad_url(&workspace.rest_url) {
            notes.at(&format!("braze.{name}.rest_url"), text);
        }
        if workspace.api_key.is_none() && workspace.api_key_file.is_none() {
            notes.at(&format!("braze.{name}"), "needs the REST API key: set api_key_file");
        }
    }
    let mut seen = BTreeSet::new();
    for (name, app) in &sections.apps {
        place(name, app, sections, &mut seen, notes);
    }
    for (name, ring) in &sections.rings {
        rotation(name, &ring.rotation, sections, notes);
    }
}

/// Why this is no REST endpoint. Plain HTTP would show the API key to whoever listens.
fn bad_url(url: &str) -> Option<&'static str> {
    let parsed: Option<http::Uri> = url.parse().ok();
    let host = parsed.as_ref().and_then(|uri| uri.host());
    match (parsed.as_ref().and_then(http::Uri::scheme_str), host) {
        (Some("https"), Some(_)) => None,
        (Some("http"), Some(host)) if is_loopback(host) => None,
        (Some("http"), Some(_)) => {
            Some("must be https://…: plain HTTP, which shows the API key, goes to loopback only")
        }
        _ => Some("must be like \"https://rest.iad-01.braze.com\""),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn place<'a>(
    name: &str,
    app: &'a App,
    sections: &Sections,
    seen: &mut BTreeSet<(&'a str, &'a str)>,
    notes: &mut Notes<'_>,
) {
    match (&app.workspace, &app.braze_app_id) {
        (Some(_), None) => notes.at(&format!("apps.{name}.workspace"), "needs the braze_app_id too"),
        (None, Some(_)) => notes.at(&format!("apps.{name}.braze_app_id"), "needs the workspace too"),
        (Some(workspace), Some(_)) if !sections.braze.contains_key(workspace) => {
            notes.at(&format!("apps.{name}.workspace"), format_args!("there is no table [braze.{workspace}]"));
        }
        (Some(workspace), Some(id)) if id.is_empty() || !seen.insert((workspace, id)) => {
            let text = "is empty, or another app has it: an app of Braze is one app here, with one ring";
            notes.at(&format!("apps.{name}.braze_app_id"), text);
        }
        (None, None) | (Some(_), Some(_)) => {}
    }
}

fn rotation(name: &str, rotation: &Rotation, sections: &Sections, notes: &mut Notes<'_>) {
    let lives = sections.apps.values().filter(|app| app.ring == name).map(|app| app.lifetime.0);
    let longest_life = lives.max().unwrap_or(Duration::ZERO);
    let shortest = rotation.soak.0.saturating_add(rotation.margin.0).saturating_add(longest_life);
    if rotation.every.is_some_and(|every| every.0 <= shortest) {
        let text = "is too short: a rotation takes soak + the longest token lifetime + margin";
        notes.at(&format!("rings.{name}.rotation.every"), text);
    }
    if rotation.check_every.0.is_zero() {
        notes.at(&format!("rings.{name}.rotation.check_every"), "must be longer than nothing");
    }
}

/// What is allowed, and probably not meant.
pub(super) fn warnings(sections: &Sections) -> Vec<String> {
    let hasty = sections.rings.iter().filter(|(_, ring)| ring.rotation.soak.0 < ADVISED_SOAK);
    let mut warnings: Vec<String> = hasty
        .map(|(name, _)| format!(
            "[rings.{name}.rotation] soak is shorter than the 5 minutes that Braze advises between dependent calls: tokens may be rejected (27) until a new key has spread; good for the sandbox only"
        ))
        .collect();
    let alone =
        sections.braze.keys().filter(|name| sections.apps.values().all(|app| app.workspace.as_ref() != Some(name)));
    warnings.extend(alone.map(|name| format!("[braze.{name}] is no app's workspace: what it says has no effect")));
    warnings
}

/// Reads the REST API keys.
pub(super) fn rest_keys(sections: &Sections, folder: &Path, notes: &mut Notes<'_>) -> BTreeMap<String, Secret<String>> {
    let read =
        |(name, workspace): (&String, &Workspace)| Some((name.clone(), rest_key(name, workspace, folder, notes)?));
    sections.braze.iter().filter_map(read).collect()
}

fn rest_key(name: &str, workspace: &Workspace, folder: &Path, notes: &mut Notes<'_>) -> Option<Secret<String>> {
    let (setting, text) = match (&workspace.api_key, &workspace.api_key_file) {
        (Some(key), _) => (format!("braze.{name}.api_key"), key.0.clone()),
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
