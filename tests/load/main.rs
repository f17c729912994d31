//! The load test: what a token costs, as ratios of one run.
//!
//! `cargo bench --bench load` starts the service on one processor and the load on another, measures the raw signature on
//! the service's processor first, and prints every figure beside it. Nothing is asserted: machines are noisy, and the
//! figures are for people to read (docs/performance.md).

#![allow(
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program to measure with, not a library"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it measures real time, and rounds for people"
)]

mod client;
mod load;
mod process;
mod raw;

use std::time::Duration;

use client::Call;
use load::Rate;
use process::Pinned;

/// The processor the service gets; the load gets another, where there is one.
const SERVICE_CPU: usize = 0;

/// What a token costs is measured without shedding: 64 clients that wait for each other's signatures are no overload.
const PATIENT: &str = "10s";

/// The default of `custody.max_wait`.
const SHEDDING: &str = "50ms";

/// As many connections as can wait for each other without anybody being shed.
const CALM: usize = 32;

/// Pairs of measurements; the median counts.
const ROUNDS: u32 = 5;

/// How long each measurement runs; `LOAD_SECONDS` changes it.
fn span() -> Duration {
    let seconds = std::env::var("LOAD_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

fn main() {
    // `cargo test` and `cargo bench -- --list` start every bench; only a real run measures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    process::pin_this_to_all_but(SERVICE_CPU);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let starts: Vec<Duration> = (0..5).map(|_| Pinned::start(SERVICE_CPU, SHEDDING).start_to_ready).collect();
    println!("start to ready, existing key, median of 5: {} ms", median(starts).as_millis());
    let service = Pinned::start(SERVICE_CPU, PATIENT);
    println!("memory, idle: {} MB\n", service.resident() >> 20);
    println!(
        "{:<34} {:>9} {:>11} {:>7} {:>9} {:>9}",
        "closed loop, 64 connections", "answers/s", "CPU/answer", "÷ raw", "p50", "p99"
    );

    paired("mint, with a durable session", &service, Call::Generate).await;
    paired("refresh, durable", &service, Call::Refresh).await;
    println!("\nmemory, under load: {} MB\n", service.resident() >> 20);

    drop(service);

    let service = Pinned::start(SERVICE_CPU, SHEDDING);
    overloaded(&service).await;
    println!("memory, after overload: {} MB", service.resident() >> 20);
}

/// Measures a call and the raw signature in turn, five times, and prints the round whose ratio is the median: a machine
/// whose speed drifts is the same for both.
async fn paired(name: &str, service: &Pinned, call: Call) {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let before = raw::signature_cpu(SERVICE_CPU);
        let summary = service.saturate(64, call, span() / ROUNDS).await;
        let raw = (before + raw::signature_cpu(SERVICE_CPU)) / 2;
        rounds.push((summary.cpu_per_answer() / raw.as_secs_f64(), raw, summary));
    }
    rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (ratio, raw, summary) = &rounds[rounds.len() / 2];
    println!(
        "{name:<30} {:>9.0} {:>8.0} µs {:>8.0} µs {ratio:>7.2} {:>9} {:>9}   (ratios {:.2} to {:.2}; {} refused, {} failed)",
        summary.goodput(),
        summary.cpu_per_answer() * 1e6,
        raw.as_secs_f64() * 1e6,
        millis(summary.percentile(50.0)),
        millis(summary.percentile(99.0)),
        rounds[0].0,
        rounds[rounds.len() - 1].0,
        summary.refused.len(),
        summary.failed,
    );
}

/// Measures the capacity and twice that load in turn, five times, and prints the round whose goodput is the median.
async fn overloaded(service: &Pinned) {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let capacity = service.saturate(CALM, Call::Generate, span() / ROUNDS).await.goodput();
        let rate = Rate { per_second: 2.0 * capacity, connections: 512 };
        let (over, health) = service.overload(rate, Call::Generate, span() / ROUNDS).await;
        rounds.push((over.goodput() / capacity, rate, over, health));
    }
    rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (least, most) = (rounds[0].0, rounds[rounds.len() - 1].0);
    let (ratio, rate, over, health) = &rounds[rounds.len() / 2];
    println!("open loop, 200 % of capacity ({:.0}/s offered, 512 connections)", rate.per_second);
    println!("  goodput ÷ capacity   {ratio:.2}   ({least:.2} to {most:.2})");
    println!("  admitted             {} p99 {}", over.admitted.len(), millis(over.percentile(99.0)));
    println!("  refused              {} p99 {}", over.refused.len(), millis(over.refused_percentile(99.0)));
    println!("  /healthz             {} p99 {}", health.admitted.len(), millis(health.percentile(99.0)));
    println!("  failed               {}", over.failed + health.failed);
}

fn millis(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1e3)
}

fn median(mut spans: Vec<Duration>) -> Duration {
    spans.sort_unstable();
    spans[spans.len() / 2]
}
