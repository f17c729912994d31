//! Exchange of a session credential for a token (R01, R02, R04, R05, R39, R42, R45): the user is the credential's, and
//! every refusal is one answer.

use std::{collections::HashSet, time::Instant};

use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};

use super::support::{
    Answer, in_less_than_a_second,
    jwt::{OTHER_RSA, P256, RSA, TestProvider, published},
    test_service::{CONFIG, TestService, post, raw_post},
    verified_claims,
};

const EXCHANGE: &str = "/v1/token/exchange";
/// Time of the test clock, in seconds.
const NOW: i64 = 1_795_000_000;

/// A service whose app `web` accepts the tokens of a provider, and whose app `ios` has no sign-in.
struct Signing {
    service: TestService,
    provider: TestProvider,
}

impl Signing {
    async fn new() -> Self {
        Self::with(CONFIG).await
    }

    async fn with(config: &str) -> Self {
        let provider = TestProvider::start(&published()).await;
        let service = TestService::with(&format!("{config}{}", provider.config("web"))).await;
        Self { service, provider }
    }

    /// An ID token of this user.
    fn credential(&self, user: &str) -> String {
        RSA.token(&self.provider.claims(user, NOW))
    }

    async fn exchange(&self, credential: &str, body: &Value) -> Answer {
        self.service.send(bearer(post(EXCHANGE, body), credential)).await
    }

