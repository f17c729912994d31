//! `POST /v1/token/generate`: a backend mints for the user it just logged in.

use std::{collections::HashSet, time::Duration};

use countersign::clock::Clock;
use http::{Request, header};
use serde_json::{Value, json};

use super::support::{
    Answer, claims,
    test_service::{CONFIG, TestService, post, raw_post},
    verified_claims,
};

#[tokio::test]
async fn a_token_says_exactly_what_braze_wants() {
    let service = TestService::new().await;
    let answer = service.login("u-1").await;
    let token = answer.text("token");
    let header = token.split('.').next().unwrap();
    assert_eq!(header, "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9", "{{\"alg\":\"RS256\",\"typ\":\"JWT\"}}, byte for byte");
    let claims = verified_claims(&token, &service.public_key);
    let names: HashSet<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, HashSet::from(["sub", "exp", "jti"]));
    assert_eq!(claims["sub"], json!("u-1"));
    assert_eq!(claims["exp"], json!(service.clock.now().seconds() + 3600));
    assert_eq!(answer.json()["status"], "success");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn claims_and_key_id_are_by_policy() {
    let config = format!("{CONFIG}\n[apps.web.claims]\njti = false\niat = true\naud = true\niss = true\nkid = true\n");
    let service = TestService::with(&config).await;
    let token = service.login("u-1").await.text("token");
    let now = service.clock.now().seconds();
    assert_eq!(
        verified_claims(&token, &service.public_key),
        json!({ "sub": "u-1", "exp": now + 3600, "iat": now, "aud": "braze", "iss": "sdk-key-of-web" })
    );
    let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
    assert_eq!(kid, service.operator.keys().list().await.unwrap()[0].kid.as_str());
}

#[tokio::test]
async fn a_ring_that_isolates_its_apps_forces_the_issuer() {
    let config =
        "[rings.main]\nisolate_apps = true\n[apps.web]\nsdk_api_key = \"k-web\"\n[apps.ios]\nsdk_api_key = \"k-ios\"\n";
    let service = TestService::with(config).await;
    assert_eq!(claims(&service.login("u-1").await.text("token"))["iss"], "k-web");
}

#[tokio::test]
async fn a_caller_may_shorten_a_token_and_never_lengthen_it() {
    let service = TestService::new().await;
    let mint = async |ttl: Value| service.generate(&json!({ "app": "web", "user_id": "u-1", "ttl": ttl })).await;
    let exp = claims(&mint(json!(60)).await.ok().text("token"))["exp"].clone();
    assert_eq!(exp, json!(service.clock.now().seconds() + 60));
    mint(json!(3600)).await.ok();
    mint(Value::Null).await.ok();
    for bad in [json!(3601), json!(59), json!(0), json!(u64::MAX)] {
        let problem = mint(bad).await.problem(400, "client_error").json();
        assert_eq!(problem["errors"][0]["field"], "ttl");
    }
    for bad in [json!(-60), json!(60.5), json!("60"), json!(1e30)] {
        mint(bad).await.problem(400, "client_error");
    }
}

