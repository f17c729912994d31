//! Rules for apps: lifetimes, origins, claims, refreshing.

use std::collections::BTreeMap;

use super::{app_section::AppSection, notes::Notes, sections::Sections};
use crate::{
    domain::{
        ids::{AppName, BRAZE_MAX_USER_ID_BYTES, DEFAULT_MAX_USER_ID_BYTES},
        policy::{AppPolicy, LIFETIMES, LONGEST_SESSION},
    },
    store::OnOutage,
};

/// Checks each app; returns those that have a valid name. Apps of a ring that isolates them get the claim `iss`.
pub(super) fn check(sections: &Sections, notes: &mut Notes<'_>) -> BTreeMap<AppName, AppPolicy> {
    if sections.apps.is_empty() {
        notes.at("apps", "there is no app: write a table [apps.<name>] for each of your Braze apps");
    }
    shared_in_isolation(sections, notes);
    let mut apps = BTreeMap::new();
    for (name, AppSection { policy, .. }) in &sections.apps {
        let setting = |setting: &str| format!("apps.{name}.{setting}");
        // An app whose `ring` is wrong is not on the default ring, and that ring's rules are not its own.
        let ring = sections.rings.get(policy.ring.as_str()).filter(|_| !notes.has(&setting("ring")));
        let isolated = ring.is_some_and(|ring| ring.isolate_apps);
        tokens(policy, &setting, notes);
        origins(policy, &setting, notes);
        issuer(name, policy, isolated, notes);
        refresh(policy, &setting, notes);
        outage(policy, sections, &setting, notes);
        match name.parse::<AppName>() {
            Ok(app) => {
                let mut policy = policy.clone();
                policy.claims.iss |= isolated;
                apps.insert(app, policy);
            }
            Err(bad) => notes.at(&format!("apps.{name}"), bad),
        }
    }
    apps
}

fn is_isolated(policy: &AppPolicy, sections: &Sections) -> bool {
    sections.rings.get(policy.ring.as_str()).is_some_and(|ring| ring.isolate_apps)
}

/// Returns the apps that have the same SDK API key, for each key that several apps have.
fn sharing(sections: &Sections) -> Vec<Vec<(&str, &AppPolicy)>> {
    let mut sharing: BTreeMap<String, Vec<(&str, &AppPolicy)>> = BTreeMap::new();
    for (name, AppSection { policy, .. }) in &sections.apps {
        if let Some(key) = policy.sdk_api_key.as_ref().filter(|key| !key.is_empty()) {
            sharing.entry(key.to_ascii_lowercase()).or_default().push((name, policy));
        }
    }
    sharing.into_values().filter(|apps| apps.len() > 1).collect()
}

/// Refuses apps of one isolated ring that have the same SDK API key, and so the same `iss`: Braze would accept a token
/// of one on the other.
fn shared_in_isolation(sections: &Sections, notes: &mut Notes<'_>) {
    for apps in sharing(sections) {
        for (at, (name, policy)) in apps.iter().enumerate() {
            let others = &apps[..at];
            let Some((other, _)) = others.iter().find(|(_, other)| other.ring == policy.ring) else { continue };
            // An app whose `ring` is wrong is not on the default ring.
            let is_wrong = [name, other].iter().any(|app| notes.has(&format!("apps.{app}.ring")));
            if is_isolated(policy, sections) && !is_wrong {
                let text = format_args!(
                    "app {other} has the same, and ring {} isolates its apps by it: give each app its own, from the Braze dashboard",
                    policy.ring
                );
                notes.at(&format!("apps.{name}.sdk_api_key"), text);
            }
        }
    }
}

/// Returns warnings: settings that are allowed, but probably not intended.
pub(super) fn warnings(sections: &Sections) -> Vec<String> {
    let shared = sharing(sections).into_iter().map(|apps| {
        let names: Vec<&str> = apps.iter().map(|(name, _)| *name).collect();
        format!(
            "apps {} have the same sdk_api_key: at Braze they are one app, where a token of any of them is good",
            names.join(" and ")
        )
    });
    let keys = sections.apps.iter().filter_map(|(name, app)| Some((name, app.policy.sdk_api_key.as_deref()?)));
    let malformed = keys.filter(|(_, key)| !is_uuid(key)).map(|(name, key)| {
        format!(
            "apps.{name}.sdk_api_key: {key:?} is no UUID like \"0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9\": copy the app's SDK API key from the Braze dashboard"
        )
    });
    shared.chain(malformed).collect()
}

