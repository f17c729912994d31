//! Answers while the store is out of reach, through HTTP: what is served, what is refused, and what is found afterwards.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use countersign::{
    clock::Clock,
    domain::{
        refresh_token::{Contents, unseal},
        sealing::SealingKeys,
        session::Ended,
    },
};
use http::{Request, header};
use serde_json::json;

use super::support::{
    Answer,
    domain::user,
    jwt::{RSA, TestProvider, published},
    switched_store::Reach,
    test_service::{CONFIG, TestService, post},
    verified_claims,
};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A service that has looked at what has ended.
async fn service() -> TestService {
    with(CONFIG).await
}

async fn with(config: &str) -> TestService {
    let service = TestService::with(config).await;
    service.tick().await;
    service
}

fn contents(service: &TestService, refresh_token: &str) -> Contents {
    (*unseal(refresh_token, &SealingKeys::derive(service.settings.sealing())).unwrap()).clone()
}

/// The store is out of reach, or what else; the node's background work has not noticed.
fn lose(service: &TestService, reach: Reach) {
    service.switch.set(reach);
}

/// The store is in reach again, and the node's background work has noticed.
async fn recover(service: &TestService) {
    lose(service, Reach::Reachable);
    service.run(2).await;
}

#[track_caller]
fn assert_degraded(answer: &Answer) {
    assert_eq!(answer.json()["degraded"], true, "{}", answer.json());
    assert!(answer.json()["expires_in"].as_u64().unwrap() <= 900, "{}", answer.json());
}

#[track_caller]
fn assert_normal(answer: &Answer) {
    assert_eq!(answer.json().get("degraded"), None, "{}", answer.json());
    assert!(answer.json()["expires_in"].as_u64().unwrap() > 900, "{}", answer.json());
}

