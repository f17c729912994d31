//! Revocations with several nodes: done only once every node that may answer without the store knows of them.

use std::{sync::Arc, time::Duration};

use countersign::{
    clock::{Clock, SystemClock, UnixMillis},
    domain::ids::UserHash,
    outage::FRESH,
    store::{self, Config, Store},
    telemetry::Metrics,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::support::{
    Answer,
    service::run,
    switched_store::Reach,
    test_service::{CONFIG, TestClock, TestService},
};
use crate::{
    cli::eventually,
    support::domain::{actor, user},
};

const HOUR: Duration = Duration::from_hours(1);
/// Time after which nobody waits for a node that says nothing.
const SILENT: u32 = 31;

/// Two nodes on one store, with one clock; both follow what ends.
async fn two_nodes(config: &str) -> (TestService, TestService) {
    let one = TestService::with(config).await;
    let other = one.beside(Arc::clone(&one.clock)).await;
    for node in [&one, &other, &one] {
        node.look().await;
    }
    (one, other)
}

/// Runs a future to its end, while the nodes look.
async fn while_they_look<T>(nodes: [&TestService; 2], work: impl Future<Output = T>) -> T {
    let looking = async {
        loop {
            for node in nodes {
                node.look().await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        done = work => done,
        () = looking => unreachable!("looking does not end"),
    }
}

/// Passes time in which only `node` works.
async fn silence(node: &TestService) {
    node.run(SILENT).await;
}

/// Revokes until that is done, while the nodes look. A machine that stands still for 3 s makes one revocation pending,
/// and not all of them.
async fn revoke_while_they_look(nodes: [&TestService; 2], link: &str) {
    for _ in 0..20 {
        let answer = while_they_look(nodes, nodes[1].revoke(link)).await.ok().json();
        if answer == json!({ "status": "success" }) {
            return;
        }
        assert_eq!(answer["status"], "pending", "{answer}");
    }
    panic!("no revocation is done");
}

#[track_caller]
fn assert_done(answer: Answer) {
    assert_eq!(answer.ok().json(), json!({ "status": "success" }));
}

#[tokio::test]
async fn one_node_alone_waits_for_nobody_and_asks_nothing() {
    let service = TestService::new().await;
    service.look().await;
    let link = service.session("u-1").await;
    let before = service.switch.calls();
    assert_done(service.revoke(&link).await);
    assert_eq!(service.switch.calls(), before + 1, "the end itself, and no more");
    service.switch.set(Reach::OutOfReach);
    service.refresh(&link).await.problem(401, "invalid_token");
}

#[tokio::test]
async fn a_revocation_is_pending_until_the_other_node_knows_it() {
    let (one, other) = two_nodes(CONFIG).await;
    let [first, second] = [one.session("u-1").await, one.session("u-1").await];
    let looked = other.clock.now();
    silence(&one).await;
    let answer = one.revoke(&first).await.ok().json();
    assert_eq!(answer["status"], "pending", "{answer}");
    assert_eq!(answer["pending_nodes"], 1, "{answer}");
    let until = answer["pending_until"].as_i64().unwrap();
    let promised = looked.plus(HOUR).0..=looked.plus(HOUR + Duration::from_secs(20)).0;
    assert!(promised.contains(&until), "{until} is not in {promised:?}");
    // That is what the other one does, if it is cut off now, and no longer.
    other.switch.set(Reach::OutOfReach);
    assert_eq!(other.refresh(&first).await.ok().json()["degraded"], true);
    other.clock.forward(HOUR);
    assert_eq!(other.refresh(&first).await.status, 503);
    other.switch.set(Reach::Reachable);
    other.run(2).await;
    // It looks again: the next revocation is done, and holds on both.
    revoke_while_they_look([&other, &one], &second).await;
    for node in [&one, &other] {
        node.switch.set(Reach::OutOfReach);
        node.refresh(&second).await.problem(401, "invalid_token");
        node.refresh(&first).await.problem(401, "invalid_token");
    }
}

#[tokio::test]
async fn a_node_whose_time_is_over_is_not_waited_for() {
    let (one, other) = two_nodes(CONFIG).await;
    let link = one.session("u-1").await;
    one.clock.forward(HOUR + Duration::from_mins(2));
    one.run(2).await;
    assert_done(one.revoke(&link).await);
    other.switch.set(Reach::OutOfReach);
    assert_eq!(other.refresh(&link).await.status, 503);
}

#[tokio::test]
async fn nodes_that_refuse_in_an_outage_are_not_waited_for() {
    let (one, other) = two_nodes(&format!("[store]\noutage = \"refuse\"\n{CONFIG}")).await;
    let link = one.session("u-1").await;
    silence(&one).await;
    assert_done(one.revoke(&link).await);
    other.switch.set(Reach::OutOfReach);
    assert_eq!(other.refresh(&link).await.status, 503);
}

#[tokio::test]
async fn a_node_that_shuts_down_is_not_waited_for() {
    let (one, other) = two_nodes(CONFIG).await;
    let link = one.session("u-1").await;
    other.services.store().forget_node(other.services.node_name()).await.unwrap();
    one.run(1).await;
    assert_done(one.revoke(&link).await);
}

/// Those that end sessions wait for a node from its first report on. It relies on that report only later.
#[tokio::test]
async fn a_node_that_has_just_started_says_what_it_knows_at_once() {
    let service = TestService::new().await;
    service.session("u-1").await;
    let agent = tokio::spawn(service.wiring.ends_agent().run());
    let store = service.switch.store();
    let report = async || store.followers(UnixMillis(0)).await.unwrap().pop();
    eventually(async || report().await.is_some()).await;
    service.operator.users().revoke(&user("u-1"), None).await.unwrap();
    let position = store.ends_position().await.unwrap();
    // The clock stands still, so that nobody has read its first report yet.
    eventually(async || report().await.is_some_and(|node| node.position >= position)).await;
    let promised = || service.services.outage().ended.promised();
    assert_eq!(promised(), None);
    service.clock.forward(2 * FRESH);
    eventually(async || promised().is_some()).await;
    agent.abort();
}

#[tokio::test]
async fn a_revocation_is_refused_while_the_store_is_out_of_reach() {
    let (one, _other) = two_nodes(CONFIG).await;
    let link = one.session("u-1").await;
    one.switch.set(Reach::OutOfReach);
    assert_eq!(one.revoke(&link).await.status, 503);
    one.switch.set(Reach::NotWritable);
    assert_eq!(one.revoke(&link).await.status, 503);
}

/// A look that fails may have seen a part only; the next one begins with everything that stands.
#[tokio::test]
async fn an_opt_in_that_a_node_could_not_see_is_known_after_the_outage() {
    let (one, other) = two_nodes(CONFIG).await;
    let link = one.session("u-1").await;
    let user = user("u-1");
    one.operator.users().opt_out(&user, None).await.unwrap();
    other.look().await;
    other.switch.set(Reach::OutOfReach);
    other.refresh(&link).await.problem(403, "opted_out");
    one.operator.users().opt_in(&user, None).await.unwrap();
    other.run(5).await;
    other.switch.set(Reach::Reachable);
    other.run(2).await;
    other.switch.set(Reach::OutOfReach);
    assert_eq!(other.refresh(&link).await.ok().json()["degraded"], true);
}

/// The log of ends is kept for two days.
#[tokio::test]
async fn what_ended_in_a_long_gap_is_read_from_the_tables() {
    let (one, other) = two_nodes(CONFIG).await;
    let links = [one.session("u-1").await, one.session("u-1").await];
    assert_eq!(one.revoke(&links[0]).await.ok().json()["status"], "pending");
    for _ in 0..50 {
        one.clock.forward(HOUR);
        one.run(10).await;
    }
    other.run(2).await;
    other.switch.set(Reach::OutOfReach);
    let ended = other.refresh(&links[0]).await;
    assert!([401, 503].contains(&ended.status), "{}", ended.status);
    assert_eq!(other.refresh(&links[1]).await.ok().json()["degraded"], true);
}

#[tokio::test]
async fn the_age_of_what_is_known_is_exported() {
    let service = TestService::new().await;
    service.run(2).await;
    assert_eq!(service.metric("countersign_revocation_staleness_seconds"), 0.0);
    assert_eq!(service.metric("countersign_ended_sessions_covered"), 1.0);
    service.switch.set(Reach::OutOfReach);
    service.run(90).await;
    assert_eq!(service.metric("countersign_revocation_staleness_seconds"), 90.0);
    service.switch.set(Reach::Reachable);
    service.run(2).await;
    assert_eq!(service.metric("countersign_revocation_staleness_seconds"), 0.0);
}

/// Opts users out at that time, or in; no more at once than a slow machine does within the time of a request.
async fn opt_all(store: &Arc<dyn Store>, users: &[UserHash], out: Option<UnixMillis>) {
    for users in users.chunks(500) {
        let mut changes = JoinSet::new();
        for user in users {
            let (store, user) = (Arc::clone(store), *user);
            changes.spawn(async move {
                match out {
                    Some(now) => store.opt_out(user, None, now, &actor()).await,
                    None => store.opt_in(user, None, UnixMillis(0), &actor()).await,
                }
            });
        }
        assert!(changes.join_all().await.into_iter().all(Result::unwrap));
    }
}

/// Then nothing is known of anybody: 503, never 401, and the operator is told, until there is room again.
#[tokio::test]
async fn more_opt_outs_than_there_is_memory_for_are_reported() {
    /// Of `outage_memory_mib = 8`.
    const ROOM: u32 = 17_000;
    let service = TestService::with(&format!("{CONFIG}[store]\noutage_memory_mib = 8\n")).await;
    let link = service.session("u-1").await;
    let (store, now) = (service.switch.store(), service.clock.now());
    let users: Vec<_> =
        (0..ROOM + 1000).map(|user| UserHash([user.to_be_bytes(); 8].concat().try_into().unwrap())).collect();
    opt_all(&store, &users, Some(now)).await;
    service.run(2).await;
    assert_eq!(service.metric("countersign_ended_sessions_covered"), 0.0);
    assert!(service.metric("countersign_ended_sessions_memory_bytes") < f64::from(8 << 20));
    service.switch.set(Reach::OutOfReach);
    service.refresh(&link).await.problem(503, "unavailable");
    service.generate(&json!({ "app": "web", "user_id": "u-2" })).await.problem(503, "unavailable");
    service.switch.set(Reach::Reachable);
    opt_all(&store, &users, None).await;
    service.run(700).await;
    assert_eq!(service.metric("countersign_ended_sessions_covered"), 1.0);
    service.switch.set(Reach::OutOfReach);
    assert_eq!(service.refresh(&link).await.ok().json()["degraded"], true);
}

/// A node that was heard of so many seconds ago, by the clock that commands read.
async fn node_of_now(beside: &TestService, silent: u64) -> TestService {
    let now = SystemClock.now().minus(Duration::from_secs(silent));
    let node = beside.beside(Arc::new(TestClock::at(now))).await;
    node.look().await;
    node
}

#[tokio::test]
async fn a_command_names_the_nodes_that_may_not_know_and_ends_with_5() {
    let service = TestService::new().await;
    service.session("u-1").await;
    let node = node_of_now(&service, 40).await;
    let name = node.services.node_name().to_owned();
    let folder = service.folder();
    for arguments in
        [&["users", "revoke", "u-1"][..], &["users", "opt-out", "u-1"], &["users", "revoke", "--everyone", "--yes"]]
    {
        let (code, out, err) = run(arguments, folder);
        assert_eq!(code, 5, "{arguments:?}: {out}{err}");
        assert!(out.contains(&format!("  {name} until ")), "{out}");
    }
    let (code, out, _) = run(&["users", "revoke", "u-1", "--json"], folder);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer["ended"], &answer["pending"][0]["node"]), (5, &json!(0), &json!(name)), "{answer}");
    let until = answer["pending"][0]["serves_until"].as_i64().unwrap();
    assert!(until > SystemClock.now().plus(Duration::from_mins(50)).0, "{answer}");
    let (code, out, err) = run(&["users", "opt-in", "u-1"], folder);
    assert_eq!(code, 0, "an opt-in waits for nobody: {out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_ends_with_0_once_every_node_knows() {
    let service = TestService::new().await;
    service.session("u-1").await;
    let node = node_of_now(&service, 0).await;
    for attempt in 0..20 {
        let folder = service.folder().to_owned();
        let command = tokio::task::spawn_blocking(move || run(&["users", "revoke", "u-1"], &folder));
        let (code, out, err) = while_they_look([&node, &node], command).await.unwrap();
        let ended = u8::from(attempt == 0);
        assert!(out.starts_with(&format!("{ended} live sessions ended.\n")), "{out}{err}");
        if code == 0 {
            return assert_eq!(out.lines().count(), 1, "{out}");
        }
        assert_eq!(code, 5, "the machine stood still for 3 s: {out}{err}");
    }
    panic!("no command ends with 0");
}

/// A store that took over may have lost writes, and count anew: what ended there has numbers that were followed already.
#[tokio::test]
async fn what_ends_in_a_store_that_counts_anew_is_known() {
    let service = TestService::new().await;
    let [lost, kept, live] = [service.session("u-1").await, service.session("u-1").await, service.session("u-1").await];
    let copy = Config { path: service.folder().join("copy.db"), ..service.settings.store() };
    service.services.store().backup(copy.path.clone()).await.unwrap();
    service.look().await;
    service.revoke(&lost).await.ok();
    service.run(2).await;
    service.switch.fail_over(store::open(&copy, Metrics::new()).await.unwrap());
    service.revoke(&kept).await.ok();
    service.run(3).await;
    service.switch.set(Reach::OutOfReach);
    for link in [&kept, &lost] {
        service.refresh(link).await.problem(401, "invalid_token");
    }
    assert_eq!(service.refresh(&live).await.ok().json()["degraded"], true);
}
