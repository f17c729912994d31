//! The `countersign` command.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Allocator of the program: with the C library's, an answer without a signature takes longer (docs/performance.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    countersign::cli::run(std::env::args_os(), countersign::config::Environment::of_process())
}