/// Returns true for a UUID as it is written (RFC 9562 §4).
pub(super) fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.concat().bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn tokens(policy: &AppPolicy, setting: &impl Fn(&str) -> String, notes: &mut Notes<'_>) {
    if !LIFETIMES.contains(&policy.lifetime) || policy.lifetime.subsec_nanos() != 0 {
        notes.at(&setting("lifetime"), "must be whole seconds from \"1m\" to \"24h\"");
    }
    if policy.max_user_id_bytes.get() > BRAZE_MAX_USER_ID_BYTES {
        notes.at(
            &setting("max_user_id_bytes"),
            format_args!("Braze takes at most {BRAZE_MAX_USER_ID_BYTES}; the default is {DEFAULT_MAX_USER_ID_BYTES}"),
        );
    }
    if policy.sdk_api_key.as_ref().is_some_and(String::is_empty) {
        notes.at(&setting("sdk_api_key"), "is empty: give the app's SDK API key at Braze, or leave it out");
    }
}

/// The claim `iss` is the SDK API key.
fn issuer(name: &str, policy: &AppPolicy, isolated: bool, notes: &mut Notes<'_>) {
    if policy.sdk_api_key.is_some() {
        return;
    }
    if isolated {
        let text = format_args!("needs its sdk_api_key: ring {} isolates its apps by `iss`", policy.ring);
        notes.at(&format!("apps.{name}"), text);
    } else if policy.claims.iss {
        notes.at(&format!("apps.{name}.claims.iss"), "needs the app's sdk_api_key, which becomes `iss`");
    }
}

fn refresh(policy: &AppPolicy, setting: &impl Fn(&str) -> String, notes: &mut Notes<'_>) {
    let Some(refresh) = policy.refresh() else { return };
    let setting = |name: &str| setting(&format!("refresh.{name}"));
    if refresh.idle < policy.lifetime {
        notes.at(
            &setting("idle"),
            "is shorter than the token's lifetime: sessions would end before their tokens; write it like \"30d\"",
        );
    }
    if refresh.absolute < refresh.idle {
        notes.at(&setting("absolute"), "is shorter than idle; write it like \"180d\"");
    }
    if refresh.absolute > LONGEST_SESSION {
        notes.at(&setting("absolute"), "must be at most \"400d\": ends of users are kept that long");
    }
    if refresh.retry_window > refresh.idle {
        notes.at(
            &setting("retry_window"),
            "is longer than idle, after which the session has ended anyway; write it like \"24h\"",
        );
    }
}

/// A refresh whose write is lost with the store has its refresh token accepted again afterwards: within the retry window.
fn outage(policy: &AppPolicy, sections: &Sections, setting: &impl Fn(&str) -> String, notes: &mut Notes<'_>) {
    let store = &sections.store;
    let is_served = store.outage == OnOutage::Serve && !notes.has("store.outage") && !notes.has("store.outage_limit");
    if policy.refresh().is_some_and(|refresh| is_served && refresh.retry_window < store.outage_limit) {
        notes.at(
            &setting("refresh.retry_window"),
            "is shorter than store.outage_limit: a device whose refresh token was used as the store was lost would have \
             to log in again; write at least that time here, like \"24h\", lower that, or write `outage = \"refuse\"` in \
             [store]",
        );
    }
}

fn origins(policy: &AppPolicy, setting: &impl Fn(&str) -> String, notes: &mut Notes<'_>) {
    for origin in &policy.allowed_origins {
        if let Some(text) = bad_origin(origin) {
            notes.at(&setting("allowed_origins"), format_args!("{origin:?} {text}"));
        }
    }
}

/// Returns the reason why a text is not an origin as browsers serialise it (RFC 6454 §6.2): `scheme://host[:port]` in
/// lower case, without anything after it.
pub(super) fn bad_origin(origin: &str) -> Option<&'static str> {
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

/// Returns true for a host, with a port or without (RFC 3986 §3.2).
fn is_host(host: &str) -> bool {
    let authority = host.parse::<http::uri::Authority>();
    let names_port = host.rsplit(']').next().is_some_and(|after| after.contains(':'));
    authority.is_ok_and(|authority| !authority.host().is_empty() && names_port == authority.port_u16().is_some())
}
