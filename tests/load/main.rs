//! Load test: the cost of a token, as ratios within one run.
//!
//! `cargo bench --bench load` pins the measured server to one processor and the load to the others, measures raw
//! signatures on the server's processor in between, and prints every figure beside them. No figure is asserted,
//! because machines are noisy; people read them (docs/performance.md).

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

mod access_line;
mod bare;
mod client;
mod compare;
mod credentials;
mod engine_table;
mod engines;
mod exchange;
mod figures;
mod grid;
#[path = "../it/support/jwt/mod.rs"]
#[allow(dead_code, reason = "forgeries are for other tests")]
mod jwt;
mod large_store;
mod load;
mod overhead;
mod peers;
mod postgres;
mod process;
mod raw;
mod reports;
#[path = "../it/support/postgres.rs"]
#[allow(dead_code, clippy::panic, reason = "part of it is for other tests, which fail by panicking")]
mod server;
mod service;
mod settings;
mod show;
mod stored;
mod summary;
mod writes;

use std::process::ExitCode;

use figures::Figures;
use settings::Part;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if engine_table::sign_only(&arguments) || bare::serve_only(&arguments) {
        return ExitCode::SUCCESS;
    }
    // `cargo test` and `cargo bench -- --list` also start this program; only `cargo bench` measures.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    process::pin_to_the_others();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build().unwrap();
    runtime.spawn(stay_awake());
    runtime.block_on(run())
}

/// Keeps the load's processors awake. Waking them costs the measured server up to a tenth of a token on virtual
/// machines; clients on other machines would not.
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
            Part::Overhead => overhead::run(&mut figures).await,
            Part::AccessLine => access_line::run().await,
            Part::LargeStore => large_store::run(&mut figures).await,
            Part::Postgres => postgres::run(&mut figures).await,
            Part::Peers => missing = compare::run(&mut figures).await,
            Part::Grid => grid::run().await,
            Part::Exchange => exchange::run().await,
            Part::Bare => bare::run(&mut figures).await,
            Part::Reports => reports::run(&mut figures).await,
            Part::Writes => writes::run().await,
        }
    }
    figures.print();
    if missing.is_empty() || !settings::is_ci() {
        return ExitCode::SUCCESS;
    }
    // In CI nobody reads the table, so a missing row must fail the run.
    eprintln!("{} of the peers could not be started", missing.len());
    ExitCode::FAILURE
}
