//! Log of a real process: one request id finds everything that became of a request.

use std::{io::Write, path::Path, process::Command, sync::Arc};

use serde_json::{Value, json};

use super::support::{
    Answer,
    endpoint::{TestEndpoint, response},
    jwt::{RSA, TestProvider, changed, published},
    secret_of,
    service::{Service, run_json},
};

const ID: (&str, &str) = ("x-request-id", "corr-47");
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A service with a store in a folder, and the API key of a backend.
struct Installed {
    service: Arc<Service>,
    api_key: String,
    folder: tempfile::TempDir,
}

impl Installed {
    fn with(change: impl FnOnce(&mut Command)) -> Self {
        Self::with_config("", change)
    }

    /// A service with more in its configuration.
    fn with_config(more: &str, change: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        run_json(&["init"], folder.path());
        let config = folder.path().join("countersign.toml");
        std::fs::OpenOptions::new().append(true).open(config).unwrap().write_all(more.as_bytes()).unwrap();
        let made = run_json(&["clients", "create", "backend", "--app", "web"], folder.path());
        let service = Arc::new(Service::of_with(&folder.path().join("countersign.toml"), change));
        Self { service, api_key: made["api_key"].as_str().unwrap().to_owned(), folder }
    }

    /// Stops the service; its log.
    fn log(self) -> String {
        Arc::into_inner(self.service).unwrap().stop().2
    }

    async fn refresh(&self, refresh_token: &str) -> Answer {
        let body = json!({ "refresh_token": refresh_token });
        self.service.post_with("/v1/token/refresh", None, &body, &[ID]).await.unwrap()
    }
}

fn sql(folder: &Path, statement: &str) {
    rusqlite::Connection::open(folder.join("countersign.db")).unwrap().execute_batch(statement).unwrap();
}

/// Asks for tokens, many at a time, until one request is refused because too many wait.
async fn shed_one(installed: &Installed) {
    for _ in 0..50 {
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let (service, key) = (Arc::clone(&installed.service), installed.api_key.clone());
            asking.spawn(async move {
                let body = json!({ "app": "web", "user_id": "canary-user" });
                service.post_with("/v1/token/generate", Some(&key), &body, &[ID]).await.unwrap()
            });
        }
        if asking.join_all().await.iter().any(|answer| answer.status == 503 && answer.text("code") == "overloaded") {
            return;
        }
    }
    panic!("no request was shed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_id_finds_the_access_line_a_reuse_a_store_failure_and_a_shed_signature() {
    let installed = Installed::with(|command| {
        command.env("COUNTERSIGN_CUSTODY__THREADS", "1").env("COUNTERSIGN_CUSTODY__MAX_WAIT", "1ms");
    });
    let first = installed.service.generate(&installed.api_key, "canary-user").await.ok().text("refresh_token");
    let second = installed.refresh(&first).await.ok().text("refresh_token");
    let third = installed.refresh(&second).await.ok().text("refresh_token");
    // Two behind, and longer ago than a race of two tabs lasts.
    sql(installed.folder.path(), "UPDATE sessions SET rotated = rotated - 60000");
    installed.refresh(&first).await.problem(401, "invalid_token");
    let other = installed.service.generate(&installed.api_key, "canary-user").await.ok().text("refresh_token");
    sql(installed.folder.path(), "ALTER TABLE sessions RENAME TO away");
    installed.refresh(&other).await.problem(503, "unavailable");
    sql(installed.folder.path(), "ALTER TABLE away RENAME TO sessions");
    shed_one(&installed).await;

    let log = installed.log();
    let found: Vec<&str> = log.lines().filter(|line| line.contains("request_id=corr-47")).collect();
    let one = |parts: &[&str]| {
        let line = found.iter().find(|line| parts.iter().all(|part| line.contains(part)));
        *line.unwrap_or_else(|| panic!("no line with {parts:?}: {log}"))
    };
    let access = one(&["INFO", "countersign::access: request", "status=200", "latency_ms="]);
    assert!(access.contains("method=POST route=/v1/token/refresh app=web session="), "{access}");
    let reuse = one(&["WARN", "a replaced refresh token came back"]);
    let session = reuse.split("session=").nth(1).unwrap().split(['}', ' ']).next().unwrap();
    assert_eq!(reuse.matches(&format!("session={session}")).count(), 2, "in the span and in the event: {reuse}");
    one(&["countersign::access", session, "status=401", "code=\"invalid_token\""]);
    one(&["ERROR", "a request could not be answered", "no such table: sessions"]);
    one(&["countersign::access", "status=503", "code=\"unavailable\""]);
    one(&["INFO", "a signature was shed"]);
    one(&["countersign::access", "route=/v1/token/generate", "status=503", "code=\"overloaded\""]);
    for secret in ["canary-user", &first[5..], &second[5..], &third[5..], &other[5..]] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

/// Access lines of a JSON log.
fn access_lines(log: &str) -> Vec<Value> {
    let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["target"] == "countersign::access").collect()
}

