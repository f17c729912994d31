//! A store that comes back without its last writes, and one that vanishes.

use std::sync::Arc;

use countersign::{store, store::Store, telemetry::Metrics};

use super::{Deployment, Engine, MINUTE, Reach, SECOND, is_degraded, on_both_stores};
use crate::support::{
    domain::user,
    postgres::Database,
    test_service::{CONFIG, TestService},
};

on_both_stores! {
    /// Honest devices go on, ahead of the store, and the alarm says why.
    a_replica_that_lags_takes_over
}

/// A copy of the store as it is now, opened.
async fn replica(site: &Deployment) -> (Arc<dyn Store>, Option<Database>) {
    let node = &site.nodes[0];
    let mut config = node.settings.store();
    let copy = site.database.as_ref().map(Database::dump_and_restore);
    if let Some(copy) = &copy {
        config.url = Some(copy.url());
    } else {
        config.path.set_file_name("replica.db");
        node.switch.store().backup(config.path.clone()).await.unwrap();
    }
    (store::open(&config, Metrics::new()).await.unwrap(), copy)
}

async fn a_replica_that_lags_takes_over(engine: Engine) {
    let site = Deployment::on(engine, 2, "", "").await;
    let [one, two] = [&site.nodes[0], &site.nodes[1]];
    let mut tokens = Vec::new();
    for n in 0..6 {
        tokens.push(one.session(&format!("u-{n}")).await);
    }
    one.operator.users().revoke(&user("u-0"), None).await.unwrap();
    let (replica, _database) = replica(&site).await;
    // These writes do not reach the replica.
    one.operator.users().revoke(&user("u-1"), None).await.unwrap();
    for token in &mut tokens[2..] {
        for _ in 0..3 {
            *token = one.refresh(token).await.ok().text("refresh_token");
        }
    }
    site.pass(SECOND).await;
    site.reach(Reach::OutOfReach);
    site.pass(MINUTE).await;
    for token in &tokens[..2] {
        two.refresh(token).await.problem(401, "invalid_token");
    }
    assert!(is_degraded(&two.refresh(&tokens[2]).await));
    site.nodes.iter().for_each(|node| node.switch.fail_over(Arc::clone(&replica)));
    site.recover().await;
    for (at, token) in tokens.iter_mut().enumerate().skip(2) {
        let answer = site.nodes[at % 2].refresh(token).await;
        assert!(!is_degraded(&answer));
        *token = answer.text("refresh_token");
        assert_eq!(site.contents(token).counter, 4);
    }
    assert_eq!((site.alarms("store_lost_writes"), site.alarms("reuse")), (4.0, 0.0));
    one.refresh(&tokens[0]).await.problem(401, "invalid_token");
    // Ends of the new store are followed, whatever numbers it counts with.
    one.operator.users().revoke(&user("u-2"), None).await.unwrap();
    site.pass(SECOND).await;
    site.reach(Reach::OutOfReach);
    site.pass(SECOND).await;
    for node in &site.nodes {
        node.refresh(&tokens[2]).await.problem(401, "invalid_token");
        assert!(is_degraded(&node.refresh(&tokens[3]).await));
    }
}

/// It is no outage: a store that is gone may be another one when it comes back.
#[tokio::test]
async fn a_vanished_file_is_refused() {
    let service = TestService::with(CONFIG).await;
    let token = service.session("u-1").await;
    service.run(2).await;
    std::fs::remove_file(service.settings.store().path).unwrap();
    service.run(11).await;
    service.refresh(&token).await.problem(503, "unavailable");
    assert_eq!(service.metric(r#"countersign_degraded_answers_total{app="web",operation="refresh"}"#), 0.0);
}
