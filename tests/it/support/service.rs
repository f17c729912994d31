//! The built binary as a process of its own.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread::JoinHandle,
};

use serde_json::{Value, json};

use super::Answer;

/// Variables of systemd that the service reads.
const OF_SYSTEMD: [&str; 4] = ["LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "INVOCATION_ID"];

/// The binary under test, with nothing of the surrounding environment that it would read.
pub fn countersign() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COUNTERSIGN_") || OF_SYSTEMD.iter().any(|own| name == *own) {
            command.env_remove(name);
        }
    }
    command
}

/// A running service; killed when dropped.
pub struct Service {
    pub child: Child,
    pub url: String,
    pub ops_url: String,
    /// The line it printed when it was ready.
    pub ready: Value,
    stdout: BufReader<ChildStdout>,
    /// Reads the log, which would otherwise fill its pipe and stop the service.
    log: Option<JoinHandle<String>>,
    client: reqwest::Client,
}

impl Service {
    /// `serve --dev` on free ports.
    pub fn dev() -> Self {
        Self::dev_with(|_| {})
    }

    /// `serve --dev`, after the test has changed the command.
    pub fn dev_with(change: impl FnOnce(&mut Command)) -> Self {
        let mut command = countersign();
        command.args(["serve", "--dev", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
        change(&mut command);
        Self::start(command)
    }

    /// `serve` on free ports, with this configuration.
    pub fn of(config: &Path) -> Self {
        Self::of_with(config, |_| {})
    }

    pub fn of_with(config: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Self::serve(config);
        change(&mut command);
        Self::start(command)
    }

    /// `serve` with this configuration; its log goes to `stderr`, which the test holds.
    pub fn with_log_to(config: &Path, stderr: impl Into<Stdio>) -> Self {
        Self::start_with_log(Self::serve(config).stderr(stderr))
    }

    fn serve(config: &Path) -> Command {
        let mut command = countersign();
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--config"]);
        command.arg(config);
        command
    }

    fn start(mut command: Command) -> Self {
        Self::start_with_log(command.stderr(Stdio::piped()))
    }

    fn start_with_log(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = child.stderr.take();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.map(|mut stderr| stderr.read_to_string(&mut text).unwrap());
            text
        });
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            panic!("the service did not start: {line}{}", log.join().unwrap());
        };
        let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { child, url: text("url"), ops_url: text("ops_url"), ready, stdout, log: Some(log), client }
    }

    /// The API key that `--dev` made.
    pub fn api_key(&self) -> &str {
        self.ready["api_key"].as_str().unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// SIGTERM, then everything it said on stdout and stderr.
    pub fn stop(mut self) -> (ExitStatus, String, String) {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Waits for its end; everything it said on stdout and stderr.
    pub fn wait(&mut self) -> (ExitStatus, String, String) {
        let log = self.log.take().unwrap();
        let mut out = String::new();
        self.stdout.read_to_string(&mut out).unwrap();
        (self.child.wait().unwrap(), out, log.join().unwrap())
    }

    pub async fn get(&self, url: &str) -> Answer {
        read(self.client.get(url).send().await.unwrap()).await
    }

    pub async fn post(&self, path: &str, bearer: Option<&str>, body: &Value) -> Result<Answer, reqwest::Error> {
        self.post_with(path, bearer, body, &[]).await
    }

    /// Posts with further headers.
    pub async fn post_with(
        &self,
        path: &str,
        bearer: Option<&str>,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.client.post(format!("{}{path}", self.url)).json(body);
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(read(request.send().await?).await)
    }

    /// Mints for a user on `web` with this API key.
    pub async fn generate(&self, api_key: &str, user: &str) -> Answer {
        self.post("/v1/token/generate", Some(api_key), &json!({ "app": "web", "user_id": user })).await.unwrap()
    }

    pub async fn refresh(&self, refresh_token: &str) -> Result<Answer, reqwest::Error> {
        self.post("/v1/token/refresh", None, &json!({ "refresh_token": refresh_token })).await
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn read(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
}

/// Runs a command of the CLI to its end; exit code, stdout, stderr.
pub fn run(arguments: &[&str], folder: &Path) -> (i32, String, String) {
    run_with(arguments, folder, |_| {})
}

pub fn run_with(arguments: &[&str], folder: &Path, change: impl FnOnce(&mut Command)) -> (i32, String, String) {
    let mut command = countersign();
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    change(&mut command);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// Replaces a command of this program by a script of the shell that ends in `exec "$@"`, the program with its arguments.
pub fn by_shell(command: &mut Command, wrapper: &[&str], script: &str) {
    let own = std::mem::replace(command, Command::new(wrapper[0]));
    command.args(&wrapper[1..]).args(["sh", "-ec", script, "sh"]).arg(own.get_program()).args(own.get_args());
    if let Some(folder) = own.get_current_dir() {
        command.current_dir(folder);
    }
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null());
}

/// A command that must succeed; its JSON.
#[track_caller]
pub fn run_json(arguments: &[&str], folder: &Path) -> Value {
    let (code, answer) = answered(arguments, folder);
    assert_eq!(code, 0, "{arguments:?}: {answer}");
    answer
}

/// Exit code of a command that ended something of which a live node did not say within 3 s that it knows it.
pub const PENDING: i32 = 5;

/// A command that ends sessions or opts a user out, beside a live service; its JSON. On a busy machine the end may be
/// pending: it is on record all the same.
#[track_caller]
pub fn run_ending(arguments: &[&str], folder: &Path) -> Value {
    let (code, answer) = answered(arguments, folder);
    let expected = if answer.get("pending").is_some() { PENDING } else { 0 };
    assert_eq!(code, expected, "{arguments:?}: {answer}");
    answer
}

/// Exit code and JSON of a command.
#[track_caller]
fn answered(arguments: &[&str], folder: &Path) -> (i32, Value) {
    let (code, out, err) = run(&[arguments, &["--json"]].concat(), folder);
    let answer = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {code}: {out}{err}"));
    (code, answer)
}