#[tokio::test]
async fn a_user_id_is_taken_byte_for_byte_or_refused() {
    let service = TestService::new().await;
    for id in ["u-1", "007", "A\u{30a}", "\u{c5}", "用户", "a b", "o'neil+x@example.com", "\"quoted\\", "🦀"] {
        assert_eq!(claims(&service.login(id).await.text("token"))["sub"], json!(id));
    }
    let long = "x".repeat(513);
    for id in ["", " u", "u ", "u\u{0}", "u\u{9f}", "u\n", "u\u{202e}x", "u\u{200b}x", &long] {
        let problem =
            service.generate(&json!({ "app": "web", "user_id": id })).await.problem(400, "client_error").json();
        assert_eq!(problem["errors"][0]["field"], "user_id", "{id:?}");
    }
    let lone_surrogate = raw_post("/v1/token/generate", r#"{"app":"web","user_id":"\ud800"}"#);
    authorized(&service, lone_surrogate).await.problem(400, "client_error");
}

#[tokio::test]
async fn the_longest_user_id_fits_into_a_header() {
    let service = TestService::with(&format!("{CONFIG}\n[apps.long]\nmax_user_id_bytes = 997\n")).await;
    for id in ["\"".repeat(997), "\\".repeat(997), format!("{}x", "用".repeat(332))] {
        let answer = service.generate(&json!({ "app": "long", "user_id": id })).await.ok();
        assert!(answer.text("token").len() <= 4096);
        assert_eq!(claims(&answer.text("token"))["sub"], json!(id));
        service.refresh(&answer.text("refresh_token")).await.ok();
    }
}

#[tokio::test]
async fn only_a_live_api_key_gets_a_token_and_every_other_credential_one_answer() {
    let service = TestService::new().await;
    let login = service.login("u-1").await;
    let (jwt, refresh_token) = (login.text("token"), login.text("refresh_token"));
    let mut wrong = service.api_key.clone();
    wrong.truncate(wrong.len() - 4);
    wrong.push_str("AAAA");
    let unknown = format!("csk1_0123456789abcdef_{}", "A".repeat(43));
    let good = &service.api_key;
    let headers = [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some(format!("Basic {good}")),
        Some(good.clone()),
        Some(format!("Bearer {good}x")),
        Some(format!("Bearer {wrong}")),
        Some(format!("Bearer {unknown}")),
        Some(format!("Bearer {jwt}")),
        Some(format!("Bearer {refresh_token}")),
    ];
    let minted = service.metric(r#"countersign_mints_total{app="web"}"#);
    let mut answers = HashSet::new();
    for authorization in headers {
        let mut request = post("/v1/token/generate", &json!({ "app": "web", "user_id": "u-2" }));
        if let Some(value) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        let answer = service.send(request).await.problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        let mut problem = answer.json();
        problem["request_id"] = "".into();
        answers.insert(problem.to_string());
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(service.metric(r#"countersign_mints_total{app="web"}"#), minted);
}

#[tokio::test]
async fn a_jwt_we_minted_is_a_credential_nowhere() {
    let service = TestService::new().await;
    let jwt = service.login("u-1").await.text("token");
    service.refresh(&jwt).await.problem(401, "invalid_token");
    service.revoke(&jwt).await.ok();
    for path in ["/v1/token/generate", "/v1/token/refresh", "/v1/token/revoke"] {
        for body in [
            json!({ "token": jwt }),
            json!({ "app": jwt, "user_id": "u-1" }),
            json!({ "refresh_token": jwt, "user_id": jwt }),
        ] {
            let mut request = post(path, &body);
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {jwt}").parse().unwrap());
            let answer = service.send(request).await;
            assert!(answer.status == 200 && path.ends_with("revoke") || (400..500).contains(&answer.status));
            assert!(answer.json().get("token").is_none());
        }
    }
}

#[tokio::test]
async fn an_api_key_is_good_for_its_apps_only() {
    let service = TestService::new().await;
    let web = vec!["web".parse().unwrap()];
    let (key, _) = service.operator.clients().create("web-only".parse().unwrap(), web, None).await.unwrap();
    service.state.api_keys.swap(service.services.store().api_keys().await.unwrap());
    let signed = service.metric("countersign_sign_seconds_count");
    for app in ["ios", "no-such-app"] {
        let mut request = post("/v1/token/generate", &json!({ "app": app, "user_id": "u-1" }));
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", *key.reveal()).parse().unwrap());
        service.send(request).await.problem(403, "forbidden");
    }
    assert_eq!(service.metric("countersign_sign_seconds_count"), signed, "nothing was signed");
}

#[tokio::test]
async fn an_api_key_ends_when_it_expires() {
    let service = TestService::new().await;
    let web = vec!["web".parse().unwrap()];
    let hour = Some(Duration::from_hours(1));
    let (key, _) = service.operator.clients().create("short".parse().unwrap(), web, hour).await.unwrap();
    service.state.api_keys.swap(service.services.store().api_keys().await.unwrap());
    let ask = async || {
        let mut request = post("/v1/token/generate", &json!({ "app": "web", "user_id": "u-1" }));
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", *key.reveal()).parse().unwrap());
        service.send(request).await
    };
    ask().await.ok();
    service.clock.forward(Duration::from_hours(1));
    ask().await.problem(401, "unauthorized");
}

#[tokio::test]
async fn bodies_are_read_strictly() {
    let service = TestService::new().await;
    let deep = format!(r#"{{"app":"web","user_id":"u","x":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
    let bad = [
        ("", ""),
        ("null", ""),
        ("[]", ""),
        ("{", ""),
        ("{}", "app"),
        (r#"{"app":"web"}"#, "user_id"),
        (r#"{"app":"web","user_id":7}"#, "user_id"),
        (r#"{"app":"web","user_id":null}"#, "user_id"),
        (r#"{"app":"Web!","user_id":"u"}"#, "app"),
        (r#"{"app":"web","user_id":"u","user_id":"v"}"#, "user_id"),
        (r#"{"app":"web","user_id":"u","sub":"v"}"#, "sub"),
        (r#"{"app":"web","user_id":"u"} {}"#, ""),
        (r#"{"app":"web","user_id":"u",}"#, ""),
        (deep.as_str(), ""),
    ];
    for (body, field) in bad {
        let problem = authorized(&service, raw_post("/v1/token/generate", body.to_owned()))
            .await
            .problem(400, "client_error")
            .json();
        if field.is_empty() {
            assert!(problem.get("errors").is_none(), "{body}: {problem}");
        } else {
            assert_eq!(problem["errors"][0]["field"], field, "{body}");
        }
        assert!(!problem.to_string().contains("line 1"), "no parser text: {problem}");
    }
    let invalid_utf8 = raw_post("/v1/token/generate", b"{\"app\":\"web\",\"user_id\":\"\xff\"}".to_vec());
    authorized(&service, invalid_utf8).await.problem(400, "client_error");
}

#[tokio::test]
async fn a_body_is_json_and_small() {
    let service = TestService::new().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let request = Request::post("/v1/token/generate").header(header::CONTENT_TYPE, kind).body("{}".into()).unwrap();
        authorized(&service, request).await.problem(415, "client_error");
    }
    authorized(&service, Request::post("/v1/token/generate").body("{}".into()).unwrap())
        .await
        .problem(415, "client_error");
    let large = format!(r#"{{"app":"web","user_id":"{}"}}"#, "x".repeat(17_000));
    authorized(&service, raw_post("/v1/token/generate", large)).await.problem(413, "client_error");
    let spoken = Request::post("/v1/token/generate")
        .header(header::CONTENT_TYPE, "Application/JSON; charset=utf-8")
        .body(r#"{"app":"web","user_id":"u"}"#.into())
        .unwrap();
    authorized(&service, spoken).await.ok();
}

#[tokio::test]
async fn a_user_has_no_more_than_fifty_live_sessions_on_an_app() {
    let service = TestService::new().await;
    let oldest = service.session("u-1").await;
    for _ in 0..60 {
        service.clock.forward(Duration::from_millis(5));
        service.session("u-1").await;
    }
    let user =
        countersign::domain::ids::UserId::parse("u-1", countersign::domain::ids::UserIdRules::default()).unwrap();
    let sessions = service.operator.users().sessions(&user).await.unwrap();
    let live = sessions.iter().filter(|session| session.ended.is_none()).count();
    assert_eq!((live, sessions.len()), (50, 61), "the others ended, and stay on record");
    service.refresh(&oldest).await.problem(401, "invalid_token");
}

/// Sends a request with the service's API key.
async fn authorized(service: &TestService, mut request: Request<axum::body::Body>) -> Answer {
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", service.api_key).parse().unwrap());
    service.send(request).await
}
