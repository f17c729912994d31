//! Common to every answer: problem documents, request ids, security headers, CORS; and the plain routes.

use axum::body::Body;
use countersign::{http::RequestObserver, telemetry::RequestLog};
use http::{Method, Request, header};
use serde_json::{Value, json};

use super::support::test_service::{TestService, post};

fn request(method: &str, path: &str) -> Request<Body> {
    Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_document_too() {
    let service = TestService::new().await;
    for path in ["/", "/v1", "/v1/token", "/v1/token/generate/", "/metrics", "/admin/v1/keys", "/../etc/passwd"] {
        service.send(request("GET", path)).await.problem(404, "client_error");
    }
    for (method, path) in [
        ("GET", "/v1/token/generate"),
        ("DELETE", "/v1/token/generate"),
        ("TRACE", "/v1/token/refresh"),
        ("PUT", "/v1/token/refresh"),
        ("POST", "/healthz"),
        ("TRACE", "/healthz"),
        ("OPTIONS", "/v1/token/generate"),
    ] {
        let answer = service.send(request(method, path)).await.problem(405, "client_error");
        assert!(!answer.header("allow").is_empty(), "{method} {path}");
    }
}

#[tokio::test]
async fn every_answer_is_marked() {
    let service = TestService::new().await;
    let login = service.login("u-1").await;
    let answers = [
        service.refresh(&login.text("refresh_token")).await,
        login,
        service.refresh("junk").await,
        service.send(request("GET", "/nowhere")).await,
        service.send(request("GET", "/healthz")).await,
        service.send(request("GET", "/readyz")).await,
    ];
    for answer in answers {
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert!(!answer.header("x-request-id").is_empty());
    }
}

/// Groups of routes have layers of their own; one that forgot the middleware would be found here.
#[tokio::test]
async fn every_route_passes_the_middleware() {
    let service = TestService::new().await;
    let document = service.send(request("GET", "/openapi.json")).await.ok().json();
    let documented = document["paths"].as_object().unwrap().keys().map(String::as_str);
    let paths: Vec<&str> = documented.chain(["/openapi.json", "/docs/", "/nowhere"]).collect();
    assert!(paths.len() > 10, "{paths:?}");
    for path in paths {
        for method in ["GET", "POST", "OPTIONS", "PUT"] {
            let answer = service.send(request(method, path)).await;
            assert!(!answer.header("x-request-id").is_empty(), "{method} {path}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_sane_request_id_is_echoed_and_any_other_replaced() {
    let service = TestService::new().await;
    let ask = async |id: &[u8]| {
        let mut request = request("GET", "/healthz");
        request.headers_mut().insert("x-request-id", http::HeaderValue::from_bytes(id).unwrap());
        service.send(request).await.header("x-request-id").to_owned()
    };
    assert_eq!(ask(b"abc-1.2_3").await, "abc-1.2_3");
    for odd in [&b""[..], b"a b", b"a\"b", b"<x>", "x".repeat(129).as_bytes(), b"\xff\xfe"] {
        let id = ask(odd).await;
        assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
}

#[tokio::test]
async fn browsers_may_ask_from_listed_origins_only() {
    let service = TestService::new().await;
    let preflight = async |path: &str, origin: &str| {
        let mut request = request("OPTIONS", path);
        request.headers_mut().insert(header::ORIGIN, origin.parse().unwrap());
        request.headers_mut().insert("access-control-request-method", "POST".parse().unwrap());
        request.headers_mut().insert("access-control-request-headers", "content-type".parse().unwrap());
        service.send(request).await
    };
    for path in ["/v1/token/refresh", "/v1/token/revoke", "/v1/failures"] {
        let allowed = preflight(path, "https://app.example.com").await;
        assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example.com");
        assert_eq!(allowed.header("access-control-allow-methods"), "POST");
        assert!(allowed.header("access-control-allow-headers").contains("content-type"));
        assert!(allowed.header("vary").to_lowercase().contains("origin"));
        assert_eq!(allowed.header("access-control-allow-credentials"), "");
        for unlisted in
            ["null", "https://app.example.com.evil.test", "http://app.example.com", "https://app.example.com:444", "*"]
        {
            assert_eq!(preflight(path, unlisted).await.header("access-control-allow-origin"), "", "{unlisted}");
        }
    }
    let generate = preflight("/v1/token/generate", "https://app.example.com").await;
    assert_eq!(generate.header("access-control-allow-origin"), "");
    assert_eq!(generate.status, 405);
}

/// Tracing libraries add these to every request of a page.
#[tokio::test]
async fn a_preflight_allows_tracing_headers_and_nothing_else() {
    let service = TestService::new().await;
    let allowed = async |asked: &str| {
        let mut request = request("OPTIONS", "/v1/token/refresh");
        let headers = request.headers_mut();
        headers.insert(header::ORIGIN, "https://app.example.com".parse().unwrap());
        headers.insert("access-control-request-method", "POST".parse().unwrap());
        headers.insert("access-control-request-headers", asked.parse().unwrap());
        service.send(request).await.header("access-control-allow-headers").to_owned()
    };
    for name in [
        "content-type",
        "x-request-id",
        "traceparent",
        "tracestate",
        "baggage",
        "sentry-trace",
        "x-datadog-trace-id",
        "x-datadog-parent-id",
        "x-datadog-origin",
        "x-datadog-sampling-priority",
        "x-datadog-some-new-one",
        "Traceparent",
    ] {
        assert_eq!(allowed(name).await, name);
    }
    assert_eq!(allowed("baggage, content-type,sentry-trace , x-evil").await, "baggage,content-type,sentry-trace");
    for name in ["authorization", "cookie", "*", "x-datadog", "x-datadog-", "x-datadog-a b", "x-traceparent", ""] {
        assert_eq!(allowed(name).await, "", "{name}");
    }
}

#[tokio::test]
async fn an_app_is_used_from_its_own_origins() {
    let service = TestService::new().await;
    let token = service.generate(&json!({ "app": "ios", "user_id": "u-1" })).await.ok().text("refresh_token");
    let web = service.session("u-1").await;
    let ask = async |token: &str, origin: &str| {
        let mut request = post("/v1/token/refresh", &json!({ "refresh_token": token }));
        request.headers_mut().insert(header::ORIGIN, origin.parse().unwrap());
        request.headers_mut().insert(header::HOST, "auth.example.com".parse().unwrap());
        service.send(request).await
    };
    ask(&token, "https://app.example.com").await.problem(403, "forbidden");
    ask(&web, "https://evil.test").await.problem(403, "forbidden");
    let answer = ask(&web, "https://app.example.com").await.ok();
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.com");
    assert!(answer.header("access-control-expose-headers").contains("retry-after"));
    ask(&token, "https://auth.example.com").await.ok();
    // Caches are told the same whoever asks.
    let native = service.refresh(&token).await.ok();
    assert_eq!(native.header("vary"), answer.header("vary"));
    assert_eq!(native.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn logout_ends_the_session_and_is_always_well() {
    let service = TestService::new().await;
    let first = service.session("u-1").await;
    let second = service.refresh(&first).await.ok().text("refresh_token");
    for token in [&first, &first, &second, "junk", ""] {
        assert_eq!(service.revoke(token).await.ok().json(), json!({ "status": "success" }));
    }
    service.refresh(&second).await.problem(401, "invalid_token");
    service.post("/v1/token/revoke", &json!({ "token": first })).await.problem(400, "client_error");
}

#[tokio::test]
async fn the_key_set_verifies_our_tokens_and_is_cached() {
    let service = TestService::new().await;
    let token = service.login("u-1").await.text("token");
    let answer = service.send(request("GET", "/.well-known/jwks.json")).await.ok();
    assert_eq!(answer.header("content-type"), "application/jwk-set+json");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&answer.body).unwrap();
    let [jwk] = &set.keys[..] else { panic!("{set:?}") };
    let kid = jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap();
    assert_eq!(jwk.common.key_id.as_deref(), Some(kid.as_str()));
    assert_eq!(answer.json()["keys"][0]["use"], "sig");
    assert_eq!(answer.json()["keys"][0]["alg"], "RS256");
    let private: Vec<&str> = ["d", "p", "q", "dp", "dq", "qi"]
        .into_iter()
        .filter(|name| answer.json()["keys"][0].get(name).is_some())
        .collect();
    assert!(private.is_empty());
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    rules.validate_exp = false;
    jsonwebtoken::decode::<Value>(&token, &jsonwebtoken::DecodingKey::from_jwk(jwk).unwrap(), &rules).unwrap();

    let etag = answer.header("etag").to_owned();
    for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
        let mut again = request("GET", "/.well-known/jwks.json");
        again.headers_mut().insert(header::IF_NONE_MATCH, known.parse().unwrap());
        let answer = service.send(again).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0));
        assert_eq!(answer.header("etag"), etag);
    }
}

/// Rings, files and commands are nobody's business on the public listener.
#[tokio::test]
async fn public_readiness_says_ready_or_not_and_nothing_else() {
    for (ring, status) in [("main", 200), ("second", 503)] {
        let service = TestService::with(&format!("[apps.web]\nring = \"{ring}\"\n")).await;
        for path in ["/readyz", "/readyz?verbose", "/readyz?verbose=true"] {
            let answer = service.send(request("GET", path)).await;
            assert_eq!((answer.status, answer.json()), (status, json!({ "ready": status == 200 })), "{path}");
        }
        let document = service.send(request("GET", "/openapi.json")).await.ok().json();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert!(schemas.contains_key("Ready") && !schemas.contains_key("ReadinessReport"), "{schemas:?}");
    }
}

#[tokio::test]
async fn the_document_describes_every_route() {
    let service = TestService::new().await;
    let document = service.send(request("GET", "/openapi.json")).await.ok().json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    let expected = [
        "/.well-known/jwks.json",
        "/healthz",
        "/readyz",
        "/v1/failures",
        "/v1/sign-out/backchannel/{app}",
        "/v1/token/exchange",
        "/v1/token/generate",
        "/v1/token/refresh",
        "/v1/token/revoke",
    ];
    assert_eq!(paths.len(), expected.len(), "{paths:?}");
    assert!(expected.iter().all(|path| document["paths"].get(path).is_some()));
    assert_eq!(document["components"]["schemas"]["GenerateRequest"]["additionalProperties"], false);
    assert!(document["components"]["schemas"]["Problem"]["properties"]["code"].is_object());
}

#[tokio::test]
async fn the_page_needs_nothing_from_outside() {
    let service = TestService::new().await;
    let page = service.send(request("GET", "/docs/")).await.ok();
    assert_eq!(page.header("content-encoding"), "gzip");
    let mut html = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&page.body[..]), &mut html).unwrap();
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert!(!html.contains("http://") && !html.contains("https://"), "{html}");
    for asset in ["swagger-ui-bundle.js", "swagger-ui.css", "swagger-initializer.js"] {
        assert!(html.contains(asset), "{asset}");
        assert!(!service.send(request("GET", &format!("/docs/{asset}"))).await.ok().body.is_empty());
    }
}

/// Nothing that a client sends makes a label: not a path, not a method.
#[tokio::test]
async fn requests_are_counted_by_route_method_and_status() {
    let service = TestService::new().await;
    let login = service.login("u-1").await;
    service.refresh("junk").await.problem(401, "invalid_token");
    service.revoke(&login.text("refresh_token")).await.ok();
    for (method, path) in
        [("GET", "/canary-1"), ("GET", "/v1/token/canary-2"), ("CANARY", "/healthz"), ("CANARY", "/x")]
    {
        service.send(request(method, path)).await;
    }
    service.send(request("GET", "/docs/swagger-ui.css")).await.ok();
    let count = |route: &str, method: &str, status: u16| {
        let labels = format!(r#"{{route="{route}",method="{method}",status="{status}"}}"#);
        service.metric(&format!("countersign_http_requests_total{labels}"))
    };
    assert_eq!(count("/v1/token/generate", "POST", 200), 1.0);
    assert_eq!(count("/v1/token/refresh", "POST", 401), 1.0);
    assert_eq!(count("/v1/token/revoke", "POST", 200), 1.0);
    assert_eq!(count("unmatched", "GET", 404), 2.0);
    assert_eq!(count("/healthz", "other", 405), 1.0);
    assert_eq!(count("unmatched", "other", 404), 1.0);
    let took = |route: &str| service.metric(&format!(r#"countersign_http_request_seconds_count{{route="{route}"}}"#));
    assert_eq!((took("/v1/token/generate"), took("unmatched")), (1.0, 3.0));
    let metrics = service.services.metrics().encode();
    assert!(!metrics.to_lowercase().contains("canary") && !metrics.contains("swagger-ui.css"), "{metrics}");
}

#[tokio::test]
async fn a_panic_is_an_answer_and_a_metric() {
    let metrics = countersign::telemetry::Metrics::new();
    let routes =
        axum::Router::new().route("/", axum::routing::get(async || -> &'static str { panic!("a secret in a panic") }));
    let observer = RequestObserver { metrics: Some(metrics.clone()), log: RequestLog::All };
    let routes = countersign::http::middleware::wrap(routes, observer);
    for _ in 0..2 {
        let response = tower::ServiceExt::oneshot(routes.clone(), request("GET", "/")).await.unwrap();
        assert_eq!(response.status(), 500);
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["code"], "unavailable");
        assert!(!problem.to_string().contains("secret"));
    }
    assert!(metrics.encode().contains("countersign_alarms_total{kind=\"panic\"} 2"));
}

/// Clients may end a session where `retry` is `never`.
#[test]
fn a_request_that_came_too_slowly_may_be_sent_again() {
    let observer = RequestObserver { metrics: None, log: RequestLog::None };
    let refused = |status: http::StatusCode| {
        let (_, body) = countersign::http::middleware::refused_unread(status, &observer);
        serde_json::from_slice::<Value>(&body).unwrap()["retry"].clone()
    };
    assert_eq!(refused(http::StatusCode::REQUEST_TIMEOUT), 1000);
    assert_eq!(refused(http::StatusCode::BAD_REQUEST), "never");
}

/// The ops listener has more time for a request than the public one.
#[tokio::test]
async fn a_listener_has_its_own_limit_for_a_request() {
    let never = axum::Router::new().route("/", axum::routing::get(std::future::pending::<&'static str>));
    let observer = RequestObserver { metrics: None, log: RequestLog::None };
    let limit = std::time::Duration::from_millis(10);
    let routes = countersign::http::middleware::wrap_within(limit, never, observer);
    let response = tower::ServiceExt::oneshot(routes, request("GET", "/")).await.unwrap();
    assert_eq!(response.status(), 503);
}