/// A login and a refused refresh, an unknown path, and routes that are no news when they succeed.
async fn requests(installed: &Installed) {
    let Installed { service, api_key, .. } = installed;
    let trace = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let body = json!({ "app": "web", "user_id": "u-1" });
    let headers = [ID, ("traceparent", trace.as_str())];
    service.post_with("/v1/token/generate", Some(api_key), &body, &headers).await.unwrap().ok();
    let headers = [ID, ("traceparent", "00-canary-trace-01")];
    let body = json!({ "refresh_token": "junk" });
    service.post_with("/v1/token/refresh?canary=query", None, &body, &headers).await.unwrap();
    service.get(&format!("{}/v1/canary-path", service.url)).await.problem(404, "client_error");
    for path in ["/healthz", "/readyz", "/.well-known/jwks.json", "/openapi.json", "/docs/"] {
        service.get(&format!("{}{path}", service.url)).await.ok();
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        service.get(&format!("{}{path}", service.ops_url)).await.ok();
    }
}

fn json_log(requests: &'static str) -> impl FnOnce(&mut Command) {
    move |command| {
        command.env("COUNTERSIGN_LOG__FORMAT", "json").env("COUNTERSIGN_LOG__REQUESTS", requests);
    }
}

#[tokio::test]
async fn json_lines_have_every_field_of_the_request() {
    let installed = Installed::with(json_log("all"));
    requests(&installed).await;
    let log = installed.log();
    assert!(!log.contains("canary"), "{log}");
    let lines = access_lines(&log);
    let [login, refresh, unmatched] = &lines[..] else { panic!("{log}") };
    let span = &login["spans"][0];
    assert_eq!((&login["message"], &login["level"]), (&json!("request"), &json!("INFO")));
    assert_eq!(
        json!([span["name"], span["request_id"], span["trace_id"], span["method"], span["route"], span["status"]]),
        json!(["request", "corr-47", TRACE, "POST", "/v1/token/generate", 200])
    );
    assert_eq!(json!([span["app"], span["client"]]), json!(["web", "backend"]));
    assert!(span["latency_ms"].as_f64().unwrap() > 0.0 && !span["session"].as_str().unwrap().is_empty(), "{span}");
    let span = &refresh["spans"][0];
    assert_eq!(json!([span["request_id"], span["status"]]), json!(["corr-47", 401]));
    assert_eq!((&refresh["code"], span.get("trace_id")), (&json!("invalid_token"), None));
    let span = &unmatched["spans"][0];
    assert_eq!(json!([span["method"], span["route"], span["status"]]), json!(["GET", "unmatched", 404]));
}

#[tokio::test]
async fn fewer_lines_are_written_where_the_operator_wants_fewer() {
    for (requests_logged, expected) in [("refusals", vec![401, 404]), ("none", vec![])] {
        let installed = Installed::with(json_log(requests_logged));
        requests(&installed).await;
        let log = installed.log();
        let statuses: Vec<u64> =
            access_lines(&log).iter().map(|line| line["spans"][0]["status"].as_u64().unwrap()).collect();
        assert_eq!(statuses, expected, "{requests_logged}: {log}");
    }
}

