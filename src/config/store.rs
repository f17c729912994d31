//! Rules of `[store]`.

use std::{ops::RangeInclusive, path::Path, time::Duration};

use super::{notes::Notes, sections::Sections};
use crate::{
    files::{Rule, Use, read_given, text},
    store,
};

/// Schemes of a PostgreSQL database.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// Largest file of authorities: those of a whole system fit.
const MAX_AUTHORITIES: usize = 1 << 20;

/// Beginning of a certificate in PEM.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// Most connections of one node: more wait in the database than work there.
const MAX_CONNECTIONS: u32 = 1000;

/// Least and greatest wait for an answer of the database. Above the greatest, apps have given up long before.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(1));

/// Shortest and longest time for which requests may be answered without the store. A shorter one would not outlast a
/// fail-over; the longest is that of a token, and below the time for which the log of ends is kept.
const OUTAGE_LIMITS: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24);

/// Least and greatest memory for what has ended, in MiB.
const OUTAGE_MEMORY: RangeInclusive<u32> = 8..=4096;

/// Checks the URL of a database.
///
/// # Errors
/// The reason, with what to do. It has no password.
pub fn check_url(url: &str) -> Result<(), String> {
    store::check_url(url).map_err(|why| why.to_string())
}

/// Checks the settings.
pub(super) fn check(sections: &Sections, notes: &mut Notes<'_>) {
    let store = &sections.store;
    let path = store.path.to_string_lossy();
    if SCHEMES.iter().any(|scheme| path.starts_with(scheme)) {
        notes.at("store.path", "is a URL: write it as store.url, `url = \"postgres://…\"`; path names an SQLite file");
    } else if path.contains("://") {
        notes.at("store.path", "is a URL: give the path of an SQLite file, like \"countersign.db\"");
    }
    if let Some(Err(why)) = store.url.as_deref().map(check_url) {
        notes.at("store.url", why);
    }
    if store.connections.get() > MAX_CONNECTIONS {
        notes.at("store.connections", format_args!("must be at most {MAX_CONNECTIONS}: 8 suit most nodes"));
    }
    if store.timeout < TIMEOUTS.0 || store.timeout > TIMEOUTS.1 {
        notes.at("store.timeout", "must be \"100ms\" to \"1m\": \"5s\" suits most");
    }
    if !OUTAGE_LIMITS.contains(&store.outage_limit) {
        notes.at("store.outage_limit", "must be \"1m\" to \"24h\": \"1h\" suits most");
    }
    if !OUTAGE_MEMORY.contains(&store.outage_memory_mib.get()) {
        notes.at("store.outage_memory_mib", "must be 8 to 4096: 128 suits most");
    }
}

/// Checks that the file of authorities can be read, and may be one.
pub(super) fn check_authorities(sections: &Sections, folder: &Path, rule: &Rule, notes: &mut Notes<'_>) {
    let Some(file) = sections.store.ca_file.as_ref().filter(|_| sections.store.url.is_some()) else { return };
    let file = folder.join(file);
    match read_given(&file, MAX_AUTHORITIES, rule, Use::Configuration) {
        Err(why) => notes.at("store.ca_file", format_args!("{} cannot be read: {why}", file.display())),
        Ok((bytes, _)) if !text(bytes.expose()).is_ok_and(|text| text.contains(CERTIFICATE)) => {
            let text = format_args!("{} holds no certificate in PEM, which has a line {CERTIFICATE}", file.display());
            notes.at("store.ca_file", text);
        }
        Ok(_) => {}
    }
}

/// Returns warnings: settings that have no effect beside the others.
pub(super) fn warnings(sections: &Sections) -> Vec<String> {
    let (store, default) = (&sections.store, store::Config::default());
    if store.url.is_some() {
        let path = store.path.display();
        let unused = format!("store.path: {path} is not used, since store.url is set: remove one of the two");
        return if store.path == default.path { Vec::new() } else { vec![unused] };
    }
    let given: [(&str, bool); 5] = [
        ("password_file", store.password_file.is_some()),
        ("password", store.password.is_some()),
        ("ca_file", store.ca_file.is_some()),
        ("prepared", store.prepared != default.prepared),
        ("connections", store.connections != default.connections),
    ];
    let given: Vec<String> =
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| format!("store.{name}")).collect();
    if given.is_empty() {
        return Vec::new();
    }
    vec![format!("without store.url, these are not used: {}", given.join(", "))]
}
