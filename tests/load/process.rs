//! The service as a process on a processor of its own, and what the kernel says of it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;

/// Keeps this thread, and those it starts from now on, on one processor.
pub fn pin_this_to(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).unwrap();
}

/// Keeps this thread, and those it starts from now on, off one processor; where there is only one, it is shared.
pub fn pin_this_to_all_but(cpu: usize) {
    let mut set = sched_getaffinity(None).unwrap();
    set.unset(cpu);
    if set.count() > 0 {
        sched_setaffinity(None, &set).unwrap();
    }
}

/// CPU time of this thread so far.
pub fn this_thread_cpu() -> Duration {
    nanoseconds(Path::new("/proc/thread-self/schedstat"))
}

/// The first figure of a `schedstat`: nanoseconds on the processor.
fn nanoseconds(schedstat: &Path) -> Duration {
    let text = fs::read_to_string(schedstat).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|figure| figure.parse().ok()).unwrap_or(0))
}

/// A service on its processor.
pub struct Pinned {
    child: Child,
    pub address: SocketAddr,
    pub api_key: String,
    pub start_to_ready: Duration,
    _site: tempfile::TempDir,
}

impl Pinned {
    /// Sets a service up, then starts it on this processor, shedding what would wait longer than `max_wait`. The first key
    /// is made before: the start is that of an existing service.
    pub fn start(cpu: usize, max_wait: &str) -> Self {
        let site = tempfile::tempdir().unwrap();
        let config = site.path().join("countersign.toml");
        run(&["init", "--json", "--dir"], site.path());
        let made = run(&["clients", "create", "load", "--app", "web", "--json", "-c"], &config);
        let begun = Instant::now();
        let mut child = Command::new("taskset")
            .args(["-c", &cpu.to_string(), env!("CARGO_BIN_EXE_countersign"), "serve", "--json"])
            .args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "-c"])
            .arg(&config)
            .env("COUNTERSIGN_LIMITS__ENABLED", "false")
            .env("COUNTERSIGN_CUSTODY__MAX_WAIT", max_wait)
            .env("COUNTERSIGN_LOG__LEVEL", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .expect("taskset, of util-linux");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let start_to_ready = begun.elapsed();
        let ready: Value = serde_json::from_str(&line).expect("a ready line");
        let address = ready["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        Self { child, address, api_key: made["api_key"].as_str().unwrap().to_owned(), start_to_ready, _site: site }
    }

    /// CPU time of all its threads so far, user and system.
    pub fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks.filter_map(Result::ok).map(|task| nanoseconds(&task.path().join("schedstat"))).sum()
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) << 10
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command of the CLI on a path; its JSON.
fn run(arguments: &[&str], path: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign")).args(arguments).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
