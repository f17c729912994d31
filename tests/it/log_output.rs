//! A log that cannot be written costs log lines, and nothing else; commands whose output nobody reads end in order.

use std::{
    fs::{self, File},
    io::{PipeReader, Read, pipe},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::support::service::{Service, countersign, run, run_json};

/// An installation with an API key for the app `web`.
struct Installation {
    folder: tempfile::TempDir,
    config: PathBuf,
    /// Id of the API key, and the API key itself.
    client: Value,
}

impl Installation {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        run_json(&["init"], folder.path());
        let client = run_json(&["clients", "create", "backend", "--app", "web"], folder.path());
        Self { config: folder.path().join("countersign.toml"), folder, client }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn api_key(&self) -> &str {
        self.client["api_key"].as_str().unwrap()
    }
}

/// Waits until `done` returns true; fails after a time that no machine needs.
async fn at_last(what: &str, done: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < Duration::from_mins(1), "{what}: not within a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn lines_dropped(service: &Service) -> u64 {
    let metrics = service.get(&format!("{}/metrics", service.ops_url)).await.ok();
    let text = String::from_utf8(metrics.body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("countersign_log_lines_dropped_total "));
    line.unwrap().parse().unwrap()
}

/// Whether a request, a reload, a revocation by the CLI, readiness and SIGTERM work as with a log.
async fn works(installation: &Installation, mut service: Service) {
    let key = installation.api_key();
    let dropped = lines_dropped(&service).await;
    let refresh_token = service.generate(key, "u-1").await.ok().text("refresh_token");
    service.refresh(&refresh_token).await.unwrap().ok();
    service.refresh("of somebody else").await.unwrap().problem(401, "invalid_token");
    // A failure of which the service logs the reason.
    service.post("/v1/token/generate", None, &json!({})).await.unwrap().problem(401, "unauthorized");

    let original = fs::read_to_string(&installation.config).unwrap();
    fs::write(&installation.config, original.replace("[apps.web]", "[apps.web]\nlifetime = \"5m\"")).unwrap();
    service.signal(Signal::HUP);
    let is_short = async || service.generate(key, "u-1").await.ok().json()["expires_in"].as_u64().unwrap() <= 300;
    at_last("SIGHUP", is_short).await;
    fs::write(&installation.config, original).unwrap();

    run_json(&["clients", "revoke", installation.client["id"].as_str().unwrap()], installation.path());
    let is_refused = async || service.generate(key, "u-1").await.status == 401;
    at_last("the revoked API key is refused", is_refused).await;
    service.get(&format!("{}/readyz", service.ops_url)).await.ok();
    assert!(lines_dropped(&service).await > dropped, "the lost lines are counted");

    service.signal(Signal::TERM);
    assert_eq!(service.wait().0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_reader_that_dies_in_the_middle_of_a_run_changes_nothing() {
    let installation = Installation::new();
    let (mut log, stderr) = pipe().unwrap();
    let service = Service::with_log_to(&installation.config, stderr);
    service.generate(installation.api_key(), "u-1").await.ok();
    read_until(&mut log, "countersign::access");
    assert_eq!(lines_dropped(&service).await, 0);
    drop(log);
    works(&installation, service).await;
}

fn read_until(log: &mut PipeReader, text: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let mut some = [0; 4096];
        let length = log.read(&mut some).unwrap();
        assert!(length > 0, "the log ended: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&some[..length]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_on_a_full_disk_changes_nothing() {
    let installation = Installation::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let service = Service::with_log_to(&installation.config, full);
    works(&installation, service).await;
}

/// The reader is there and reads nothing: the pipe is full after 64 KiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_reader_that_stands_still_delays_nothing() {
    let installation = Installation::new();
    let (_log, stderr) = pipe().unwrap();
    let filler = stderr.try_clone().unwrap();
    rustix::io::ioctl_fionbio(&filler, true).unwrap();
    while rustix::io::write(&filler, &[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&filler, false).unwrap();
    let mut service = Service::with_log_to(&installation.config, stderr);
    let key = installation.api_key();
    service.generate(key, "u-1").await.ok();
    service.signal(Signal::HUP);
    run_json(&["clients", "revoke", installation.client["id"].as_str().unwrap()], installation.path());
    let is_refused = async || service.generate(key, "u-1").await.status == 401;
    at_last("the revoked API key is refused", is_refused).await;
    service.get(&format!("{}/readyz", service.ops_url)).await.ok();
    service.signal(Signal::TERM);
    assert_eq!(service.wait().0.code(), Some(0));
}

#[test]
fn a_panic_is_a_log_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("now");
    let mut service = Service::dev_with(|command| {
        command.env("FAILPOINTS", format!("rotation={}", file.display())).env("COUNTERSIGN_LOG__FORMAT", "json");
    });
    fs::write(&file, "panic").unwrap();
    let (_, _, err) = service.wait();
    let mut events = err.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let panic = events.find(|event| event["message"] == "a thread panicked").unwrap_or_else(|| panic!("{err}"));
    assert_eq!(panic["why"], "failpoint");
    assert!(panic["location"].as_str().unwrap().contains("failpoint.rs"), "{panic}");
}

/// `countersign … | head -1`: what the reader leaves unread is no error.
#[test]
fn a_command_whose_output_nobody_reads_ends_in_order() {
    let installation = Installation::new();
    let commands: [&[&str]; 7] = [
        &["keys", "list"],
        &["clients", "list", "--json"],
        &["config", "default"],
        &["completions", "bash"],
        &["man"],
        &["version"],
        &["--help"],
    ];
    for arguments in commands {
        let (reader, stdout) = pipe().unwrap();
        drop(reader);
        let mut command = countersign();
        command.args(arguments).current_dir(installation.path()).stdin(Stdio::null()).stdout(stdout);
        let output = command.output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*err), (Some(0), ""), "{arguments:?}");
    }
}

/// An answer that is lost is an error; an error that nobody can read does not hide the exit code.
#[test]
fn a_command_on_a_full_disk_says_so() {
    let installation = Installation::new();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for arguments in [&["keys", "list"][..], &["completions", "bash"]] {
        let mut command = countersign();
        let output = command.args(arguments).current_dir(installation.path()).stdout(full()).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && err.contains("No space left"), "{arguments:?}: {err}");
    }
    let wrong = ["keys", "show", "no-such-key"];
    let status = countersign().args(wrong).current_dir(installation.path()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(run(&wrong, installation.path()).0));
}
