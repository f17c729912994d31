//! Time and memory of ten million reports of failures in the counting function.
//!
//! `cargo bench --bench failure_counts` counts ten million reports (`FAILURE_REPORTS`), a thousand a second, each of a session,
//! key and version of its own, while nobody takes the counts. It fails where rows, series or memory grow with the reports.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a program to measure with, which rounds for people"
)]

use std::{
    env, fs,
    sync::Arc,
    time::{Duration, Instant},
};

use countersign::{
    clock::UnixMillis,
    domain::{
        failure::{Cause, Confidence, FailureExample, FailureKey, Platform, ReportedCode, SdkVersion},
        ids::{Kid, SessionId, UserId, UserIdRules},
        verdict::ErrorCode,
    },
    failures::{Counts, Report},
    telemetry::Metrics,
};
use strum::VariantArray;

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

/// Rows that may wait for the store: those of an hour.
const MOST_ROWS: usize = 30_000;

/// Memory that the second half of the reports may add, in KiB.
const MOST_MORE: i64 = 4 * 1024;

fn main() {
    // `cargo test` starts this program, too.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let reports: u64 = env::var("FAILURE_REPORTS").map_or(10_000_000, |text| text.parse().unwrap());
    let metrics = Metrics::new();
    let counts = Counts::new(Arc::clone(&metrics));
    let (before, begin, mut half) = (memory(), Instant::now(), (0, 0));
    for n in 0..reports {
        assert!(counts.count(NOW.plus(Duration::from_millis(n)), report(n)));
        if n == reports / 2 {
            half = (memory(), metrics.encode().lines().count());
        }
    }
    let took = begin.elapsed();
    let (after, series) = (memory(), metrics.encode().lines().count());
    println!(
        "{reports} reports in {:.2} s, {:.0} ns each",
        took.as_secs_f64(),
        took.as_nanos() as f64 / reports as f64
    );
    println!("memory {before} KiB before, {} KiB after half of them, {after} KiB after all", half.0);
    println!("{} rows wait, {series} lines of metrics", counts.waiting_rows());
    assert!(counts.waiting_rows() <= MOST_ROWS);
    assert_eq!(series, half.1);
    assert!(after - half.0 <= MOST_MORE, "the memory grows with the reports");
}

fn report(n: u64) -> Report {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&n.to_be_bytes());
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&n.to_be_bytes());
    let place = usize::try_from(n).unwrap();
    Report {
        key: FailureKey {
            app: "web".parse().unwrap(),
            platform: Platform::VARIANTS[place % Platform::VARIANTS.len()],
            code: ReportedCode::Braze(ErrorCode::Expired),
            cause: Cause::VARIANTS[place % Cause::VARIANTS.len()],
            kid: Some(Kid::from_thumbprint(&digest)),
        },
        session: SessionId::new(NOW, random),
        user: UserId::parse(&format!("u-{n}"), UserIdRules::default()).unwrap(),
        confidence: Confidence::Likely,
        example: FailureExample { keys: Vec::new(), issue_to_end: Some(3600), issue_to_report: Some(7200) },
        sdk_version: format!("{}.{}", n % 10_000, n % 1_000_000).parse::<SdkVersion>().ok(),
    }
}

/// Memory of this process in use, in KiB.
fn memory() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
