# Shortcuts for people who have `just`. Each is a plain command, which works without it.

_default:
    @just --list

# Format, lints, documentation
check:
    tests/run.sh check

# Tests that need nothing but Rust
test *arguments:
    cargo test --locked {{ arguments }}

# The full test run; `just provision` installs what it needs
full:
    tests/run.sh

# Some stages of the full test run, e.g. `just stage judges`
stage +names:
    tests/run.sh {{ names }}

# The pictures of docs/console.md, made anew
screenshots:
    cargo build --locked
    cd tests/browser && TEST_BINARY=$PWD/../../target/debug/countersign TEST_SCREENSHOTS=$PWD/../../docs/console node --test screenshots.test.mjs

# The stages that take long: load, emulated AVX-512, long fuzzing, mutation testing
nightly:
    tests/run.sh nightly

# Installs what the named stages need (as root or through sudo); without names, what the full test run needs
provision *names:
    tests/provision.sh {{ names }}

# Formats the code
fmt:
    cargo fmt --all
