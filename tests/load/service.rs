//! Countersign as a process: its site, and the apps that are measured.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{client::Door, process::Process};

/// What a token costs is measured without shedding: 64 clients that wait for each other's signatures are no overload.
pub const PATIENT: &str = "10s";

/// The default of `custody.max_wait`.
pub const SHEDDING: &str = "30ms";

/// An app with the default policy.
pub const APP: &str = "web";

/// The apps that stand beside the peers carry the same claims as theirs; the peers keep no sessions, nor does `bare`.
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
pub struct Site {
    folder: tempfile::TempDir,
    pub api_key: String,
    pub kid: String,
    pub public_key: String,
}

impl Site {
    /// Sets a service up. The key is made before the start, which is that of an existing service.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = run(&["init", "--json", "--dir"], folder.path());
        let config = folder.path().join("countersign.toml");
        fs::OpenOptions::new().append(true).open(&config).unwrap().write_all(MORE_APPS.as_bytes()).unwrap();
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

    /// The private key's file: PKCS#8, in PEM.
    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("keys").join(format!("{}.pem", self.kid))
    }
}

/// A service that runs.
pub struct Service {
    pub process: Process,
    pub site: Site,
    pub start_to_ready: Duration,
    door: Door,
}

impl Service {
    /// Starts the service of a site, shedding what would wait longer than `max_wait` for its signature.
    pub fn start(site: Site, max_wait: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "-c"]);
        command.arg(site.config());
        command.env("COUNTERSIGN_LIMITS__ENABLED", "false").env("COUNTERSIGN_CUSTODY__MAX_WAIT", max_wait);
        command.env("COUNTERSIGN_LOG__LEVEL", "error");
        let begun = Instant::now();
        let (process, line) = Process::start(&command).expect("taskset of util-linux, and the service");
        let start_to_ready = begun.elapsed();
        let ready: Value = serde_json::from_str(&line).expect("a ready line");
        let address = ready["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        let door = Door { address, api_key: site.api_key.clone(), app: APP.to_owned() };
        Self { process, site, start_to_ready, door }
    }

    /// Where the service is asked, and for which app.
    pub fn door(&self, app: &str) -> Door {
        Door { app: app.to_owned(), ..self.door.clone() }
    }
}

/// Runs a command of the CLI on a path; its JSON.
fn run(arguments: &[&str], path: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign")).args(arguments).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
