#!/bin/sh
# rustc for the crates of this repository, with the counters of coverage that libFuzzer reads (RUSTC_WORKSPACE_WRAPPER). The
# options are those of cargo-fuzz, which are stable; dependencies are compiled without them, so that all builds share them.
case " $* " in
  # Build scripts are not linked with libFuzzer.
  *" --crate-name build_script_"* | *" --print"* | *" -vV "*) exec "$@" ;;
esac
exec "$@" \
  -Cpasses=sancov-module \
  -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares \
  -Ccodegen-units=1
