//! A process of the service that has not become ready yet: its store is out of reach.

use std::{
    fs::{self, File},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Answer, service::countersign};

/// A running process; killed when dropped.
pub struct StartingService {
    child: Child,
    pub url: String,
    pub ops_url: String,
    files: tempfile::TempDir,
    supervisor: UnixDatagram,
    http: reqwest::Client,
}

impl StartingService {
    /// Starts `serve` with this configuration, and waits until it says that it waits for its store.
    pub async fn of(config: &Path) -> Self {
        let files = tempfile::tempdir().unwrap();
        let supervisor = UnixDatagram::bind(files.path().join("notify")).unwrap();
        supervisor.set_nonblocking(true).unwrap();
        let mut command = countersign();
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--config"]);
        command.arg(config).env("COUNTERSIGN_LOG__FORMAT", "json").env("NOTIFY_SOCKET", files.path().join("notify"));
        let file = |name: &str| File::create(files.path().join(name)).unwrap();
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut service = Self { child, url: String::new(), ops_url: String::new(), files, supervisor, http };
        let begun = service.wait_for(|service| service.events_of_waiting().pop()).await;
        let url = |name: &str| format!("http://{}", begun[name].as_str().unwrap());
        (service.url, service.ops_url) = (url("public"), url("ops"));
        service
    }

    /// Waits until there is something.
    pub async fn wait_for<T>(&mut self, mut is_there: impl FnMut(&Self) -> Option<T>) -> T {
        for _ in 0..1200 {
            if let Some(found) = is_there(self) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nothing within a minute: {}", self.log());
    }

    pub fn log(&self) -> String {
        self.read("stderr")
    }

    /// Events of the log that say that it waits.
    pub fn events_of_waiting(&self) -> Vec<Value> {
        let log = self.log();
        // The last line may not be whole yet.
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event.to_string().contains("cannot start without the store")).collect()
    }

    /// The line that it prints once it is ready, if it has.
    pub fn ready(&self) -> Option<Value> {
        let line = self.read("stdout");
        line.ends_with('\n').then(|| serde_json::from_str(&line).unwrap())
    }

    /// What it told its supervisor since the last call.
    pub fn notices(&self) -> String {
        let (mut all, mut buffer) = (String::new(), [0; 4096]);
        while let Ok(length) = self.supervisor.recv(&mut buffer) {
            all += &String::from_utf8_lossy(&buffer[..length]);
        }
        all
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(mut self) -> (ExitStatus, String) {
        (self.child.wait().unwrap(), self.log())
    }

    pub async fn get(&self, url: &str) -> Answer {
        read(self.http.get(url)).await
    }

    pub async fn post(&self, path: &str, bearer: &str, body: &Value) -> Answer {
        read(self.http.post(format!("{}{path}", self.url)).bearer_auth(bearer).json(body)).await
    }

    /// Mints for a user on `web`.
    pub async fn generate(&self, api_key: &str, user: &str) -> Answer {
        self.post("/v1/token/generate", api_key, &json!({ "app": "web", "user_id": user })).await
    }

    fn read(&self, name: &str) -> String {
        let path: PathBuf = self.files.path().join(name);
        String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
    }
}

impl Drop for StartingService {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn read(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
}
