//! Countersign as a process: its installation, and the measured apps.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{client::Target, process::Process};

/// `custody.max_wait` for the cost of a token: no shedding, because 64 clients that wait for signatures are no
/// overload.
pub const PATIENT: &str = "10s";

/// Default of `custody.max_wait`.
pub const SHEDDING: &str = "30ms";

/// App with the default policy.
pub const APP: &str = "web";

/// Apps for the comparison with the peers: the same claims; `bare` keeps no sessions either.
pub const BARE: &str = "bare";
pub const DURABLE: &str = "durable";

const MORE_APPS: &str = "
[apps.bare.refresh]
enabled = false
[apps.bare.claims]
iat = true
kid = true
[apps.durable.claims]
iat = true
kid = true
";

/// A folder with configuration, key and store, and an API key for it.
pub struct Installation {
    folder: tempfile::TempDir,
    pub api_key: String,
    pub kid: String,
    pub public_key: String,
}

impl Installation {
    /// Installs a service. The key exists before the start, as in an existing service.
    pub fn new() -> Self {
        Self::with("")
    }

    /// Installs it with more in its configuration.
    pub fn with(more: &str) -> Self {
        Self::init(&[], more)
    }

    /// Installs it on an empty PostgreSQL database.
    pub fn on(url: &str) -> Self {
        Self::init(&["--store-url", url], "")
    }

    fn init(arguments: &[&str], more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = run(&[&["init"], arguments, &["--json", "--dir"]].concat(), folder.path());
        let config = folder.path().join("countersign.toml");
        let mut file = fs::OpenOptions::new().append(true).open(&config).unwrap();
        file.write_all(format!("{MORE_APPS}{more}").as_bytes()).unwrap();
        let apps = ["--app", APP, "--app", BARE, "--app", DURABLE, "--json", "-c"];
        let client = run(&[&["clients", "create", "load"], &apps[..]].concat(), &config);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (kid, public_key) = (text(&key["kid"]), text(&key["public_key"]));
        Self { folder, api_key: text(&client["api_key"]), kid, public_key }
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("countersign.toml")
    }

    pub fn store(&self) -> PathBuf {
        self.folder.path().join("countersign.db")
    }

    /// Returns the path of the private key's file, PKCS#8 in PEM.
    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("keys").join(format!("{}.pem", self.kid))
    }
}

/// A running service.
pub struct Service {
    pub process: Process,
    pub installation: Installation,
    pub start_to_ready: Duration,
    target: Target,
    ops: SocketAddr,
}

impl Service {
    /// Starts the service of an installation. It sheds requests that would wait longer than `max_wait` for a
    /// signature.
    pub fn start(installation: Installation, max_wait: &str) -> Self {
        Self::start_with(installation, max_wait, &[("COUNTERSIGN_LOG__LEVEL", "error")], None)
    }

    /// Starts it with these variables; its log goes to a file, if one is given.
    pub fn start_with(
        installation: Installation,
        max_wait: &str,
        variables: &[(&str, &str)],
        log: Option<fs::File>,
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "-c"]);
        command.arg(installation.config());
        command.env("COUNTERSIGN_LIMITS__ENABLED", "false").env("COUNTERSIGN_CUSTODY__MAX_WAIT", max_wait);
        command.envs(variables.iter().copied());
        let begun = Instant::now();
        let (process, line) = Process::start(&command, log).expect("taskset of util-linux, and the service");
        let start_to_ready = begun.elapsed();
        let ready: Value = serde_json::from_str(&line).expect("a ready line");
        let address = |url: &str| ready[url].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        let (address, ops) = (address("url"), address("ops_url"));
        let target = Target { address, api_key: installation.api_key.clone(), app: APP.to_owned() };
        Self { process, installation, start_to_ready, target, ops }
    }

    /// Returns true where the service chose batches for its key, by its metric of the measured cost.
    pub fn signs_in_batches(&self) -> bool {
        let mut stream = TcpStream::connect(self.ops).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.ops).unwrap();
        let mut metrics = String::new();
        stream.read_to_string(&mut metrics).unwrap();
        let cost = metrics.lines().find(|line| line.starts_with("countersign_signature_cost_seconds{"));
        !cost.expect("the cost of a signature").contains("library=\"aws-lc-rs\"")
    }

    /// Returns address and API key of the service, for this app.
    pub fn target(&self, app: &str) -> Target {
        Target { app: app.to_owned(), ..self.target.clone() }
    }
}

/// Runs a CLI command on a path; returns its JSON.
fn run(arguments: &[&str], path: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign")).args(arguments).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
