//! The load test: what a token costs, as ratios of one run.
//!
//! `cargo bench --bench load` keeps whoever is measured on one processor and the load on the others, measures raw
//! signatures on the same processor in between, and prints every figure beside them. Nothing is asserted of the figures:
//! machines are noisy, and the figures are for people to read (docs/performance.md).

#![allow(
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program to measure with, not a library"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "it measures real time, and rounds for people"
)]

mod client;
mod compare;
mod engine_table;
mod engines;
mod figures;
mod grid;
mod large_store;
mod load;
mod peers;
mod process;
mod raw;
mod service;
mod settings;
mod show;
mod stored;
mod summary;

use std::process::ExitCode;

use figures::Figures;
use settings::Part;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if engine_table::sign_only(&arguments) {
        return ExitCode::SUCCESS;
    }
    // `cargo test` and `cargo bench -- --list` start every bench; only a real run measures.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    process::pin_to_the_others();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build().unwrap();
    runtime.spawn(stay_awake());
    runtime.block_on(run())
}

/// Keeps the load from sleeping. To wake another processor costs whoever is measured, up to a tenth of a token where
/// processors are virtual; clients on other machines would not cost it that.
async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}

async fn run() -> ExitCode {
    let (mut figures, mut missing) = (Figures::default(), Vec::new());
    for part in settings::parts() {
        match part {
            Part::Engines => engine_table::run(),
            Part::Summary => summary::run(&mut figures).await,
            Part::LargeStore => large_store::run(&mut figures).await,
            Part::Peers => missing = compare::run(&mut figures).await,
            Part::Grid => grid::run().await,
        }
    }
    figures.print();
    if missing.is_empty() || !settings::is_ci() {
        return ExitCode::SUCCESS;
    }
    // Where nobody looks at the table, a row that is not there must be heard of.
    eprintln!("{} of the peers could not be started", missing.len());
    ExitCode::FAILURE
}
