//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): a logout at the provider ends the sessions here at once.

use std::time::Duration;

use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};

use super::support::{
    Answer,
    jwt::{OTHER_RSA, RSA, TestProvider},
    test_service::{CONFIG, TestService, post},
};

/// Time of the test clock, in seconds.
const NOW: i64 = 1_795_000_000;

/// A service whose app `web` accepts the tokens of a provider, and whose app `bare` does, too, without refresh tokens.
struct SignOut {
    service: TestService,
    provider: TestProvider,
}

impl SignOut {
    async fn new() -> Self {
        let provider = TestProvider::start(&[&RSA]).await;
        let apps = "\n[apps.bare]\n[apps.bare.refresh]\nenabled = false\n";
        let config = format!("{CONFIG}{apps}{}{}", provider.config("web"), provider.config("bare"));
        Self { service: TestService::with(&config).await, provider }
    }

    /// An ID token of this user and this session at the provider, issued at `iat`.
    fn id_token(&self, user: &str, sid: Option<&str>, iat: i64) -> String {
        let mut claims = self.provider.claims(user, iat);
        claims["sid"] = json!(sid);
        if sid.is_none() {
            claims.as_object_mut().unwrap().remove("sid");
        }
        RSA.token(&claims)
    }

    async fn exchange(&self, app: &str, id_token: &str) -> Answer {
        let mut request = post("/v1/token/exchange", &json!({ "app": app }));
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {id_token}").parse().unwrap());
        self.service.send(request).await
    }

    /// Begins a session; returns its refresh token.
    async fn begin(&self, user: &str, sid: Option<&str>) -> String {
        self.exchange("web", &self.id_token(user, sid, NOW)).await.ok().text("refresh_token")
    }

    /// A logout token with these members in place of the usual ones; `null` removes one.
    fn logout_token(&self, members: &Value) -> String {
        let mut claims = self.provider.logout_claims("u-1", NOW);
        for (name, value) in members.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let mut header = RSA.header();
        header["typ"] = json!("logout+jwt");
        RSA.with_header(&header, &claims)
    }