fn degraded(service: &TestService, operation: &str) -> f64 {
    service.metric(&format!(r#"countersign_degraded_answers_total{{app="web",operation="{operation}"}}"#))
}

fn alarms(service: &TestService, kind: &str) -> f64 {
    service.metric(&format!(r#"countersign_alarms_total{{kind="{kind}"}}"#))
}

#[tokio::test]
async fn a_refresh_gives_a_short_token_and_the_presented_link_unchanged() {
    let service = service().await;
    let first = service.session("u-1").await;
    let second = service.refresh(&first).await.ok().text("refresh_token");
    lose(&service, Reach::OutOfReach);
    service.clock.forward(40 * MINUTE);
    let answer = service.refresh(&second).await.ok();
    assert_degraded(&answer);
    let claims = verified_claims(&answer.text("token"), &service.public_key);
    assert_eq!(claims["sub"], "u-1");
    assert_eq!(claims["exp"], service.clock.now().seconds() + 900);
    let link = answer.text("refresh_token");
    assert_ne!(link, second, "sealed again");
    assert_eq!(contents(&service, &link), contents(&service, &second));
    assert_eq!(degraded(&service, "refresh"), 1.0);
    recover(&service).await;
    let answer = service.refresh(&link).await.ok();
    assert_normal(&answer);
    assert_eq!(contents(&service, &answer.text("refresh_token")).counter, 2);
    assert_eq!(service.metric(r#"countersign_refreshes_total{app="web",decision="rotate"}"#), 2.0);
}

#[tokio::test]
async fn a_login_gives_a_session_that_is_put_on_record_at_its_first_refresh() {
    let service = service().await;
    lose(&service, Reach::OutOfReach);
    let login = service.login("u-1").await;
    assert_degraded(&login);
    let link = login.text("refresh_token");
    assert!(contents(&service, &link).unwritten);
    let again = service.refresh(&link).await.ok();
    assert_degraded(&again);
    assert_eq!(contents(&service, &again.text("refresh_token")), contents(&service, &link));
    assert_eq!(degraded(&service, "mint"), 1.0);
    recover(&service).await;
    let user = user("u-1");
    assert!(service.operator.users().sessions(&user).await.unwrap().is_empty());
    let answer = service.refresh(&link).await.ok();
    assert_normal(&answer);
    let next = contents(&service, &answer.text("refresh_token"));
    assert_eq!((next.counter, next.unwritten), (1, false));
    let rows = service.operator.users().sessions(&user).await.unwrap();
    assert_eq!(rows.len(), 1);
    let first = contents(&service, &link);
    assert_eq!((rows[0].id, rows[0].created, rows[0].expires), (first.session, first.issued, first.expires));
    // The copy that the answer of the outage was is one behind, and no theft.
    service.refresh(&again.text("refresh_token")).await.ok();
    assert_eq!(alarms(&service, "reuse"), 0.0);
}

/// The request gets an answer without the store, and its write is committed all the same.
#[tokio::test]
async fn a_write_that_was_committed_after_its_release_makes_a_repetition_and_no_reuse() {
    let service = service().await;
    let first = service.session("u-1").await;
    lose(&service, Reach::AnswersLost);
    let answer = service.refresh(&first).await.ok();
    assert_degraded(&answer);
    let login = service.login("u-2").await;
    assert_degraded(&login);
    recover(&service).await;
    // Much later, too: within the retry window.
    service.clock.forward(HOUR);
    let again = service.refresh(&answer.text("refresh_token")).await.ok();
    assert_normal(&again);
    assert_eq!(contents(&service, &again.text("refresh_token")).counter, 1);
    assert_eq!(service.metric(r#"countersign_refreshes_total{app="web",decision="repeat"}"#), 1.0);
    service.refresh(&again.text("refresh_token")).await.ok();
    let second = service.refresh(&login.text("refresh_token")).await.ok();
    assert_eq!(contents(&service, &second.text("refresh_token")).counter, 1);
    let rows = service.operator.users().sessions(&user("u-2")).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.ended.is_none()).count(), 1, "the one that nobody got has ended");
    assert_eq!(alarms(&service, "reuse") + alarms(&service, "store_lost_writes"), 0.0);
}

/// An ordinary login looks for no end of its user; so the session that is handed out must not be the one whose write is
/// still on its way.
#[tokio::test]
async fn a_login_whose_write_comes_late_outlives_no_end_of_its_user() {
    let service = service().await;
    lose(&service, Reach::Late);
    let link = service.session("u-1").await;
    recover(&service).await;
    service.clock.forward(MINUTE);
    service.operator.users().revoke(&user("u-1"), None).await.unwrap();
    service.switch.deliver().await;
    service.refresh(&link).await.problem(401, "invalid_token");
}

/// The clock of whoever revokes decides nothing for a session on record; for this one it must not either.
#[tokio::test]
async fn an_operator_whose_clock_is_behind_ends_a_session_that_is_not_on_record() {
    let service = service().await;
    lose(&service, Reach::OutOfReach);
    let link = service.session("u-1").await;
    recover(&service).await;
    service.run(60).await;
    service.clock.set_by(-600);
    service.operator.users().revoke(&user("u-1"), None).await.unwrap();
    service.clock.set_by(600);
    service.tick().await;
    service.refresh(&link).await.problem(401, "invalid_token");
}

/// A slow store costs one time-out, not one a request.
#[tokio::test]
async fn those_who_wait_for_a_store_that_hangs_are_answered_when_one_times_out() {
    let service = Arc::new(service().await);
    let mut links = Vec::new();
    for user in 0..20 {
        links.push(service.session(&format!("u-{user}")).await);
    }
    lose(&service, Reach::Hanging);
    let requests: Vec<_> = links
        .iter()
        .map(|link| {
            let (service, link) = (Arc::clone(&service), link.clone());
            tokio::spawn(async move { service.refresh(&link).await })
        })
        .collect();
    while service.switch.waiting() < 20 {
        tokio::task::yield_now().await;
    }
    let calls = service.switch.calls();
    service.switch.time_out();
    for request in requests {
        assert_degraded(&request.await.unwrap().ok());
    }
    for link in &links {
        assert_degraded(&service.refresh(link).await.ok());
    }
    assert_degraded(&service.login("u-1").await);
    assert_eq!(service.switch.calls(), calls, "nobody asks the store any more");
    assert_eq!(alarms(&service, "store"), 1.0);
}

#[tokio::test]
async fn one_second_after_the_store_answers_again_it_is_asked_again() {
    let service = service().await;
    let link = service.session("u-1").await;
    lose(&service, Reach::OutOfReach);
    assert_degraded(&service.refresh(&link).await.ok());
    service.run(90).await;
    assert_eq!(service.metric("countersign_store_outage_seconds"), 89.0);
    assert_eq!(alarms(&service, "store"), 1.0, "one alarm, whoever noticed");
    let ready = Request::get("/readyz").body(Body::empty()).unwrap();
    assert_eq!(service.send(ready).await.status, 200, "what all nodes share takes none out");
    lose(&service, Reach::Reachable);
    assert_degraded(&service.refresh(&link).await.ok());
    service.run(1).await;
    assert_normal(&service.refresh(&link).await.ok());
    assert_eq!(service.metric("countersign_store_outage_seconds"), 0.0);
}

#[tokio::test]
async fn a_store_that_is_read_and_not_written_decides_all_the_same() {
    let service = service().await;
    let first = service.session("u-1").await;
    let second = service.refresh(&first).await.ok().text("refresh_token");
    let other = service.session("u-2").await;
    let copied = service.session("u-3").await;
    let newer = service.refresh(&copied).await.ok().text("refresh_token");
    service.refresh(&newer).await.ok();
    lose(&service, Reach::NotWritable);
    service.clock.forward(MINUTE);
    let repeated = service.refresh(&first).await.ok();
    assert_normal(&repeated);
    assert_eq!(contents(&service, &repeated.text("refresh_token")).counter, 1);
    let answer = service.refresh(&second).await.ok();
    assert_degraded(&answer);
    assert_eq!(contents(&service, &answer.text("refresh_token")), contents(&service, &second));
    assert_degraded(&service.refresh(&other).await.ok());
    service.refresh(&copied).await.problem(401, "invalid_token");
    assert_eq!(alarms(&service, "reuse"), 1.0);
    // The end could not be written, and holds here: the newest link, which the thief or the device has, is refused, too.
    service.refresh(&newer).await.problem(401, "invalid_token");
    lose(&service, Reach::OutOfReach);
    service.refresh(&newer).await.problem(401, "invalid_token");
    recover(&service).await;
    let rows = service.operator.users().sessions(&user("u-3")).await.unwrap();
    assert_eq!(rows[0].ended, Some(Ended::Reused), "written as soon as it could be");
    service.refresh(&newer).await.problem(401, "invalid_token");
}

#[tokio::test]
async fn what_had_ended_is_refused_and_the_others_are_not() {
    let service = service().await;
    let [out, revoked, logged_out, evicted] = ["out", "revoked", "logged-out", "evicted"];
    let logins = [out, revoked, logged_out].map(|user| service.session(user));
    let [out_link, revoked_link, logged_out_link] = in_turn(logins).await;
    let users = service.operator.users();
    users.opt_out(&user(out), None).await.unwrap();
    users.revoke(&user(revoked), None).await.unwrap();
    service.revoke(&logged_out_link).await.ok();
    let oldest = service.session(evicted).await;
    for _ in 0..50 {
        service.clock.forward(Duration::from_secs(1));
        service.session(evicted).await;
    }
    let live = service.session("live").await;
    service.run(2).await;
    lose(&service, Reach::OutOfReach);
    service.refresh(&out_link).await.problem(403, "opted_out");
    service.generate(&json!({ "app": "web", "user_id": out })).await.problem(403, "opted_out");
    for link in [&revoked_link, &logged_out_link, &oldest] {
        service.refresh(link).await.problem(401, "invalid_token");
    }
    assert_degraded(&service.refresh(&live).await.ok());
    assert_degraded(&service.login(revoked).await);
}

async fn in_turn<const N: usize>(logins: [impl Future<Output = String>; N]) -> [String; N] {
    let mut done = Vec::new();
    for login in logins {
        done.push(login.await);
    }
    done.try_into().unwrap()
}

#[tokio::test]
async fn nothing_is_served_past_the_limit_or_where_it_is_switched_off() {
    let service = service().await;
    let link = service.session("u-1").await;
    lose(&service, Reach::OutOfReach);
    service.clock.forward(59 * MINUTE);
    assert_degraded(&service.refresh(&link).await.ok());
    service.clock.forward(2 * MINUTE);
    service.refresh(&link).await.problem(503, "unavailable");
    service.generate(&json!({ "app": "web", "user_id": "u-2" })).await.problem(503, "unavailable");
    recover(&service).await;
    service.refresh(&link).await.ok();

    let service = with(&format!("[store]\noutage = \"refuse\"\n{CONFIG}")).await;
    let link = service.session("u-1").await;
    lose(&service, Reach::OutOfReach);
    service.refresh(&link).await.problem(503, "unavailable");
    service.generate(&json!({ "app": "web", "user_id": "u-2" })).await.problem(503, "unavailable");
}

/// What the operator reads of the store.
fn store_fault(service: &TestService) -> Option<String> {
    let conditions = service.state.readiness.report(false).conditions;
    conditions.into_iter().find(|condition| condition.name == "store").unwrap().reason
}

#[tokio::test]
async fn the_condition_of_the_store_says_what_is_answered_without_it() {
    for reach in [Reach::OutOfReach, Reach::NotWritable] {
        let service = service().await;
        let link = service.session("u-1").await;
        lose(&service, reach);
        service.refresh(&link).await.ok();
        service.run(2).await;
        let why = store_fault(&service).unwrap();
        assert!(why.contains("does not answer") && why.contains("are answered without it"), "{why}");
        // Where it is read all the time, the limit counts from the last report to the other nodes.
        service.run(61 * 60).await;
        service.refresh(&link).await.problem(503, "unavailable");
        let why = store_fault(&service).unwrap();
        assert!(why.contains("Logins and refreshes get 503: ") && why.contains("store.outage_limit"), "{why}");
        assert!(service.metric("countersign_store_outage_seconds") > 3600.0);
        recover(&service).await;
        assert_eq!(store_fault(&service), None);
    }
}

#[tokio::test]
async fn a_node_that_has_not_looked_serves_nothing_without_the_store() {
    let service = TestService::new().await;
    let link = service.session("u-1").await;
    lose(&service, Reach::OutOfReach);
    service.refresh(&link).await.problem(503, "unavailable");
}

#[tokio::test]
async fn a_revocation_is_refused_and_not_promised() {
    let service = service().await;
    let link = service.session("u-1").await;
    for reach in [Reach::OutOfReach, Reach::NotWritable] {
        lose(&service, reach);
        service.revoke(&link).await.problem(503, "unavailable");
        recover(&service).await;
    }
    service.refresh(&link).await.ok();
}

#[tokio::test]
async fn a_session_begun_in_the_outage_can_be_revoked_after_it() {
    let service = service().await;
    lose(&service, Reach::OutOfReach);
    let link = service.login("u-1").await.text("refresh_token");
    recover(&service).await;
    service.revoke(&link).await.ok();
    service.revoke(&link).await.ok();
    service.refresh(&link).await.problem(401, "invalid_token");
    let rows = service.operator.users().sessions(&user("u-1")).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.ended).collect::<Vec<_>>(), [Some(Ended::Logout)]);
}

#[tokio::test]
async fn an_end_after_the_outage_reaches_a_session_that_is_not_on_record() {
    let service = service().await;
    lose(&service, Reach::OutOfReach);
    let logins = ["u-1", "u-2", "u-3"].map(|user| service.session(user));
    let [first, app, out] = in_turn(logins).await;
    recover(&service).await;
    let users = service.operator.users();
    users.revoke(&user("u-1"), None).await.unwrap();
    users.opt_out(&user("u-3"), None).await.unwrap();
    service.refresh(&first).await.problem(401, "invalid_token");
    service.refresh(&first).await.problem(401, "invalid_token");
    service.refresh(&out).await.problem(403, "opted_out");
    users.revoke_everyone(Some(&"web".parse().unwrap())).await.unwrap();
    service.refresh(&app).await.problem(401, "invalid_token");
    // A later login is not covered.
    service.clock.forward(Duration::from_secs(1));
    let later = service.session("u-1").await;
    service.refresh(&later).await.ok();
}

#[tokio::test]
async fn an_app_without_refreshing_gets_short_tokens() {
    let service = with(&format!("{CONFIG}\n[apps.web.refresh]\nenabled = false\n")).await;
    service.operator.users().opt_out(&user("u-2"), None).await.unwrap();
    service.run(2).await;
    lose(&service, Reach::OutOfReach);
    let answer = service.login("u-1").await;
    assert_degraded(&answer);
    assert_eq!(answer.json().get("refresh_token"), None);
    service.generate(&json!({ "app": "web", "user_id": "u-2" })).await.problem(403, "opted_out");
    lose(&service, Reach::NotWritable);
    service.run(1).await;
    assert_normal(&service.login("u-1").await);
}

#[tokio::test]
async fn an_operator_mints_with_the_store_only() {
    let service = service().await;
    let tokens = service.services.tokens(&service.settings).await.unwrap();
    lose(&service, Reach::OutOfReach);
    let minted = tokens.mint(&"web".parse().unwrap(), user("u-1"), None).await;
    assert!(minted.unwrap_err().to_string().contains("does not answer"));
}

#[tokio::test]
async fn a_shorter_life_stays_shorter_and_a_stopped_clock_answers_nothing() {
    let service = service().await;
    lose(&service, Reach::OutOfReach);
    let login = service.generate(&json!({ "app": "web", "user_id": "u-1", "ttl": 60 })).await.ok();
    assert_eq!(login.json()["expires_in"], 59, "whole seconds");
    let answer = service.refresh(&login.text("refresh_token")).await.ok();
    assert_eq!(answer.json()["expires_in"], 59);
    service.clock.set_by(3600);
    service.refresh(&login.text("refresh_token")).await.problem(503, "unavailable");
}

#[tokio::test]
async fn no_token_outlives_its_session() {
    let lives = "[apps.web.refresh]\nidle = \"24h\"\nabsolute = \"24h\"\n";
    let service = with(&format!("{CONFIG}\n{lives}")).await;
    let login = service.login("u-1").await;
    assert_eq!(login.json()["refresh_expires_in"], 86_400);
    assert_eq!(login.json()["session_expires_in"], 86_400);
    service.clock.forward(23 * HOUR + 50 * MINUTE);
    let answer = service.refresh(&login.text("refresh_token")).await.ok();
    let answer = answer.json();
    assert_eq!(answer["expires_in"], 599, "whole seconds");
    assert_eq!((&answer["refresh_expires_in"], &answer["session_expires_in"]), (&json!(600), &json!(600)));
    assert!(answer["refresh_in"].as_u64().unwrap() <= 450);
    service.clock.forward(9 * MINUTE);
    let link = answer["refresh_token"].as_str().unwrap();
    let answer = service.refresh(link).await.ok();
    assert_eq!(answer.json()["session_expires_in"], 60);
    service.clock.forward(Duration::from_millis(1));
    service.refresh(&answer.text("refresh_token")).await.problem(401, "expired_token");
    lose(&service, Reach::OutOfReach);
    service.refresh(&answer.text("refresh_token")).await.problem(401, "expired_token");
}

#[tokio::test]
async fn an_exchange_is_answered_but_for_a_login_that_has_ended() {
    let provider = TestProvider::start(&published()).await;
    let service = with(&format!("{CONFIG}{}", provider.config("web"))).await;
    let exchange = async |user: &str| {
        let credential = RSA.token(&provider.claims(user, service.clock.now().seconds()));
        let mut request = post("/v1/token/exchange", &json!({ "app": "web" }));
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {credential}").parse().unwrap());
        service.send(request).await
    };
    exchange("u-1").await.ok();
    lose(&service, Reach::OutOfReach);
    let login = exchange("u-1").await.ok();
    assert_degraded(&login);
    let link = contents(&service, &login.text("refresh_token"));
    assert!(link.unwritten && link.login.is_some());
    assert_degraded(&service.refresh(&login.text("refresh_token")).await.ok());
    recover(&service).await;
    let next = service.refresh(&login.text("refresh_token")).await.ok();
    assert_eq!(contents(&service, &next.text("refresh_token")).login, link.login);
}

/// The app may be missing in the configuration by mistake: a session that is not on record yet waits for its return, too.
#[tokio::test]
async fn a_session_begun_in_the_outage_waits_for_the_return_of_its_app() {
    let service = service().await;
    lose(&service, Reach::OutOfReach);
    let link = service.login("u-1").await.text("refresh_token");
    recover(&service).await;
    let config = service.settings.store().path.with_file_name("countersign.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[apps.web]", "[apps.other]")).unwrap();
    service.beside(Arc::clone(&service.clock)).await.refresh(&link).await.problem(503, "unavailable");
    assert_normal(&service.refresh(&link).await.ok());
}
