//! `countersign demo`, as its page uses it.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    claims,
    service::{countersign, run},
};

/// A running demo; killed when dropped.
struct Demo {
    child: Child,
    ready: Value,
    stdout: BufReader<ChildStdout>,
    client: reqwest::Client,
}

impl Demo {
    fn start(modules: &Path) -> Self {
        let mut command = countersign();
        command.args(["demo", "--json", "--listen", "127.0.0.1:0", "--modules"]).arg(modules);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let redirects = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().no_proxy().redirect(redirects).build().unwrap();
        Self { child, ready: serde_json::from_str(&line).unwrap(), stdout, client }
    }

    /// Waits for the console, and logs in to it with the token that the demo prints.
    async fn console(&mut self) -> Console {
        let mut line = String::new();
        tokio::task::block_in_place(|| self.stdout.read_line(&mut line)).unwrap();
        let state: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&state["state"], &state["days"]), (&json!("ready"), &json!(7)), "{state}");
        let url = state["console_url"].as_str().unwrap();
        assert_eq!(url, self.ready["console_url"]);
        let form = [("token", state["token"].as_str().unwrap())];
        let origin = url.strip_suffix("/console").unwrap().to_owned();
        let login = self.client.post(format!("{url}/login")).header("Origin", &origin);
        let answer = login.header("Content-Type", "application/x-www-form-urlencoded");
        let answer = answer.body(form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish());
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 303);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        Console { origin, cookie, client: self.client.clone() }
    }

    fn url(&self, which: &str, path: &str) -> String {
        format!("{}{path}", self.ready[which].as_str().unwrap())
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let answer = self.client.post(self.url("url", path)).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn transact(&self, body: Value) -> Value {
        let (status, answer) = self.post("/demo/act", body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn login(&self) -> Value {
        let (status, answer) = self.post("/demo/login", json!({ "user_id": "u-1" })).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// What the local Braze says to an event of u-1 with this token; `None`: accepted.
    async fn verdict(&self, token: &Value) -> Option<i64> {
        let key = self.ready["sdk_api_key"].as_str().unwrap();
        let body = json!({ "api_key": key, "events": [{ "name": "ce", "user_id": "u-1" }] });
        let request = self.client.post(self.url("sandbox_url", "/api/v3/data/")).header("X-Braze-Api-Key", key);
        let request = request.header("X-Braze-Auth-Signature", token.as_str().unwrap());
        let answer: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
        answer["auth_error"]["error_code"].as_i64()
    }
}

/// Console of a demo, as somebody who is logged in.
struct Console {
    origin: String,
    cookie: String,
    client: reqwest::Client,
}

impl Console {
    /// A page, in which runs of white space are one space.
    async fn page(&self, path: &str) -> String {
        let request = self.client.get(format!("{}{path}", self.origin)).header("Cookie", &self.cookie);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let text = answer.text().await.unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A page that has each of these texts.
    async fn page_with(&self, path: &str, texts: &[&str]) -> String {
        let page = self.page(path).await;
        for text in texts {
            assert!(page.contains(text), "{path} has no {text:?}: {page}");
        }
        page
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn each_button_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(folder.path());
    let first = demo.login().await;
    assert_eq!(claims(first["token"].as_str().unwrap())["sub"], "u-1");
    assert_eq!(demo.verdict(&first["token"]).await, None);

    // Tokens of the same second are left alone.
    let exp = claims(first["token"].as_str().unwrap())["exp"].as_i64().unwrap();
    while countersign::clock::Clock::now(&countersign::clock::SystemClock).seconds() + 3600 <= exp {
        tokio::task::yield_now().await;
    }
    demo.transact(json!({ "do": "expire" })).await;
    assert_eq!(demo.verdict(&first["token"]).await, Some(22));

    // More often than Braze has room for keys.
    for _ in 0..4 {
        demo.transact(json!({ "do": "rotate" })).await;
        assert_eq!(demo.verdict(&demo.login().await["token"]).await, None);
    }
    demo.transact(json!({ "do": "rotate_unpublished" })).await;
    let unknown = demo.login().await["token"].clone();
    assert_eq!(demo.verdict(&unknown).await, Some(27));
    let published = demo.transact(json!({ "do": "publish" })).await;
    assert_eq!(demo.verdict(&unknown).await, None);
    let header = jsonwebtoken::decode_header(unknown.as_str().unwrap()).unwrap();
    assert_eq!(header.kid.as_deref(), published["kid"].as_str(), "the page shows which key signed");
}

#[tokio::test]
async fn a_cut_service_answers_as_something_broken_before_it_would() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(folder.path());
    let refresh_token = demo.login().await["refresh_token"].clone();
    let site = demo.ready["url"].as_str().unwrap();
    let refresh = async || {
        let request = demo.client.post(demo.url("service_url", "/v1/token/refresh")).header("Origin", site);
        request.json(&json!({ "refresh_token": refresh_token })).send().await.unwrap()
    };
    demo.transact(json!({ "do": "cut", "cut": true })).await;
    let answer = refresh().await;
    assert_eq!(answer.status(), 502);
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    demo.transact(json!({ "do": "cut", "cut": false })).await;
    let answer = refresh().await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], site);
}

#[tokio::test]
async fn it_says_what_is_missing_and_serves_what_is_there_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let modules = folder.path().join("node_modules");
    let sdk = modules.join("@braze/web-sdk/src");
    std::fs::create_dir_all(&sdk).unwrap();
    std::fs::write(sdk.join("index.js"), "export const sdk = 1;").unwrap();
    std::fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    let demo = Demo::start(&modules);
    assert_eq!(demo.ready["missing"], json!(["@countersign/braze-web"]));
    let get = async |path: &str| demo.client.get(demo.url("url", path)).send().await.unwrap();
    let config: Value = get("/demo/config").await.json().await.unwrap();
    let script = get(config["sdk"].as_str().unwrap()).await;
    assert_eq!(script.headers()["content-type"], "text/javascript");
    assert_eq!(script.text().await.unwrap(), "export const sdk = 1;");
    for outside in ["/modules/../secret.txt", "/modules/%2e%2e/secret.txt", "/modules/..%2fsecret.txt"] {
        assert_eq!(get(outside).await.status(), 404, "{outside}");
    }
    let page = get("/").await.text().await.unwrap();
    assert!(page.contains("npm install") && !page.contains("://"), "{page}");
    for (file, kind) in [("page.css", "text/css"), ("page.js", "text/javascript"), ("view.js", "text/javascript")] {
        assert_eq!(get(&format!("/{file}")).await.headers()["content-type"], kind);
    }
    let policy = get("/").await.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");

    assert_eq!(config["missing"], json!(["@countersign/braze-web"]));
    let client = modules.join("@countersign/braze-web/dist");
    std::fs::create_dir_all(&client).unwrap();
    std::fs::write(client.join("index.js"), "export const client = 1;").unwrap();
    let config: Value = get("/demo/config").await.json().await.unwrap();
    assert_eq!(config["missing"], json!([]), "packages that were installed meanwhile");
    assert_eq!(config["modules"], modules.to_str().unwrap());
    let (status, answer) = demo.post("/demo/act", json!({ "do": "dance" })).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("dance"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_shows_a_week_of_sample_data() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(folder.path());
    let console = demo.console().await;
    for section in
        ["", "/keys", "/rotation", "/failures", "/users", "/callers", "/nodes", "/audit", "/doctor", "/login"]
    {
        console.page_with(&format!("/console{section}"), &["Sample data", "role=\"note\""]).await;
    }
    console.page_with("/console", &["2 apps are served by 1 node.", " no failure is rising"]).await;
    let causes =
        console.page_with("/console/failures?span=7d", &["key_withdrawn_too_early", "key_pasted_wrongly"]).await;
    assert!(!causes.contains(">unknown<"), "{causes}");
    let selected = |cause: &str, app: &str| format!("/console/failures?span=7d&app=&cause={cause}&at={app}");
    let pasted = "Braze cannot read the keys of app ios; an operator confirmed key ";
    console.page_with(&selected("key_pasted_wrongly", "ios"), &[pasted, "<dd>25</dd>"]).await;
    let withdrawn = "app web: a key was deleted at Braze while its tokens were valid";
    console.page_with(&selected("key_withdrawn_too_early", "web"), &[withdrawn, "<dd>27</dd>"]).await;
    console.page_with("/console/rotation?ring=main", &["Last rotation", "Begin a rotation"]).await;
    let keys = console.page("/console/keys").await;
    assert_eq!(keys.matches("data-label=\"State\">retired<").count(), 2, "{keys}");
}

#[test]
fn it_listens_on_loopback_only() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = run(&["demo", "--listen", "0.0.0.0:0"], folder.path());
    assert_eq!(code, 1);
    assert!(err.contains("loopback only"), "{err}");
}
