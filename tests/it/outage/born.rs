//! Sessions that began without the store, and ended before their rows were written.

use countersign::clock::Clock;
use http::header;
use serde_json::json;

use super::{DAY, Deployment, Engine, Reach, SECOND, is_degraded, on_both_stores};
use crate::support::{
    domain::user,
    jwt::{RSA, TestProvider},
    test_service::post,
};

const TIMES: &str = "[apps.web.refresh]\nidle = \"20d\"\nabsolute = \"40d\"\n";

on_both_stores! {
    /// Whatever ended the user or the app after the login is held by the insert.
    an_end_before_the_first_refresh_is_held
    /// A logout of the device puts the session on record as ended.
    a_logout_before_the_first_refresh_is_held
    /// A logout at the provider covers the login.
    a_logout_at_the_provider_before_the_first_refresh_is_held
    /// The row of a session that ended stays until no token of it is valid: none is born twice.
    a_purge_lets_no_session_be_born_twice
    /// Of many devices with one token one generation is made.
    a_first_refresh_on_two_nodes_makes_one_session
}

/// Logs users in without the store; their refresh tokens, once the store is back.
async fn logged_in<const N: usize>(site: &Deployment, users: [&str; N]) -> [String; N] {
    site.pass(SECOND).await;
    site.reach(Reach::OutOfReach);
    let mut tokens = users.map(str::to_owned);
    for token in &mut tokens {
        let answer = site.nodes[0].login(token).await;
        assert!(is_degraded(&answer));
        *token = answer.text("refresh_token");
        assert!(site.contents(token).unwritten);
    }
    site.recover().await;
    tokens
}

async fn an_end_before_the_first_refresh_is_held(engine: Engine) {
    let site = Deployment::on(engine, 1, "", "").await;
    let node = &site.nodes[0];
    let [everywhere, here, there, opted_out, live] =
        logged_in(&site, ["everywhere", "here", "there", "opted-out", "live"]).await;
    let users = node.operator.users();
    let [web, ios] = ["web", "ios"].map(|app| app.parse().unwrap());
    users.revoke(&user("everywhere"), None).await.unwrap();
    users.revoke(&user("here"), Some(&web)).await.unwrap();
    users.revoke(&user("there"), Some(&ios)).await.unwrap();
    users.opt_out(&user("opted-out"), None).await.unwrap();
    for token in [&everywhere, &here] {
        for _ in 0..2 {
            node.refresh(token).await.problem(401, "invalid_token");
        }
        assert!(site.row(token).await.unwrap().ended.is_some(), "it is on record as ended");
    }
    node.refresh(&opted_out).await.problem(403, "opted_out");
    assert!(!is_degraded(&node.refresh(&there).await), "another app's end");
    users.opt_in(&user("opted-out"), None).await.unwrap();
    assert!(!is_degraded(&node.refresh(&opted_out).await), "an opt-out can be undone");
    users.revoke_everyone(Some(&web)).await.unwrap();
    node.refresh(&live).await.problem(401, "invalid_token");
    // A login after the end is another session.
    site.pass(SECOND).await;
    let again = node.session("everywhere").await;
    assert!(!is_degraded(&node.refresh(&again).await));
}

async fn a_logout_before_the_first_refresh_is_held(engine: Engine) {
    let site = Deployment::on(engine, 1, "", "").await;
    let node = &site.nodes[0];
    let [token] = logged_in(&site, ["u-1"]).await;
    node.revoke(&token).await.ok();
    node.refresh(&token).await.problem(401, "invalid_token");
    site.pass(SECOND).await;
    site.reach(Reach::OutOfReach);
    node.refresh(&token).await.problem(401, "invalid_token");
}

async fn a_logout_at_the_provider_before_the_first_refresh_is_held(engine: Engine) {
    let provider = TestProvider::start(&[&RSA]).await;
    let site = Deployment::on(engine, 1, "", &provider.config("web")).await;
    let node = &site.nodes[0];
    let now = node.clock.now().seconds();
    let mut claims = provider.claims("u-1", now);
    claims["sid"] = json!("s-1");
    let id_token = RSA.token(&claims);
    let exchange = async || {
        let mut request = post("/v1/token/exchange", &json!({ "app": "web" }));
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {id_token}").parse().unwrap());
        node.send(request).await
    };
    site.reach(Reach::OutOfReach);
    let login = exchange().await;
    assert!(is_degraded(&login));
    let token = login.text("refresh_token");
    let sign_out = async || {
        let mut claims = provider.logout_claims("u-1", now);
        claims["sid"] = json!("s-1");
        let mut head = RSA.header();
        head["typ"] = json!("logout+jwt");
        let body = format!("logout_token={}", RSA.with_header(&head, &claims));
        let request = http::Request::post("/v1/sign-out/backchannel/web")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        node.send(request.body(body.into()).unwrap()).await
    };
    assert_eq!(sign_out().await.status, 503, "it is not promised");
    site.recover().await;
    sign_out().await.ok();
    node.refresh(&token).await.problem(401, "invalid_token");
    exchange().await.problem(401, "unauthorized");
    site.pass(SECOND).await;
    site.reach(Reach::OutOfReach);
    node.refresh(&token).await.problem(401, "invalid_token");
    exchange().await.problem(401, "unauthorized");
}

async fn a_purge_lets_no_session_be_born_twice(engine: Engine) {
    let site = Deployment::on(engine, 1, "", TIMES).await;
    let node = &site.nodes[0];
    let [refreshed, logged_out] = logged_in(&site, ["u-1", "u-2"]).await;
    node.refresh(&refreshed).await.ok();
    node.operator.users().revoke(&user("u-1"), None).await.unwrap();
    node.revoke(&logged_out).await.ok();
    let purge = async || {
        let now = node.clock.now();
        node.switch.store().purge(now, 1000).await.unwrap();
    };
    // Past seven days since the end, and before the tokens expire.
    site.pass_days(8).await;
    purge().await;
    for token in [&refreshed, &logged_out] {
        node.refresh(token).await.problem(401, "invalid_token");
    }
    site.pass(40 * DAY).await;
    purge().await;
    for token in [&refreshed, &logged_out] {
        assert_eq!(site.row(token).await, None);
        node.refresh(token).await.problem(401, "expired_token");
        assert_eq!(site.row(token).await, None, "it is not born again");
    }
}

async fn a_first_refresh_on_two_nodes_makes_one_session(engine: Engine) {
    let site = Deployment::on(engine, 2, "", "").await;
    let [token] = logged_in(&site, ["u-1"]).await;
    let [one, two] = [&site.nodes[0], &site.nodes[1]];
    let (first, second) = tokio::join!(one.refresh(&token), two.refresh(&token));
    for answer in [&first, &second] {
        assert!(!is_degraded(answer));
        let contents = site.contents(&answer.text("refresh_token"));
        assert_eq!((contents.counter, contents.unwritten), (1, false));
    }
    assert_eq!(one.operator.users().sessions(&user("u-1")).await.unwrap().len(), 1);
    assert_eq!(site.alarms("reuse"), 0.0);
}
