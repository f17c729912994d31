//! Origins at an exchange (R43): with a bearer credential as at the other routes, with a cookie from listed origins only.

use axum::{Json, Router, body::Body, http::HeaderMap, routing::get};
use http::{Method, Request, header};
use serde_json::json;

use super::support::{
    Answer,
    jwt::{RSA, TestProvider, published},
    test_service::{TestService, post},
};

const EXCHANGE: &str = "/v1/token/exchange";
const NOW: i64 = 1_795_000_000;
const OWN: &str = "https://auth.example.com";

/// `cookie` takes the cookie `sid` from `https://c.example.com`, and `web` bearer credentials from `https://w.example.com`.
const APPS: &str = "
[limits]
enabled = false
[custody]
max_wait = \"60s\"
[apps.cookie]
allowed_origins = [\"https://c.example.com\"]
[apps.web]
allowed_origins = [\"https://w.example.com\"]
";

struct Pages {
    service: TestService,
    id_token: String,
}

impl Pages {
    async fn new() -> Self {
        let provider = TestProvider::start(&published()).await;
        let sessions = session_endpoint().await;
        let config = format!(
            "{APPS}{}\n[[apps.cookie.sign_in]]\nkind = \"session_endpoint\"\nurl = \"{sessions}\"\ncookies = [\"sid\"]\nbearer = true\nuser_id = \"/user/id\"\n",
            provider.config("web"),
        );
        let service = TestService::with(&config).await;
        Self { service, id_token: RSA.token(&provider.claims("u-1", NOW)) }
    }

    async fn preflight(&self, origin: &str, headers: &str) -> Answer {
        let request = Request::builder().method(Method::OPTIONS).uri(EXCHANGE);
        let request = request.header(header::ORIGIN, origin).header("access-control-request-method", "POST");
        self.service.send(request.header("access-control-request-headers", headers).body(Body::empty()).unwrap()).await
    }

    /// An exchange for this app from a page of this origin, with these headers.
    async fn ask(&self, app: &str, origin: Option<&str>, headers: &[(&str, &str)]) -> Answer {
        let mut request = post(EXCHANGE, &json!({ "app": app }));
        request.headers_mut().insert(header::HOST, "auth.example.com".parse().unwrap());
        for (name, value) in headers.iter().copied().chain(origin.map(|origin| ("origin", origin))) {
            let value = header::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request.headers_mut().append(name.parse::<header::HeaderName>().unwrap(), value);
        }
        self.service.send(request).await
    }

    async fn with_token(&self, app: &str, origin: Option<&str>) -> Answer {
        self.ask(app, origin, &[("authorization", &format!("Bearer {}", self.id_token))]).await
    }
}

/// An app's endpoint that knows the session `good` by the cookie `sid`, and by a bearer credential.
async fn session_endpoint() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/me", listener.local_addr().unwrap());
    let me = |headers: HeaderMap| async move {
        let sent = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let user = match (sent("cookie"), sent("authorization")) {
            // Nothing but the named cookie is passed on.
            (Some("sid=good"), None) => json!({ "user": { "id": "by-cookie" } }),
            (None, Some("Bearer good")) => json!({ "user": { "id": "by-bearer" } }),
            _ => json!({ "user": null }),
        };
        Json(user)
    };
    let routes = Router::new().route("/me", get(me));
    tokio::spawn(async { axum::serve(listener, routes).await });
    url
}

#[tokio::test]
async fn a_preflight_allows_authorization_here_and_credentials_for_cookies() {
    let pages = Pages::new().await;
    let allowed = pages.preflight("https://w.example.com", "authorization, content-type,x-evil").await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://w.example.com");
    assert_eq!(allowed.header("access-control-allow-headers"), "authorization,content-type");
    assert_eq!(allowed.header("access-control-allow-methods"), "POST");
    assert_eq!(allowed.header("access-control-allow-credentials"), "", "its app takes no cookie");
    let allowed = pages.preflight("https://c.example.com", "Authorization,content-type").await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://c.example.com");
    assert_eq!(allowed.header("access-control-allow-credentials"), "true");
    for unlisted in ["null", OWN, "https://c.example.com.evil.test", "http://c.example.com", "*"] {
        let answer = pages.preflight(unlisted, "authorization").await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{unlisted}");
        assert_eq!(answer.header("access-control-allow-credentials"), "", "{unlisted}");
    }
    for path in ["/v1/token/refresh", "/v1/token/revoke", "/v1/failures"] {
        let request = Request::builder().method(Method::OPTIONS).uri(path);
        let request =
            request.header(header::ORIGIN, "https://c.example.com").header("access-control-request-method", "POST");
        let request = request.header("access-control-request-headers", "authorization").body(Body::empty()).unwrap();
        let answer = pages.service.send(request).await;
        assert_eq!(answer.header("access-control-allow-headers"), "", "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), "", "{path}");
    }
}

#[tokio::test]
async fn a_bearer_credential_comes_from_the_apps_pages_and_from_none() {
    let pages = Pages::new().await;
    for origin in [None, Some("https://w.example.com"), Some(OWN)] {
        pages.with_token("web", origin).await.ok();
    }
    let answer = pages.with_token("web", Some("https://w.example.com")).await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://w.example.com");
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    for origin in ["null", "https://c.example.com", "https://evil.test", "http://w.example.com"] {
        pages.with_token("web", Some(origin)).await.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn a_cookie_comes_from_a_listed_origin_only() {
    let pages = Pages::new().await;
    let cookie = [("cookie", "name=J\u{fc}rgen; sid=good"), ("cookie", "lang=en")];
    let answer = pages.ask("cookie", Some("https://c.example.com"), &cookie).await.ok();
    assert_eq!(answer.header("access-control-allow-origin"), "https://c.example.com");
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(super::support::claims(&answer.text("token"))["sub"], "by-cookie");
    for origin in [None, Some("null"), Some(OWN), Some("https://w.example.com"), Some("https://evil.test")] {
        pages.ask("cookie", origin, &cookie).await.problem(403, "forbidden");
    }
    let refused = [
        ("web", "sid=good", "the app takes no cookie"),
        ("cookie", "sid=bad", "no such session"),
        ("cookie", "SID=good", "another name"),
        ("cookie", "sid=", "empty"),
        ("cookie", "sid=good; sid=good", "two of one name"),
        ("cookie", "xsid=good", "another name"),
    ];
    for (app, cookie, why) in refused {
        let origin = if app == "web" { "https://w.example.com" } else { "https://c.example.com" };
        let answer = pages.ask(app, Some(origin), &[("cookie", cookie)]).await;
        assert_eq!(answer.status, 401, "{why}");
    }
}

/// Where a page sends both, the header counts: no other page can send it, and cookies come along by themselves.
#[tokio::test]
async fn a_bearer_credential_goes_before_cookies() {
    let pages = Pages::new().await;
    let both = |bearer| [("cookie", "sid=good"), ("authorization", bearer)];
    let answer = pages.ask("cookie", Some("https://c.example.com"), &both("Bearer good")).await.ok();
    assert_eq!(super::support::claims(&answer.text("token"))["sub"], "by-bearer");
    for bearer in ["Bearer bad", "Basic good", "Bearer"] {
        let answer = pages.ask("cookie", Some("https://c.example.com"), &both(bearer)).await;
        answer.problem(401, "unauthorized");
    }
}
