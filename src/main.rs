//! The `countersign` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    countersign::cli::run(std::env::args_os(), countersign::config::Environment::of_process())
}