    async fn sign_out(&self, app: &str, body: String) -> Answer {
        let request = Request::post(format!("/v1/sign-out/backchannel/{app}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8");
        self.service.send(request.body(Body::from(body)).unwrap()).await
    }

    async fn told(&self, members: Value) -> Answer {
        self.sign_out("web", format!("logout_token={}", self.logout_token(&members))).await
    }

    fn sign_outs(&self, result: &str) -> f64 {
        self.service.metric(&format!(r#"countersign_sign_outs_total{{app="web",result="{result}"}}"#))
    }
}

#[tokio::test]
async fn a_logout_at_the_provider_ends_the_session_and_its_credentials() {
    let test = SignOut::new().await;
    let id_token = test.id_token("u-1", Some("s-1"), NOW);
    let refresh_token = test.exchange("web", &id_token).await.ok().text("refresh_token");
    let other_device = test.begin("u-1", Some("s-2")).await;
    let other_user = test.begin("u-2", Some("s-3")).await;
    let answer = test.told(json!({ "sid": "s-1" })).await.ok();
    assert_eq!((answer.json(), answer.header("cache-control")), (json!({ "status": "success" }), "no-store"));
    let problem = test.service.refresh(&refresh_token).await.problem(401, "invalid_token");
    assert_eq!(problem.json()["retry"], "after_login");
    test.exchange("web", &id_token).await.problem(401, "unauthorized");
    assert_eq!(test.service.metric(r#"countersign_sign_ins_total{app="web",result="signed_out"}"#), 1.0);
    for live in [other_device, other_user] {
        test.service.refresh(&live).await.ok();
    }
    assert_eq!(test.sign_outs("accepted"), 1.0);
}

/// The provider may repeat a logout token: that changes nothing, and is not recorded again.
#[tokio::test]
async fn a_logout_is_recorded_once_with_its_provider_and_its_request() {
    let test = SignOut::new().await;
    test.begin("u-1", Some("s-1")).await;
    let store = test.service.services.store();
    let begin = store.audit_head().await.unwrap().size;
    for _ in 0..2 {
        test.told(json!({ "sid": "s-1" })).await.ok();
    }
    let leaves = store.audit_leaves(begin, 10).await.unwrap();
    assert_eq!(leaves.len(), 1, "{leaves:?}");
    let event = leaves[0].shown.as_ref().unwrap();
    assert_eq!((event.action.as_str(), event.outcome.as_str()), ("signed_out", "done"));
    assert_eq!(event.actor.name, format!("identity provider {}", test.provider.issuer));
    assert!(event.actor.request_id.is_some() && event.target.app.is_some(), "{event:?}");
}

/// R39: who has a copy of a dead credential takes nothing from its user.
#[tokio::test]
async fn a_dead_credential_uses_up_no_quota_of_its_user() {
    let test = SignOut::new().await;
    let dead = test.id_token("u-1", Some("s-1"), NOW);
    test.exchange("web", &dead).await.ok();
    test.told(json!({ "sid": "s-1" })).await.ok();
    for _ in 0..70 {
        test.exchange("web", &dead).await.problem(401, "unauthorized");
    }
    test.exchange("web", &test.id_token("u-1", Some("s-2"), NOW)).await.ok();
}

#[tokio::test]
async fn a_logout_of_the_user_ends_every_older_login() {
    let test = SignOut::new().await;
    let old = [test.begin("u-1", Some("s-1")).await, test.begin("u-1", None).await];
    let before = test.id_token("u-1", Some("s-8"), NOW);
    test.service.clock.forward(Duration::from_secs(10));
    test.told(json!({ "sid": null, "iat": NOW + 5, "exp": NOW + 100 })).await.ok();
    for refresh_token in &old {
        test.service.refresh(refresh_token).await.problem(401, "invalid_token");
    }
    for app in ["web", "bare"] {
        let answer = test.exchange(app, &before).await;
        // The logout was of the app `web`; each app has a route of its own.
        assert_eq!(answer.status, if app == "web" { 401 } else { 200 });
    }
    let again = test.exchange("web", &test.id_token("u-1", Some("s-9"), NOW + 6)).await.ok();
    test.service.refresh(&again.text("refresh_token")).await.ok();
}

#[tokio::test]
async fn an_app_without_refresh_tokens_refuses_ended_logins_too() {
    let test = SignOut::new().await;
    let id_token = test.id_token("u-1", Some("s-1"), NOW);
    test.exchange("bare", &id_token).await.ok();
    test.sign_out("bare", format!("logout_token={}", test.logout_token(&json!({ "sid": "s-1" })))).await.ok();
    test.exchange("bare", &id_token).await.problem(401, "unauthorized");
    test.exchange("web", &id_token).await.ok();
}

#[tokio::test]
async fn a_logout_token_that_comes_again_is_answered_and_ends_nothing() {
    let test = SignOut::new().await;
    let body = format!("logout_token={}", test.logout_token(&json!({ "sid": null })));
    test.sign_out("web", body.clone()).await.ok();
    let later = test.exchange("web", &test.id_token("u-1", Some("s-9"), NOW + 1)).await;
    test.sign_out("web", body).await.ok();
    test.service.refresh(&later.ok().text("refresh_token")).await.ok();
    assert_eq!((test.sign_outs("accepted"), test.sign_outs("repeated")), (1.0, 1.0));
}

#[tokio::test]
async fn a_session_without_a_provider_is_none_of_the_providers() {
    let test = SignOut::new().await;
    let by_backend = test.service.login("u-1").await.ok().text("refresh_token");
    test.told(json!({ "sid": null })).await.ok();
    test.service.refresh(&by_backend).await.ok();
}

#[tokio::test]
async fn what_is_no_logout_token_is_refused_with_one_answer_and_ends_nothing() {
    let test = SignOut::new().await;
    let session = test.begin("u-1", Some("s-1")).await;
    let good = test.logout_token(&json!({}));
    let foreign = OTHER_RSA.with_header(
        &json!({ "alg": "RS256", "typ": "logout+jwt", "kid": "rsa" }),
        &test.provider.logout_claims("u-1", NOW),
    );
    let (head, signature) = good.rsplit_once('.').unwrap();
    let refused = [
        test.id_token("u-1", Some("s-1"), NOW),
        test.logout_token(&json!({ "nonce": "n" })),
        test.logout_token(&json!({ "events": null })),
        test.logout_token(&json!({ "events": { "other": {} } })),
        test.logout_token(&json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": true } })),
        test.logout_token(&json!({ "jti": null })),
        test.logout_token(&json!({ "sub": null, "sid": null })),
        test.logout_token(&json!({ "aud": "another" })),
        test.logout_token(&json!({ "iss": "https://other.example" })),
        test.logout_token(&json!({ "exp": NOW - 60 })),
        test.logout_token(&json!({ "iat": NOW + 600 })),
        test.logout_token(&json!({ "iat": null })),
        foreign,
        format!("{head}."),
        format!("{head}.{}", signature.chars().rev().collect::<String>()),
        String::new(),
        "opaque".to_owned(),
    ];
    let mut answers = Vec::new();
    for token in &refused {
        let answer = test.sign_out("web", format!("logout_token={token}")).await.problem(400, "client_error");
        answers.push(answer);
    }
    for app in ["ios", "no-such-app", "UPPER", "%FF"] {
        answers.push(test.sign_out(app, format!("logout_token={good}")).await.problem(400, "client_error"));
    }
    let details: std::collections::HashSet<String> = answers.iter().map(|answer| answer.text("detail")).collect();
    assert_eq!(details.len(), 1, "{details:?}");
    test.service.refresh(&session).await.ok();
    assert_eq!(test.sign_outs("accepted"), 0.0);
}

#[tokio::test]
async fn the_body_is_one_form_with_one_logout_token() {
    let test = SignOut::new().await;
    let token = test.logout_token(&json!({}));
    for body in [String::new(), "token=x".to_owned(), format!("logout_token={token}&logout_token={token}")] {
        test.sign_out("web", body).await.problem(400, "client_error");
    }
    let json = post("/v1/sign-out/backchannel/web", &json!({ "logout_token": token }));
    test.service.send(json).await.problem(415, "client_error");
    test.sign_out("web", format!("logout_token={}", "x".repeat(20_000))).await.problem(413, "client_error");
    let with_more = format!("state=x&logout_token={token}&other=%C3%A9");
    test.sign_out("web", with_more).await.ok();
}

#[tokio::test]
async fn while_the_clock_is_stopped_nothing_is_decided() {
    let test = SignOut::new().await;
    let session = test.begin("u-1", Some("s-1")).await;
    test.service.clock.set_by(-3600);
    test.told(json!({})).await.problem(503, "unavailable");
    assert_eq!(test.sign_outs("accepted"), 0.0);
    test.service.refresh(&session).await.problem(503, "unavailable");
}
