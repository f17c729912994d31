//! An hour without the store.

use serde_json::json;

use super::{Deployment, Engine, MINUTE, Reach, SECOND, is_degraded, on_both_stores};
use crate::support::{Answer, domain::user};

const DEVICES: usize = 8;

on_both_stores! {
    /// Every login and every valid refresh is answered; afterwards no session is lost, and no reuse is found where there is none.
    an_hour_without_the_store
    /// What a commit leaves behind whose answer is lost is a repetition.
    an_hour_of_lost_answers
    /// The row is read, and nothing is written.
    an_hour_on_a_full_disk
}

/// A device, and the number of its session's counter.
struct Device {
    token: String,
    counter: u64,
}

impl Device {
    fn of(site: &Deployment, answer: &Answer) -> Self {
        let token = answer.text("refresh_token");
        Self { counter: site.contents(&token).counter, token }
    }
}

/// Ends a session of each kind; their refresh tokens with the answer that is due.
async fn ended(site: &Deployment) -> Vec<(String, u16, &'static str)> {
    let node = &site.nodes[0];
    let [revoked, logged_out, opted_out, evicted] = [
        node.session("revoked").await,
        node.session("out").await,
        node.session("opted").await,
        node.session("many").await,
    ];
    for _ in 0..2 {
        site.pass(SECOND).await;
        node.session("many").await;
    }
    node.operator.users().revoke(&user("revoked"), None).await.unwrap();
    node.operator.users().opt_out(&user("opted"), None).await.unwrap();
    node.revoke(&logged_out).await.ok();
    let dead = [revoked, logged_out, evicted].map(|token| (token, 401, "invalid_token"));
    dead.into_iter().chain([(opted_out, 403, "opted_out")]).collect()
}

async fn an_hour(engine: Engine, reach: Reach) {
    let site = Deployment::on(engine, 2, "max_sessions_per_user = 2", "").await;
    let ended = ended(&site).await;
    let mut devices = Vec::new();
    for n in 0..DEVICES {
        devices.push(Device::of(&site, &site.nodes[n % 2].login(&format!("u-{n}")).await));
    }
    site.pass(SECOND).await;
    site.reach(reach);
    // The outage is counted from the last look at what ended.
    for minute in 0..59 {
        site.pass(MINUTE).await;
        let node = &site.nodes[minute % 2];
        for (token, status, code) in &ended {
            node.refresh(token).await.problem(*status, code);
        }
        node.generate(&json!({ "app": "web", "user_id": "opted" })).await.problem(403, "opted_out");
        for (at, device) in devices.iter_mut().enumerate() {
            // The first ones ask each minute, the others now and then.
            if at < DEVICES || at % 10 == minute % 10 {
                let answer = site.nodes[(at + minute) % 2].refresh(&device.token).await;
                assert!(is_degraded(&answer), "minute {minute}, device {at}");
                let next = Device::of(&site, &answer);
                assert_eq!(next.counter, device.counter, "nothing moves on");
                *device = next;
            }
        }
        let login = node.login(&format!("new-{minute}")).await;
        assert!(is_degraded(&login));
        devices.push(Device::of(&site, &login));
    }
    after_it(&site, devices, reach, &ended).await;
}

async fn after_it(site: &Deployment, devices: Vec<Device>, reach: Reach, ended: &[(String, u16, &'static str)]) {
    site.pass(2 * MINUTE).await;
    if reach == Reach::OutOfReach {
        let late = site.nodes[0].refresh(&devices[0].token).await.problem(503, "unavailable");
        assert!(!late.header("retry-after").is_empty());
        site.nodes[1].generate(&json!({ "app": "web", "user_id": "late" })).await.problem(503, "unavailable");
    }
    site.recover().await;
    for (at, device) in devices.iter().enumerate() {
        let answer = site.nodes[at % 2].refresh(&device.token).await;
        assert!(!is_degraded(&answer), "device {at}");
        assert_eq!(Device::of(site, &answer).counter, device.counter + 1, "one generation, device {at}");
        assert_eq!(site.row(&device.token).await.unwrap().counter, device.counter + 1);
    }
    for (token, status, code) in ended {
        site.nodes[0].refresh(token).await.problem(*status, code);
    }
    assert_eq!((site.alarms("reuse"), site.alarms("store_lost_writes")), (0.0, 0.0));
}

async fn an_hour_without_the_store(engine: Engine) {
    an_hour(engine, Reach::OutOfReach).await;
}

async fn an_hour_of_lost_answers(engine: Engine) {
    an_hour(engine, Reach::AnswersLost).await;
}

async fn an_hour_on_a_full_disk(engine: Engine) {
    an_hour(engine, Reach::NotWritable).await;
}
