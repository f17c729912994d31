//! Rules for Braze's workspaces, the apps in them, and the rotation of rings.

use std::{collections::BTreeSet, time::Duration};

use super::{notes::Notes, sections::Sections, sign_in::is_loopback};
use crate::{clock::human_duration::HumanDuration, domain::policy::AppPolicy, rotate};

/// Ends of the hosts of Braze.
const BRAZE_DOMAINS: [&str; 2] = [".braze.com", ".braze.eu"];

/// Checks workspaces, the apps in them, and rotations.
pub(super) fn check(sections: &Sections, notes: &mut Notes<'_>) {
    for (name, workspace) in &sections.braze {
        if let Some(text) = bad_url(&workspace.rest_url) {
            notes.at(&format!("braze.{name}.rest_url"), text);
        }
        if workspace.api_key.is_none() && workspace.api_key_file.is_none() {
            notes.at(
                &format!("braze.{name}"),
                "needs the REST API key: set api_key_file, like api_key_file = \"braze.key\"",
            );
        }
    }
    let mut seen = BTreeSet::new();
    for (name, app) in &sections.apps {
        workspace_of(name, &app.policy, sections, &mut seen, notes);
    }
    for (name, ring) in &sections.rings {
        rotation(name, &ring.rotation, sections, notes);
    }
}

/// Returns the reason why a text is not a REST endpoint. Plain HTTP would reveal the API key.
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

/// Returns a warning for a host of Braze that is not a REST endpoint: for an SDK endpoint with its REST endpoint.
fn other_endpoint(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let host = uri.host()?.to_ascii_lowercase();
    let (kind, cluster) = host.split_once('.')?;
    if !BRAZE_DOMAINS.iter().any(|domain| host.ends_with(domain)) || kind == "rest" {
        return None;
    }
    Some(match kind {
        "sdk" => format!("{host} is the SDK endpoint; the REST endpoint is \"https://rest.{cluster}\""),
        _ => format!("{host} is no REST endpoint: write it like \"https://rest.iad-01.braze.com\""),
    })
}

fn workspace_of<'a>(
    name: &str,
    app: &'a AppPolicy,
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
            let text = "is empty, or another app has it: configure each Braze app once, so that it has one ring";
            notes.at(&format!("apps.{name}.braze_app_id"), text);
        }
        (None, None) | (Some(_), Some(_)) => {}
    }
}

fn rotation(name: &str, rotation: &rotate::Config, sections: &Sections, notes: &mut Notes<'_>) {
    let lifetimes =
        sections.apps.values().map(|app| &app.policy).filter(|app| app.ring.as_str() == name).map(|app| app.lifetime);
    let longest_life = lifetimes.max().unwrap_or(Duration::ZERO);
    let shortest = rotation.soak.saturating_add(rotation.margin).saturating_add(longest_life);
    if rotation.every.is_some_and(|every| every <= shortest) {
        let text = format_args!(
            "is too short: a rotation takes soak + the longest token lifetime + margin, {} here; write it like \"90d\"",
            HumanDuration(shortest)
        );
        notes.at(&format!("rings.{name}.rotation.every"), text);
    }
    if rotation.check_every.is_zero() {
        notes.at(&format!("rings.{name}.rotation.check_every"), "must be longer than 0s; write it like \"10m\"");
    }
}

/// Returns warnings: settings that are allowed, but probably not intended.
pub(super) fn warnings(sections: &Sections) -> Vec<String> {
    let short_soak = sections.rings.iter().filter(|(_, ring)| ring.rotation.soak < rotate::ADVISED_SOAK);
    let mut warnings: Vec<String> = short_soak
        .map(|(name, _)| format!(
            "[rings.{name}.rotation] soak is shorter than the 5 minutes that Braze advises between dependent calls: tokens may be rejected (27) until a new key has spread; good for the sandbox only"
        ))
        .collect();
    let unused = sections
        .braze
        .keys()
        .filter(|name| sections.apps.values().all(|app| app.policy.workspace.as_ref() != Some(name)));
    warnings.extend(unused.map(|name| format!("no app uses [braze.{name}]; its settings are ignored")));
    warnings.extend(sections.braze.iter().filter_map(|(name, workspace)| {
        let text = other_endpoint(&workspace.rest_url)?;
        Some(format!("braze.{name}.rest_url: {text}"))
    }));
    warnings
}
