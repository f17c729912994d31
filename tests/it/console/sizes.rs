//! Sizes: a thousand rows of everything, and the longest ids.

use std::time::Duration;

use countersign::{
    clock::{Clock, UnixMillis},
    domain::{
        api_key::{ApiKey, ApiKeyRecord},
        audit::Actor,
        failure::{Cause, FailureKey, Platform, ReportedCode},
        ids::Kid,
        key::{KeyRecord, KeyState},
        operator::Role,
        rotation::NodeReport,
        session_sketch::SessionSketch,
        verdict::ErrorCode,
    },
    ops::console::{ROUTES, RouteRights},
    store::{CountSpan, FailureBatch, FailureCount, KeyTransaction, Store},
};
use strum::VariantArray;

use super::{Console, text};
use crate::cli::eventually;

const ROWS: u32 = 1000;
/// Largest page, in bytes.
const LARGEST: usize = 100_000;
/// Most requests of a page: itself, and what it loads.
const MOST_REQUESTS: usize = 6;

fn numbered(n: u32) -> [u8; 32] {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    bytes
}

async fn add_keys(store: &dyn Store) {
    let first = store.keys().await.unwrap().remove(0);
    for n in 0..ROWS {
        let kid = Kid::from_thumbprint(&numbered(n));
        let record = KeyRecord { kid, state: KeyState::Pending, ..first.clone() };
        assert!(store.transact(KeyTransaction { insert: Some(record), ..KeyTransaction::default() }).await.unwrap());
    }
}

async fn add_callers(store: &dyn Store, now: UnixMillis) {
    for n in 0..ROWS {
        let mut id = [0; 8];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let key = ApiKey::new(id, numbered(n));
        let record = ApiKeyRecord {
            hash: key.hash(),
            id: key.id,
            client: format!("{n:04}{}", "c".repeat(59)).parse().unwrap(),
            apps: vec!["web".parse().unwrap(), "ios".parse().unwrap()],
            created: now,
            expires: None,
            revoked: None,
            last_used: Some(now),
        };
        assert!(store.insert_api_key(record, ROWS * 2, &Actor::service()).await.unwrap());
    }
}

async fn add_nodes(store: &dyn Store, now: UnixMillis) {
    let loaded: std::collections::BTreeMap<Kid, Option<_>> =
        store.keys().await.unwrap().into_iter().take(20).map(|key| (key.kid, None)).collect();
    for n in 0..ROWS {
        let node = format!("{n:04}{}", "n".repeat(508));
        let report = NodeReport { node, seen: now, loaded: loaded.clone() };
        store.report(report, Vec::new()).await.unwrap();
    }
}

/// Reports of every cause and code, in each minute of the last hour.
async fn add_failures(store: &dyn Store, now: UnixMillis) {
    let codes = [10, 20, 21, 22, 23, 24, 25, 26, 27, 28].map(|number| ErrorCode::from_number(number).unwrap());
    let counts = (0..60).flat_map(|minute| Cause::VARIANTS.iter().map(move |cause| (minute, *cause)));
    let counts = counts.enumerate().map(|(n, (minute, cause))| FailureCount {
        span: CountSpan::Minute,
        since: UnixMillis((now.0 - minute * 60_000) / 60_000 * 60_000),
        key: FailureKey {
            app: ["web", "ios"][n % 2].parse().unwrap(),
            platform: Platform::Web,
            code: ReportedCode::Braze(codes[n % codes.len()]),
            cause,
            kid: None,
        },
        reports: 7,
        sessions: SessionSketch::default(),
    });
    let batch = FailureBatch { counts: counts.collect(), ..FailureBatch::default() };
    store.add_failures(now, batch).await.unwrap();
}

#[tokio::test]
async fn a_page_of_a_thousand_rows_is_small() {
    let console = Console::new().await;
    let ada = console.login(&console.operator("ada", Role::Operator).await).await;
    let (store, now) = (console.service.services.store(), console.service.clock.now());
    let user = "u".repeat(512);
    for _ in 0..ROWS {
        console.service.login(&user).await.ok();
    }
    add_keys(&**store).await;
    add_callers(&**store, now).await;
    add_nodes(&**store, now).await;
    add_failures(&**store, now).await;
    let mut paths: Vec<String> = ROUTES
        .iter()
        .filter(|route| !route.is_form && route.rights != RouteRights::Nobody)
        .map(|route| route.path.to_owned())
        .collect();
    paths.extend(
        ["keys?from=500", "callers?page=9", "failures?span=1h", "failures?span=7d"]
            .map(|path| format!("/console/{path}")),
    );
    for path in paths {
        // A store that stands still under other tests makes a page late; this one is about sizes.
        eventually(async || {
            let answer = console.get(&path, &ada.cookie).await;
            let is_there = answer.status != 503;
            if is_there {
                is_small(&path, &text(&answer.ok()));
            }
            is_there
        })
        .await;
    }
    let found = console.form("/console/users", &ada.cookie, &[("csrf", &ada.csrf), ("user", &user)]).await;
    let page = text(&found.ok());
    assert!(page.contains(&user) && page.contains("older ones are not shown"), "{page}");
    is_small("a user", &page);
}

fn is_small(path: &str, page: &str) {
    assert!(page.len() <= LARGEST, "{path}: {} bytes", page.len());
    let requests = 1 + page.matches(" src=\"").count() + page.matches("<link ").count();
    assert!(requests <= MOST_REQUESTS, "{path}: {requests} requests");
}

#[tokio::test]
async fn what_braze_said_is_shown_again_for_half_a_minute() {
    let console = Console::new().await;
    let ada = console.login(&console.operator("ada", Role::Operator).await).await;
    let asked = async |path: &str| {
        let page = text(&console.get(path, &ada.cookie).await.ok());
        let (_, rest) = page.split_once(">As of <time").unwrap();
        rest.split_once("datetime=\"").unwrap().1.split('"').next().unwrap().to_owned()
    };
    let first = asked("/console/rotation").await;
    console.service.clock.forward(Duration::from_secs(29));
    assert_eq!(asked("/console/rotation").await, first, "it is not asked again");
    console.service.clock.forward(Duration::from_secs(1));
    let second = asked("/console/rotation").await;
    assert_ne!(second, first, "after half a minute it is");

    // A key that was made meanwhile is a change that the answer does not know.
    console.service.clock.forward(Duration::from_secs(1));
    let keys = text(&console.get("/console/keys", &ada.cookie).await.ok());
    let fields = [
        ("csrf", ada.csrf.as_str()),
        ("version", &super::field(&keys, "version")),
        ("shown", &super::field(&keys, "shown").replace("&#10;", "\n")),
        ("ring", "main"),
        ("bits", "2048"),
    ];
    assert_eq!(console.form("/console/keys/generate", &ada.cookie, &fields).await.status, 303);
    assert_ne!(asked("/console/rotation").await, second);
}