#[tokio::test]
async fn what_the_listener_refuses_unread_has_a_line_with_the_id_of_its_answer() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let installed = Installed::with(json_log("refusals"));
    let address = installed.service.url.trim_start_matches("http://").to_owned();
    let mut client = tokio::net::TcpStream::connect(&address).await.unwrap();
    client.write_all(b"canary\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap().to_owned();
    let log = installed.log();
    let [line] = &access_lines(&log)[..] else { panic!("{log}") };
    let span = &line["spans"][0];
    assert_eq!(
        json!([span["request_id"], span["method"], span["route"], span["status"], line["code"]]),
        json!([id, "other", "unmatched", 400, "client_error"])
    );
    assert!(!log.contains("canary"), "{log}");
}

/// The request's span is not of the filtered target, and yet its events have it.
#[tokio::test]
async fn a_filter_of_one_target_still_shows_the_request() {
    let installed = Installed::with(|command| {
        command.env("COUNTERSIGN_LOG__LEVEL", "error,countersign::failures=info");
    });
    let token = installed.service.generate(&installed.api_key, "u-1").await.ok().text("refresh_token");
    let body = json!({ "refresh_token": token, "failure": { "error_code": 22 } });
    installed.service.post_with("/v1/token/refresh", None, &body, &[ID]).await.unwrap().ok();
    let log = installed.log();
    let [line] = &log.lines().collect::<Vec<_>>()[..] else { panic!("{log}") };
    assert!(line.contains("request_id=corr-47") && line.contains("reported an authentication failure"), "{line}");
}

/// A client that goes away before its answer has a line too.
#[tokio::test]
async fn a_request_that_is_given_up_has_a_line() {
    use tokio::io::AsyncWriteExt;
    let installed = Installed::with(json_log("all"));
    let address = installed.service.url.trim_start_matches("http://").to_owned();
    let mut client = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = "POST /v1/token/refresh HTTP/1.1\r\nhost: a\r\nx-request-id: corr-47\r\n\
                content-type: application/json\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    // The service asks for the body: the request is under way.
    client.readable().await.unwrap();
    drop(client);
    let closed = r#"countersign_http_requests_total{route="/v1/token/refresh",method="POST",status="#;
    let metrics = format!("{}/metrics", installed.service.ops_url);
    while !String::from_utf8(installed.service.get(&metrics).await.ok().body).unwrap().contains(closed) {
        tokio::task::yield_now().await;
    }
    let log = installed.log();
    let lines = access_lines(&log);
    assert_eq!(lines[0]["spans"][0]["request_id"], "corr-47", "{log}");
    assert!(lines[0]["spans"][0]["status"].as_u64().unwrap() >= 400, "{log}");
}

#[tokio::test]
async fn a_refused_api_key_has_one_line_with_its_id_and_the_address() {
    let installed = Installed::with(|_| {});
    let right = installed.api_key.clone();
    let (id, secret) = (right.split('_').nth(1).unwrap(), secret_of(&right));
    let wrong = format!("csk1_{id}_{}", "canarycanary".repeat(3) + "canaryA");
    for _ in 0..5 {
        installed.service.generate(&wrong, "u-1").await.problem(401, "unauthorized");
        installed.service.generate("canary-pasted", "u-1").await.problem(401, "unauthorized");
    }
    installed.service.generate(&right, "u-1").await.ok();
    let log = installed.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("an API key was refused")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].contains("WARN") && lines[0].contains(&format!("address=127.0.0.1 key={id}")), "{}", lines[0]);
    assert!(lines[1].contains("address=127.0.0.1") && !lines[1].contains("key="), "{}", lines[1]);
    assert!(!log.contains("canary") && !log.contains(secret), "{log}");
}

#[tokio::test]
async fn a_refused_sign_in_has_one_line_with_its_reason_and_the_address() {
    let provider = TestProvider::start(&published()).await;
    let installed = Installed::with_config(&provider.config("web"), |_| {});
    let expired = RSA.token(&provider.claims("canary-user", 1_000_000_000));
    for _ in 0..5 {
        for (credential, app) in [(&*expired, "web"), ("canary-pasted", "web"), (&*expired, "canary-app")] {
            let answer = installed.service.post("/v1/token/exchange", Some(credential), &json!({ "app": app })).await;
            answer.unwrap().problem(401, "unauthorized");
        }
    }
    let log = installed.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("a credential was refused")).collect();
    assert_eq!(lines.len(), 3, "{log}");
    for (line, reason, app) in
        [(lines[0], "expired", Some("web")), (lines[1], "malformed", Some("web")), (lines[2], "not_enabled", None)]
    {
        assert!(line.contains("WARN") && line.contains(&format!("address=127.0.0.1 reason=\"{reason}\"")), "{line}");
        assert_eq!(line.contains("app=web"), app.is_some(), "{line}");
        assert_eq!(line.contains("try `countersign sign-in test`"), app.is_some(), "{line}");
    }
    assert!(lines[2].contains("no app of this name is configured"), "{}", lines[2]);
    assert!(!log.contains("canary"), "{log}");
}