    fn sign_ins(&self, app: &str, result: &str) -> f64 {
        self.service.metric(&format!(r#"countersign_sign_ins_total{{app="{app}",result="{result}"}}"#))
    }

    fn minted(&self) -> f64 {
        ["web", "ios"]
            .iter()
            .map(|app| self.service.metric(&format!(r#"countersign_mints_total{{app="{app}"}}"#)))
            .sum()
    }
}

fn bearer(mut request: Request<Body>, credential: &str) -> Request<Body> {
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {credential}").parse().unwrap());
    request
}

/// The problem without its request id, to compare it.
fn without_id(answer: &Answer) -> String {
    let mut problem = answer.json();
    problem["request_id"] = "".into();
    problem.to_string()
}

#[tokio::test]
async fn the_user_of_the_token_is_the_credentials() {
    let signing = Signing::new().await;
    let claims = signing.provider.claims("u-1", NOW);
    for credential in [RSA.token(&claims), P256.token(&claims)] {
        let answer = signing.exchange(&credential, &json!({ "app": "web", "ttl": 600 })).await.ok();
        let token = verified_claims(&answer.text("token"), &signing.service.public_key);
        assert_eq!((&token["sub"], &token["exp"]), (&json!("u-1"), &json!(NOW + 600)));
        // The clock is half a second past.
        assert_eq!(answer.json()["expires_in"], 599);
        let refreshed = signing.service.refresh(&answer.text("refresh_token")).await.ok();
        assert_eq!(verified_claims(&refreshed.text("token"), &signing.service.public_key)["sub"], "u-1");
    }
    let generated = signing.service.login("u-1").await.json();
    let exchanged = signing.exchange(&signing.credential("u-1"), &json!({ "app": "web" })).await.ok().json();
    let members = |answer: &Value| answer.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&generated), members(&exchanged), "the same answer");
    assert_eq!((signing.sign_ins("web", "accepted"), signing.minted()), (3.0, 4.0));
}

/// R01: no member, header, query or cookie names another user.
#[tokio::test]
async fn a_foreign_user_id_is_taken_from_nowhere() {
    let signing = Signing::new().await;
    let credential = signing.credential("u-1");
    for member in ["user_id", "sub", "uid", "user", "external_id"] {
        let body = json!({ "app": "web", member: "u-2" });
        let problem = signing.exchange(&credential, &body).await.problem(400, "client_error");
        assert_eq!(problem.json()["errors"][0]["field"], member);
    }
    let ttl = signing.exchange(&credential, &json!({ "app": "web", "ttl": 7200 })).await.problem(400, "client_error");
    assert_eq!(ttl.json()["errors"][0]["field"], "ttl");
    assert_eq!(signing.minted(), 0.0);
    let mut request = bearer(post(&format!("{EXCHANGE}?user_id=u-2&sub=u-2"), &json!({ "app": "web" })), &credential);
    request.headers_mut().insert("x-user-id", "u-2".parse().unwrap());
    request.headers_mut().insert(header::COOKIE, "user_id=u-2; sub=u-2".parse().unwrap());
    let token = signing.service.send(request).await.ok().text("token");
    assert_eq!(verified_claims(&token, &signing.service.public_key)["sub"], "u-1");
}

/// R01, R02: each credential is good at its own route, for its own app and user.
#[tokio::test]
async fn each_credential_is_good_at_its_own_route() {
    let signing = Signing::new().await;
    let service = &signing.service;
    let (id_token, api_key) = (signing.credential("u-1"), service.api_key.clone());
    let login = service.login("u-1").await;
    let (jwt, refresh_token) = (login.text("token"), login.text("refresh_token"));
    let minted = signing.minted();
    for (name, credential) in
        [("ID token", &id_token), ("API key", &api_key), ("our JWT", &jwt), ("refresh token", &refresh_token)]
    {
        for (path, body, is_own) in [
            (EXCHANGE, json!({ "app": "ios" }), false),
            (EXCHANGE, json!({ "app": "no-such-app" }), false),
            (EXCHANGE, json!({ "app": "web", "user_id": "u-2" }), false),
            (EXCHANGE, json!({ "app": "web", "refresh_token": credential }), false),
            (EXCHANGE, json!({ "app": "web" }), name == "ID token"),
            ("/v1/token/generate", json!({ "app": "web", "user_id": "u-2" }), name == "API key"),
            ("/v1/token/generate", json!({ "app": "ios", "user_id": "u-2" }), name == "API key"),
            ("/v1/token/refresh", json!({ "refresh_token": credential, "user_id": "u-2" }), false),
        ] {
            if is_own {
                continue;
            }
            let answer = service.send(bearer(post(path, &body), credential)).await;
            assert!((400..500).contains(&answer.status), "{name} at {path} {body}: {}", answer.status);
            assert!(answer.json().get("token").is_none());
        }
    }
    assert_eq!(signing.minted(), minted);
    assert_eq!(service.metric("countersign_refreshes_total"), 0.0);
}

/// R04: a JWT that we minted, live or expired, is a credential at no route and in no place.
#[tokio::test]
async fn our_own_jwt_is_a_credential_nowhere() {
    let signing = Signing::new().await;
    let service = &signing.service;
    let expired = service.login("u-1").await.text("token");
    service.clock.forward(std::time::Duration::from_hours(2));
    let live = service.login("u-1").await.text("token");
    let minted = signing.minted();
    for jwt in [&expired, &live] {
        signing.exchange(jwt, &json!({ "app": "web" })).await.problem(401, "unauthorized");
        let generate = json!({ "app": "web", "user_id": "u-1" });
        service.send(bearer(post("/v1/token/generate", &generate), jwt)).await.problem(401, "unauthorized");
        service.refresh(jwt).await.problem(401, "invalid_token");
        for name in ["session", "__session", "token", "authorization"] {
            let mut request = post(EXCHANGE, &json!({ "app": "web" }));
            request.headers_mut().insert(header::COOKIE, format!("{name}={jwt}").parse().unwrap());
            request.headers_mut().insert(header::ORIGIN, "https://app.example.com".parse().unwrap());
            service.send(request).await.problem(401, "unauthorized");
        }
        for path in [EXCHANGE, "/v1/token/generate", "/v1/token/refresh"] {
            for body in [json!({ "token": jwt }), json!({ "app": jwt }), json!({ "app": "web", "credential": jwt })] {
                let answer = service.send(bearer(post(path, &body), jwt)).await;
                assert!((400..500).contains(&answer.status), "{path} {body}");
            }
        }
    }
    assert_eq!(signing.minted(), minted);
}

/// R45: who is refused does not learn why; operators do.
#[tokio::test]
async fn every_refused_credential_has_one_answer_and_its_own_count() {
    let signing = Signing::new().await;
    let provider = &signing.provider;
    let changed = |member: &str, value: Value| {
        let mut claims = provider.claims("u-1", NOW);
        claims[member] = value;
        RSA.token(&claims)
    };
    let good = signing.credential("u-1");
    let (input, _) = good.rsplit_once('.').unwrap();
    let other = TestProvider::start(&[&OTHER_RSA]).await;
    let credentials = [
        ("missing", None),
        ("missing", Some(String::new())),
        ("missing", Some("Bearer".to_owned())),
        ("missing", Some("Bearer ".to_owned())),
        ("missing", Some(format!("Basic {good}"))),
        ("missing", Some(good.clone())),
        ("malformed", Some(format!("Bearer {input}"))),
        ("signature", Some(format!("Bearer {input}.{}", "A".repeat(342)))),
        ("unknown_issuer", Some(format!("Bearer {}", OTHER_RSA.token(&other.claims("u-1", NOW))))),
        ("audience", Some(format!("Bearer {}", changed("aud", json!("another-client"))))),
        ("expired", Some(format!("Bearer {}", changed("exp", json!(NOW - 3600))))),
        ("not_yet_valid", Some(format!("Bearer {}", changed("nbf", json!(NOW + 3600))))),
        ("user_id", Some(format!("Bearer {}", changed("sub", json!(" u-1"))))),
        ("user_id", Some(format!("Bearer {}", changed("sub", json!(""))))),
    ];
    let mut answers = HashSet::new();
    for (reason, authorization) in credentials {
        let before = signing.sign_ins("web", reason);
        let mut request = post(EXCHANGE, &json!({ "app": "web" }));
        if let Some(value) = &authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        let answer = signing.service.send(request).await.problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert_eq!(signing.sign_ins("web", reason), before + 1.0, "{reason}: {authorization:?}");
        answers.insert(without_id(&answer));
    }
    for (app, label) in [("ios", "ios"), ("no-such-app", "")] {
        let answer = signing.exchange(&good, &json!({ "app": app })).await.problem(401, "unauthorized");
        assert_eq!(signing.sign_ins(label, "not_enabled"), 1.0);
        answers.insert(without_id(&answer));
    }
    let mut twice = bearer(post(EXCHANGE, &json!({ "app": "web" })), &good);
    twice.headers_mut().append(header::AUTHORIZATION, format!("Bearer {good}").parse().unwrap());
    answers.insert(without_id(&signing.service.send(twice).await.problem(401, "unauthorized")));
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(signing.minted(), 0.0);
}

/// R42: names of apps that are not configured make no series.
#[tokio::test]
async fn clients_make_no_series() {
    let signing = Signing::new().await;
    for app in 0..100 {
        signing.exchange("junk", &json!({ "app": format!("app-{app}") })).await.problem(401, "unauthorized");
    }
    let metrics = signing.service.services.metrics().encode();
    assert_eq!(metrics.matches("countersign_sign_ins_total{").count(), 1);
    assert_eq!(signing.sign_ins("", "not_enabled"), 100.0);
}

#[tokio::test]
async fn bodies_are_read_strictly_and_before_the_credential() {
    let signing = Signing::new().await;
    for body in ["", "null", "{}", r#"{"app":"Web!"}"#, r#"{"app":"web","app":"web"}"#, r#"{"app":"web","ttl":"60"}"#] {
        signing.service.send(raw_post(EXCHANGE, body)).await.problem(400, "client_error");
    }
    let text = Request::post(EXCHANGE).header(header::CONTENT_TYPE, "text/plain").body(r#"{"app":"web"}"#.into());
    signing.service.send(bearer(text.unwrap(), &signing.credential("u-1"))).await.problem(415, "client_error");
    assert_eq!(signing.minted(), 0.0);
}

#[tokio::test]
async fn an_opted_out_user_gets_nothing() {
    let signing = Signing::new().await;
    let user =
        countersign::domain::ids::UserId::parse("u-1", countersign::domain::ids::UserIdRules::default()).unwrap();
    signing.service.operator.users().opt_out(&user, None).await.unwrap();
    let credential = signing.credential("u-1");
    signing.exchange(&credential, &json!({ "app": "web" })).await.problem(403, "opted_out");
}

/// R39: a user has a limit of their own, on each app; a source of refused credentials has one too.
#[tokio::test]
async fn users_and_refusals_have_their_limits() {
    let limits =
        "[limits]\nper_user = { per_second = 1, burst = 3 }\nfailures_per_address = { per_second = 1, burst = 4 }\n";
    let exchanged = async |user: &str| {
        let signing = Signing::with(&CONFIG.replace("[limits]\nenabled = false\n", limits)).await;
        let credential = if user == "junk" { user.to_owned() } else { signing.credential(user) };
        let (begun, mut answers) = (Instant::now(), Vec::new());
        for _ in 0..6 {
            answers.push(signing.exchange(&credential, &json!({ "app": "web" })).await);
        }
        (begun, (signing, answers))
    };
    let (signing, answers) = in_less_than_a_second(async || exchanged("u-1").await).await;
    assert!(answers[..3].iter().all(|answer| answer.status == 200), "{answers:?}");
    for limited in answers.into_iter().skip(3) {
        assert_eq!(limited.problem(429, "rate_limited").header("ratelimit-policy"), r#""user";q=3;w=3"#);
    }
    signing.exchange(&signing.credential("u-2"), &json!({ "app": "web" })).await.ok();
    assert_eq!(signing.minted(), 4.0);
    let (signing, answers) = in_less_than_a_second(async || exchanged("junk").await).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 429, 429]);
    signing.exchange(&signing.credential("u-3"), &json!({ "app": "web" })).await.ok();
}

#[tokio::test]
async fn a_stopped_clock_judges_no_credential() {
    let signing = Signing::new().await;
    signing.service.login("u-1").await;
    signing.service.tick().await;
    signing.service.clock.set_by(-3600);
    signing.service.tick().await;
    signing.exchange(&signing.credential("u-1"), &json!({ "app": "web" })).await.problem(503, "unavailable");
    assert_eq!(signing.sign_ins("web", "unavailable"), 1.0);
}
