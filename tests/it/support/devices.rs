//! Honest devices that use the service without a pause, and a record of every answer that they get.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Refreshes after which a device logs out, and logs in again.
const REFRESHES: u32 = 15;
/// Pause of a device between an answer and its next request: the devices are a load, and the machine is not full.
const PAUSE: Duration = Duration::from_millis(20);

/// An answer to a device.
#[derive(Clone, Debug)]
pub struct Sample {
    pub verb: &'static str,
    pub status: u16,
    pub degraded: bool,
    pub asked: Instant,
    pub took: Duration,
    #[expect(dead_code, reason = "shown where a sample is not what it should be")]
    pub body: String,
}

impl Sample {
    pub fn answered(&self) -> Instant {
        self.asked + self.took
    }
}

#[derive(Default)]
struct Record {
    samples: Mutex<Vec<Sample>>,
    stop: AtomicBool,
}

/// Devices at work on some nodes.
pub struct Devices {
    record: Arc<Record>,
    running: Vec<JoinHandle<String>>,
}

impl Devices {
    /// Starts this many; each goes from node to node.
    pub fn start(count: usize, urls: &[String], api_key: &str) -> Self {
        let record = Arc::new(Record::default());
        let device = |number| Device {
            number,
            urls: urls.to_vec(),
            api_key: api_key.to_owned(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            turn: number,
            record: Arc::clone(&record),
        };
        let running = (0..count).map(|number| tokio::spawn(device(number).live())).collect();
        Self { record, running }
    }

    /// Stops them; every answer, and the refresh token that each device still has.
    pub async fn stop(self) -> (Vec<Sample>, Vec<String>) {
        self.record.stop.store(true, Relaxed);
        let mut tokens = Vec::new();
        for device in self.running {
            tokens.push(device.await.unwrap());
        }
        let samples = self.record.samples.lock().unwrap().clone();
        (samples, tokens)
    }
}

struct Device {
    number: usize,
    urls: Vec<String>,
    api_key: String,
    http: reqwest::Client,
    turn: usize,
    record: Arc<Record>,
}

impl Device {
    /// Logs in, refreshes and logs out again and again; the refresh token that it has at the end.
    async fn live(mut self) -> String {
        for login in 0.. {
            let user = format!("u-{}-{login}", self.number);
            let mut token = self.must("generate", json!({ "app": "web", "user_id": user })).await;
            for _ in 0..REFRESHES {
                if self.record.stop.load(Relaxed) {
                    return token;
                }
                token = self.must("refresh", json!({ "refresh_token": token })).await;
            }
            // A logout may be refused for the moment (503): its user will log in again on this device all the same.
            self.call("revoke", json!({ "refresh_token": token })).await;
        }
        unreachable!("logins do not run out")
    }

    /// Calls until it is answered with 200, as a client does; the refresh token. What else came is on record.
    async fn must(&mut self, verb: &'static str, body: Value) -> String {
        loop {
            let (status, answer) = self.call(verb, body.clone()).await;
            match status {
                200 => return answer["refresh_token"].as_str().unwrap().to_owned(),
                503 => {}
                _ => panic!("{verb}: {status} {answer}"),
            }
        }
    }

    async fn call(&mut self, verb: &'static str, body: Value) -> (u16, Value) {
        tokio::time::sleep(PAUSE).await;
        self.turn += 1;
        let url = format!("{}/v1/token/{verb}", self.urls[self.turn % self.urls.len()]);
        let mut request = self.http.post(url).json(&body).timeout(Duration::from_secs(30));
        if verb == "generate" {
            request = request.bearer_auth(&self.api_key);
        }
        let asked = Instant::now();
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let answer: Value = answer.json().await.unwrap();
        let took = asked.elapsed();
        let degraded = answer["degraded"] == true;
        let body = if status == 200 { String::new() } else { answer.to_string() };
        self.record.samples.lock().unwrap().push(Sample { verb, status, degraded, asked, took, body });
        (status, answer)
    }
}

/// Samples of logins and refreshes.
pub fn logins_and_refreshes(samples: &[Sample]) -> impl Iterator<Item = &Sample> + Clone {
    samples.iter().filter(|sample| sample.verb != "revoke")
}

/// Time at which the last of the degraded answers came, if there was one.
pub fn last_degraded(samples: &[Sample]) -> Option<Instant> {
    samples.iter().filter(|sample| sample.degraded).map(Sample::answered).max()
}

/// Time within which 99 % of the answers came.
pub fn p99<'a>(samples: impl Iterator<Item = &'a Sample>) -> Duration {
    let mut took: Vec<Duration> = samples.map(|sample| sample.took).collect();
    took.sort();
    took[took.len() * 99 / 100]
}