#[tokio::test]
async fn the_rule_that_refused_is_logged_and_nothing_of_the_token() {
    let provider = TestProvider::start(&published()).await;
    let config = format!("{}required_claims = {{ role = [\"user\"] }}\n", provider.config("web"));
    let installed = Installed::with_config(&config, |_| {});
    let now = jiff::Timestamp::now().as_second();
    let claims = provider.claims("canary-user", now);
    let mut no_exp = claims.clone();
    no_exp.as_object_mut().unwrap().remove("exp");
    for claims in [&changed(&claims, "role", "canary-role".into()), &no_exp] {
        let body = json!({ "app": "web" });
        let answer = installed.service.post("/v1/token/exchange", Some(&RSA.token(claims)), &body).await;
        answer.unwrap().problem(401, "unauthorized");
    }
    let mut logout = provider.logout_claims("canary-user", now);
    logout["jti"] = json!(["canary-jti"]);
    let mut header = RSA.header();
    header["typ"] = json!("logout+jwt");
    let form = format!("logout_token={}", RSA.with_header(&header, &logout));
    let url = format!("{}/v1/sign-out/backchannel/web", installed.service.url);
    let sent = reqwest::Client::new().post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
    assert_eq!(sent.send().await.unwrap().status(), 400);
    let log = installed.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("was refused: a required claim")).collect();
    assert_eq!(lines.len(), 3, "{log}");
    for (line, rule) in lines.iter().zip(["role", "exp", "jti"]) {
        assert!(line.contains(&format!("reason=\"required_claim\" rule=\"{rule}\"")), "{line}");
    }
    assert!(lines[2].contains("a logout token was refused") && !lines[2].contains("sign-in test"), "{}", lines[2]);
    assert!(!log.contains("canary"), "{log}");
}

#[tokio::test]
async fn a_key_that_the_last_set_lacks_is_logged_once_a_minute() {
    let provider = TestProvider::start(&published()).await;
    let installed = Installed::with_config(&provider.config("web"), |_| {});
    let claims = provider.claims("canary-user", jiff::Timestamp::now().as_second());
    for (kid, status, code) in
        [("canary-1", 401, "unauthorized"), ("canary-2", 503, "unavailable"), ("canary-3", 503, "unavailable")]
    {
        let mut header = RSA.header();
        header["kid"] = kid.into();
        let token = RSA.with_header(&header, &claims);
        let answer = installed.service.post("/v1/token/exchange", Some(&token), &json!({ "app": "web" })).await;
        answer.unwrap().problem(status, code);
    }
    let log = installed.log();
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("names a key that the last key set lacks")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("WARN") && lines[0].contains(&provider.issuer), "{}", lines[0]);
    assert!(!log.contains("canary"), "{log}");
}

#[tokio::test]
async fn the_status_of_a_session_endpoint_that_refuses_is_logged() {
    let endpoint = TestEndpoint::start().await;
    let config = format!(
        "\n[[apps.web.sign_in]]\nkind = \"session_endpoint\"\nurl = \"{}\"\nbearer = true\nuser_id = \"/id\"\n",
        endpoint.url
    );
    let installed = Installed::with_config(&config, |_| {});
    for status in [404, 401] {
        endpoint.answers(move |_| response(status, "text/html", "canary"));
        let credential = format!("canary-{status}");
        let answer = installed.service.post("/v1/token/exchange", Some(&credential), &json!({ "app": "web" })).await;
        answer.unwrap().problem(401, "unauthorized");
    }
    let log = installed.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("the session endpoint says that nobody")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    for (line, status) in lines.iter().zip([404, 401]) {
        assert!(line.contains(&format!("reason=\"inactive\" rule=\"status {status}\"")), "{line}");
    }
    assert!(!log.contains("canary"), "{log}");
}
