//! Rules that go beyond a single value's type: between settings, and for names.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;

use super::{apps, braze, notes::Notes, sections::Sections, store};
use crate::domain::{
    ids::{AppName, RingName},
    policy::AppPolicy,
};

/// Maximal number of signing threads: more than a machine has processors.
const MAX_THREADS: usize = 1024;

/// Shortest time for which an idle connection is kept: a shorter one would close between an answer and the next request.
const MIN_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Widest networks of proxies that somebody may own: `10.0.0.0/8` and `fc00::/7`.
const WIDEST_PROXIES: (u8, u8) = (8, 7);

/// Least patience with a clock that was set.
const MIN_PATIENCE: Duration = Duration::from_mins(1);

/// Checks all sections; returns the apps that have a valid name.
pub(super) fn check(sections: &Sections, notes: &mut Notes<'_>) -> BTreeMap<AppName, AppPolicy> {
    server(sections, notes);
    clock(sections, notes);
    store::check(sections, notes);
    custody(sections, notes);
    for text in sections.log.level_errors() {
        notes.at("log.level", text);
    }
    for ring in sections.rings.keys() {
        if let Err(bad) = ring.parse::<RingName>() {
            notes.at(&format!("rings.{ring}"), bad);
        }
    }
    braze::check(sections, notes);
    apps::check(sections, notes)
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
        notes.at("server.ops_listen", "is the same as listen: operators' routes need an address of their own");
    }
    if server.ops_socket.as_deref().is_some_and(|path| !path.is_absolute()) {
        notes.at("server.ops_socket", "must be an absolute path in a folder of its own: \"/run/countersign/ops.sock\"");
    }
    if server.keep_alive < MIN_KEEP_ALIVE {
        notes.at("server.keep_alive", "must be at least \"1s\", and above the proxy's own time: \"75s\" suits most");
    }
}

/// Returns warnings of `[server]`.
pub(super) fn server_warnings(sections: &Sections) -> Vec<String> {
    let is_too_wide = |network: &&IpNet| match network {
        IpNet::V4(network) => network.prefix_len() < WIDEST_PROXIES.0,
        IpNet::V6(network) => network.prefix_len() < WIDEST_PROXIES.1,
    };
    let warning = |network: &IpNet| {
        format!(
            "server.trusted_proxies: {network} trusts everybody, so each client can choose the address that its limits count: list the proxies' own networks, e.g. [\"10.0.0.0/8\"]"
        )
    };
    sections.server.trusted_proxies.iter().filter(is_too_wide).map(warning).collect()
}

fn clock(sections: &Sections, notes: &mut Notes<'_>) {
    if sections.clock.patience < MIN_PATIENCE {
        notes.at("clock.patience", "must be at least \"1m\": a shorter time would trust any step of the clock");
    }
}

fn custody(sections: &Sections, notes: &mut Notes<'_>) {
    if sections.custody.threads.is_some_and(|threads| threads.get() > MAX_THREADS) {
        notes.at(
            "custody.threads",
            format_args!("must be at most {MAX_THREADS}: write it like 2; without the setting there is one thread for each processor"),
        );
    }
}
