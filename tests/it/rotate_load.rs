//! Rotation under load: two service processes, clients that log in, refresh, and use every token they hold until it
//! expires, against the local Braze at Required where a key takes a while to count. Not one token may be rejected while
//! keys are rotated; after a compromise every client recovers by itself.
//!
//! Scaled down here. `ROTATION_LOAD=full` is what a release is held to: 500 requests a second, three rotations, keys that
//! take 10 s to count.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use countersign::clock::SystemClock;
use serde_json::{Value, json};

use crate::support::{
    claims,
    postgres::Server,
    rotation::{install_on, local_braze},
    service::{Service, run, run_json},
};

struct Size {
    requests_per_second: u32,
    clients: u32,
    rotations: u32,
    propagation: Duration,
}

impl Size {
    fn asked_for() -> Self {
        let seconds = Duration::from_secs;
        match std::env::var("ROTATION_LOAD").as_deref() {
            Ok("full") => Self { requests_per_second: 500, clients: 200, rotations: 3, propagation: seconds(10) },
            _ => Self { requests_per_second: 40, clients: 20, rotations: 1, propagation: seconds(2) },
        }
    }
}

/// Code of the SDK for a token that has expired.
const EXPIRED: i64 = 22;

/// Results that the clients saw.
#[derive(Default)]
struct Seen {
    calls: AtomicU64,
    failed: Mutex<Vec<String>>,
    presented: AtomicU64,
    /// Rejections while no key was compromised.
    rejected: Mutex<Vec<Value>>,
    /// Rejections after the compromise, each of which a refresh must cure.
    cured: AtomicU64,
    /// Time from the compromise until each rejected client was accepted again.
    recoveries: Mutex<Vec<Duration>>,
    compromised: Mutex<Option<Instant>>,
    stop: AtomicBool,
}

/// A device.
struct Client {
    user: String,
    services: [String; 2],
    braze: String,
    api_key: String,
    http: reqwest::Client,
    refresh_token: Option<String>,
    /// Every token that was given to it, with its end, newest last.
    tokens: Vec<(String, i64)>,
    turn: usize,
    seen: Arc<Seen>,
}

impl Client {
    async fn live(mut self, pause: Duration) {
        while !self.seen.stop.load(Relaxed) {
            let begun = Instant::now();
            self.call().await;
            self.use_tokens().await;
            tokio::time::sleep(pause.saturating_sub(begun.elapsed())).await;
        }
    }

    /// A login now and then, refreshes in between, on one node after the other.
    async fn call(&mut self) {
        self.turn += 1;
        let service = &self.services[self.turn % 2];
        let request = match self.refresh_token.take().filter(|_| !self.turn.is_multiple_of(5)) {
            Some(token) => {
                self.http.post(format!("{service}/v1/token/refresh")).json(&json!({ "refresh_token": token }))
            }
            None => self
                .http
                .post(format!("{service}/v1/token/generate"))
                .bearer_auth(&self.api_key)
                .json(&json!({ "app": "web", "user_id": self.user })),
        };
        self.seen.calls.fetch_add(1, Relaxed);
        match self.answer(request).await {
            Ok(answer) => {
                let token = answer["token"].as_str().unwrap().to_owned();
                let end = claims(&token)["exp"].as_i64().unwrap();
                self.tokens.push((token, end));
                self.refresh_token = answer["refresh_token"].as_str().map(str::to_owned);
            }
            Err(why) => self.seen.failed.lock().unwrap().push(why),
        }
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, String> {
        let answer = request.send().await.map_err(|why| why.to_string())?;
        let status = answer.status();
        let body: Value = answer.json().await.map_err(|why| format!("{status}: {why}"))?;
        if status.is_success() { Ok(body) } else { Err(format!("{status}: {body}")) }
    }

    /// Presents the newest token, and one of the older ones that are still good.
    async fn use_tokens(&mut self) {
        let now = now();
        self.tokens.retain(|(_, end)| *end > now + 2);
        let older = self.tokens.get(self.turn % self.tokens.len().max(1)).cloned();
        let newest = self.tokens.last().cloned();
        for (token, end) in newest.into_iter().chain(older) {
            let Some(rejection) = self.present(&token).await else { continue };
            // A machine that stood still may have presented it too late.
            if rejection["error_code"] == EXPIRED && self::now() >= end {
                continue;
            }
            let compromised = *self.seen.compromised.lock().unwrap();
            match compromised {
                None => self.seen.rejected.lock().unwrap().push(rejection),
                Some(begun) => return self.recover(begun).await,
            }
        }
    }

    /// Auth-failure callback: refreshes until Braze accepts the token.
    async fn recover(&mut self, begun: Instant) {
        self.seen.cured.fetch_add(1, Relaxed);
        self.tokens.clear();
        for _ in 0..600 {
            self.call().await;
            if let Some((token, _)) = self.tokens.last().cloned()
                && self.present(&token).await.is_none()
            {
                self.tokens = self.tokens.pop().into_iter().collect();
                self.seen.recoveries.lock().unwrap().push(begun.elapsed());
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.seen.failed.lock().unwrap().push(format!("{} did not recover", self.user));
    }

    /// The rejection, if it is rejected.
    async fn present(&self, token: &str) -> Option<Value> {
        let body = json!({
            "api_key": "web",
            "events": [{ "name": "ce", "time": 1.5, "data": { "n": "e" }, "session_id": "s", "user_id": self.user }],
            "respond_with": { "user_id": self.user },
        });
        let request = self.http.post(format!("{}/api/v3/data/", self.braze));
        let request = request.header("X-Braze-Api-Key", "web").header("X-Braze-Auth-Signature", token).json(&body);
        self.seen.presented.fetch_add(1, Relaxed);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer.get("auth_error").cloned()
    }
}

fn now() -> i64 {
    countersign::clock::Clock::now(&SystemClock).seconds()
}

/// Waits until the services have done all steps of the ring.
async fn until_idle(folder: &Path) -> Duration {
    let begun = Instant::now();
    loop {
        let folder = folder.to_owned();
        let asked = tokio::task::spawn_blocking(move || run(&["rotate", "status", "--json"], &folder)).await.unwrap();
        let status: Value = serde_json::from_str(&asked.1).unwrap_or_else(|_| panic!("{asked:?}"));
        let keys = status[0]["keys"].as_array().unwrap();
        let ready = keys.iter().any(|key| key["state"] == "published");
        if status[0]["goal"] == "idle" && status[0]["done"] == true && ready {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_mins(5), "not idle: {}", asked.1);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn command(arguments: &'static [&'static str], folder: &Path) -> (i32, String, String) {
    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || run(arguments, &folder)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; tests/run.sh runs it"]
async fn no_token_is_rejected_while_keys_are_rotated() {
    rotate_under_load(None).await;
}

/// The two processes share a database, which also has the keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and needs PostgreSQL: tests/run.sh long_postgres"]
async fn on_postgres_no_token_is_rejected_while_keys_are_rotated() {
    let database = Server::shared().database();
    rotate_under_load(Some(&database.url())).await;
}

async fn rotate_under_load(database: Option<&str>) {
    let size = Size::asked_for();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (braze, url, serving) = local_braze(size.propagation).await;
    let soak = size.propagation.as_secs() + 2;
    let rotation = format!("soak = \"{soak}s\"\nmargin = \"{soak}s\"\nstandby = true");
    install_on(database, path, &braze, &url, &rotation, "1m").await;
    let api_key =
        run_json(&["clients", "create", "backend", "--app", "web"], path)["api_key"].as_str().unwrap().to_owned();
    let config = path.join("countersign.toml");
    let nodes = [Service::of(&config), Service::of(&config)];
    until_idle(path).await;
    tokio::time::sleep(size.propagation).await;

    let seen = Arc::new(Seen::default());
    let pause = Duration::from_secs(1) * size.clients / size.requests_per_second;
    let clients: Vec<_> = (0..size.clients)
        .map(|n| Client {
            user: format!("u-{n}"),
            services: [nodes[0].url.clone(), nodes[1].url.clone()],
            braze: url.clone(),
            api_key: api_key.clone(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            refresh_token: None,
            tokens: Vec::new(),
            turn: n as usize,
            seen: Arc::clone(&seen),
        })
        .map(|client| tokio::spawn(client.live(pause)))
        .collect();

    let begun = Instant::now();
    for n in 0..size.rotations {
        let before = run_json(&["keys", "list"], path).to_string();
        let (code, out, err) = command(&["rotate", "run", "--yes"], path).await;
        assert!(code == 3 || code == 0, "{code} {out}{err}");
        let took = until_idle(path).await;
        assert_ne!(run_json(&["keys", "list"], path).to_string(), before);
        println!("rotation {n} took {took:?}");
    }
    let (calls, presented) = (seen.calls.load(Relaxed), seen.presented.load(Relaxed));
    let rate = f64::from(u32::try_from(calls).unwrap()) / begun.elapsed().as_secs_f64();
    println!("{calls} calls ({rate:.0}/s), {presented} tokens presented");
    assert_eq!(*seen.rejected.lock().unwrap(), [Value::Null; 0], "rejected while rotating");
    assert_eq!(*seen.failed.lock().unwrap(), [""; 0], "service calls failed");

    *seen.compromised.lock().unwrap() = Some(Instant::now());
    let bad = run_json(&["keys", "public"], path)["kid"].as_str().unwrap().to_owned();
    let folder_of_command = path.to_owned();
    let compromise = move || run(&["keys", "compromise", &bad, "--yes"], &folder_of_command);
    let (code, out, err) = tokio::task::spawn_blocking(compromise).await.unwrap();
    assert!(code == 0 || code == 3, "{code} {out}{err}");
    // Every token of the bad key is rejected once its deletion has spread; every client holds some.
    tokio::time::sleep(size.propagation + Duration::from_secs(8)).await;
    crate::cli::eventually(async || !seen.recoveries.lock().unwrap().is_empty()).await;
    seen.stop.store(true, Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let mut recoveries = seen.recoveries.lock().unwrap().clone();
    recoveries.sort();
    assert!(!recoveries.is_empty(), "nobody held a token of the compromised key");
    assert_eq!(seen.cured.load(Relaxed), recoveries.len() as u64, "every rejection was cured");
    assert_eq!(*seen.failed.lock().unwrap(), [""; 0], "service calls failed");
    println!(
        "compromise: {} rejections cured, half of them within {:?}, all within {:?} (Braze took {:?} to let go of the key)",
        recoveries.len(),
        recoveries[recoveries.len() / 2],
        recoveries[recoveries.len() - 1],
        size.propagation
    );
    serving.abort();
}
