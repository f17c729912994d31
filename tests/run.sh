#!/usr/bin/env bash
# The full test run: builds the program once, starts real services, runs all stages, stops the services, and prints a
# summary. It installs nothing: tests/provision.sh does. A missing requirement is a failure, never a silent skip.
# Stages run one after the other, except those of the lanes in tests/stages.sh.
#
#   tests/run.sh            all stages of the full run (tests/stages.sh lists them)
#   tests/run.sh judges     only the named stages, each of which builds what it needs
#   tests/run.sh nightly    the stages that take long (docs/testing.md)
#
# COUNTERSIGN_BINARY=<file>  stages that need the program use this one, e.g. a release, and build none
# ADVISORY_DB=<folder>       the stage `deny` uses this copy of the advisory database, offline

set -u -o pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/stages.sh
source tests/stages.sh

ROOT=$PWD
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
# The folder of this run; $WORK is the running stage's in it.
RUN=$(mktemp -d)
# The program refuses variables of its own prefix that are no settings.
BINARY=${COUNTERSIGN_BINARY:-}
unset COUNTERSIGN_BINARY

trap 'rm -rf "$RUN"' EXIT

say() { printf '\n== %s\n' "$*"; }

# Runs one stage in a subshell, in which any failing command ends the stage, and records the result. It avoids `if (...)`,
# since bash ignores `set -e` inside a condition.
stage() {
  STAGE=$1
  WORK=$(mktemp -d "$RUN/$STAGE.XXXXXX")
  local begun=$SECONDS result=passed
  (
    set -e
    trap stop_service EXIT
    "stage_$STAGE"
  ) &
  wait $! || result=FAILED
  printf '%s  %s (%s s)\n' "$result" "$STAGE" "$((SECONDS - begun))" >>"$RUN/results"
}

# Runs stages one after the other, and shows what each of them prints. It is a file that is followed, and no pipe: a process
# that a stage left behind would keep a pipe open.
in_turn() {
  local name running
  for name in "$@"; do
    say "$name"
    : >"$RUN/$name.txt"
    stage "$name" >"$RUN/$name.txt" 2>&1 &
    running=$!
    tail -c +1 -s 0.2 -f --pid=$running "$RUN/$name.txt"
    wait $running
  done
}

# The same beside other lanes: the output of a stage is printed whole when it ends.
lane() {
  local name
  for name in "$@"; do
    stage "$name" >"$RUN/$name.txt" 2>&1
    {
      flock 9
      say "$name"
      cat "$RUN/$name.txt"
    } 9>"$RUN/printing"
  done
}

# Runs lanes beside each other, each given as a list in one word. They use a copy of the program: a lane that builds it with
# other features puts those programs into its place.
beside() {
  local list running=()
  build_binary && cp "$(binary)" "$RUN/countersign" && BINARY=$RUN/countersign
  for list in "$@"; do
    say "beside others: $list"
    # shellcheck disable=SC2086
    lane $list &
    running+=($!)
  done
  wait "${running[@]}"
}

# Prints those of the listed stages that are among the given ones.
listed_among() {
  local name found=()
  for name in "${LISTED[@]}"; do
    case " $* " in *" $name "*) found+=("$name") ;; esac
  done
  echo "${found[*]}"
}

# Runs the listed stages in their order. Where stages of several lanes are listed, all of them run when the first one's turn
# comes.
run_listed() {
  local name of_lane list lanes=()
  for of_lane in "${LANES[@]}"; do
    # shellcheck disable=SC2086
    list=$(listed_among $of_lane)
    [ -z "$list" ] || lanes+=("$list")
  done
  if [ ${#lanes[@]} -lt 2 ]; then
    in_turn "${LISTED[@]}"
    return
  fi
  for name in "${LISTED[@]}"; do
    case " ${lanes[*]} " in
      *" $name "*) [ -e "$RUN/printing" ] || beside "${lanes[@]}" ;;
      *) in_turn "$name" ;;
    esac
  done
}

missing() {
  echo "missing: $* (tests/provision.sh $STAGE installs it)"
  return 1
}

# Fails if one of the commands is missing.
tools() {
  local name lacking=()
  for name in "$@"; do
    command -v "$name" >/dev/null 2>&1 || lacking+=("$name")
  done
  [ ${#lacking[@]} -eq 0 ] || missing "${lacking[*]}"
}

# Fails if a file of tests/provision.sh is missing.
files() {
  local name
  for name in "$@"; do
    [ -e "$name" ] || missing "$name"
  done
}

# Fails if the folder's node_modules is missing or older than its lock file.
node_modules() {
  tools node npm
  npm_current "$1" || missing "$1/node_modules, or it is older than package-lock.json"
}

# Prints a PATH on which no folder has CMake: AWS-LC must build without it.
path_without_cmake() {
  local folder result=
  local -a folders
  IFS=: read -r -a folders <<<"$PATH"
  for folder in "${folders[@]}"; do
    if [ -e "$folder/cmake" ]; then
      local copy=$RUN/path$folder
      mkdir -p "$copy"
      ln -sf "$folder"/* "$copy"
      rm "$copy/cmake"
      folder=$copy
    fi
    result=$result:$folder
  done
  echo "${result#:}"
}

# The program as the stages use it: the one that Cargo builds for the tests. With `--examples`, of which there are none,
# Cargo chooses the features of dependencies as for tests, so that one build of them serves the program and the tests.
build_binary() {
  [ -n "$BINARY" ] || cargo build --locked --bin countersign --examples
}

binary() { echo "${BINARY:-$TARGET/debug/countersign}"; }

# Starts a development service, which writes its ready line to $WORK/ready.json.
start_service() {
  tools python3
  build_binary
  : >"$WORK/ready.json"
  "$(binary)" serve "${@:---dev}" --json --listen 127.0.0.1:0 --ops-listen 127.0.0.1:0 >"$WORK/ready.json" 2>"$WORK/service.log" &
  SERVICE=$!
  for _ in $(seq 600); do
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

# Format, lints, documentation. `--examples`: as in `build_binary`.
stage_check() {
  tools cc
  cargo fmt --all -- --check
  cargo clippy --locked --all-targets -- -D warnings
  RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --lib --examples
}

# The scripts of this folder, and the workflows: every stage is in one of them, and every action has a commit's hash.
stage_scripts() {
  tools shellcheck
  shellcheck .ci/run deploy/*.sh deploy/debian/p* tests/*.sh tests/*/*.sh
  local name
  for name in "${STAGES[@]}" "${NIGHTLY[@]}"; do
    grep -h 'stages: ' .github/workflows/*.yml | grep -qw "$name" || { echo "in no workflow: $name"; return 1; }
  done
  if grep -rhE '^ *(- )?uses:' .github/workflows | grep -vE 'uses: [^@]+@[0-9a-f]{40} # v[0-9.]+$'; then
    echo "an action without the hash of a commit and its version"
    return 1
  fi
  # The oldest supported Rust is the one that every stage runs with.
  grep -q "^channel = \"$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)\b" rust-toolchain.toml
}

# Advisories, licences, sources and banned crates (deny.toml).
stage_deny() {
  tools cargo-deny
  if [ -n "${ADVISORY_DB:-}" ]; then
    sed "s|^\[advisories\]|[advisories]\ndb-path = \"$ADVISORY_DB\"|" deny.toml >"$WORK/deny.toml"
    cargo fetch --quiet --locked
    cargo deny --offline --config "$WORK/deny.toml" check
  else
    cargo deny check
  fi
}

stage_build() {
  tools cc
  build_binary
}

# A package of this crate has no key, client or fixture, and builds. The archive of a release has what the guides refer to.
stage_package() {
  tools cc
  # --allow-dirty: a full run of uncommitted work checks this, too.
  cargo package --list --locked --allow-dirty >"$WORK/package.txt" 2>"$WORK/package.err"
  if grep '^warning' "$WORK/package.err"; then return 1; fi
  if grep -E '^(tests|benches|clients|\.ci|\.github)/|\.(pem|der|key|secret|db)$' "$WORK/package.txt"; then return 1; fi
  grep -qx deploy/countersign.toml "$WORK/package.txt"
  cargo package --no-verify --locked --offline --allow-dirty
  tar -x -C "$WORK" -f "$TARGET"/package/countersign-*.crate
  (cd "$WORK"/countersign-*/ && CARGO_TARGET_DIR=$TARGET cargo check --locked --bin countersign --examples)
  build_binary
  deploy/archive.sh "$(binary)" archive "$WORK"
  tar -x -C "$WORK" -f "$WORK/archive.tar.gz"
  local file
  for file in countersign.1 countersign.toml completions/countersign.{bash,fish,zsh} docs/index.md keys/README.md \
    deploy/prometheus/rules.yml deploy/grafana/countersign.json deploy/systemd/countersign.service; do
    [ -s "$WORK/archive/$file" ] || { echo "not in the archive: $file"; return 1; }
  done
  bash -n "$WORK/archive/completions/countersign.bash"
  "$WORK/archive/countersign" version
}

# Four tests at a time: many of them wait for a disk or a clock, and two processors were idle for a third of the time.
stage_test() { RUST_TEST_THREADS=${RUST_TEST_THREADS:-4} cargo test --locked; }

# The build of images that sign for users: no local Braze, no demo. The stage `container` runs it.
stage_without_sandbox() {
  tools cc
  cargo clippy --locked --no-default-features --all-targets -- -D warnings
  build_image_program
}

# Builds the image's program from the files that the container file copies, and nothing else; once in a run.
build_image_program() {
  [ ! -e "$RUN/image-program" ] || return 0
  local path
  sed -n '/^COPY --from/d; s/^COPY \(.*\) .*/\1/p' deploy/Containerfile | tr ' ' '\n' >"$WORK/copied"
  while read -r path; do
    grep -qx "!$path" .dockerignore || grep -qx "!${path#./}" .dockerignore || { echo "ignored: $path"; return 1; }
    mkdir -p "$WORK/source/$(dirname "$path")"
    cp -r "$path" "$WORK/source/$path"
  done <"$WORK/copied"
  (cd "$WORK/source" && CARGO_TARGET_DIR=$TARGET cargo build --locked --no-default-features --bin countersign --examples)
  cp "$TARGET/debug/countersign" "$RUN/image-program"
}

# Batch signing with the real library. If the processor has no AVX-512 IFMA, two instructions are emulated.
stage_batch() {
  tools cc
  export CRYPTO_MB_DIR=$TOOLS/crypto_mb
  files "$CRYPTO_MB_DIR/libcrypto_mb.a"
  cargo clippy --locked --lib --tests --features crypto-mb -- -D warnings
  cargo test --locked --features crypto-mb --lib --test it -- batch custody
}

# Logins, refreshes and commands with the features that the stages `without_sandbox` and `batch` build.
stage_long_features() {
  tools cc
  files "$TOOLS/crypto_mb/libcrypto_mb.a"
  cargo test --locked --no-default-features --test it -- cli:: generate:: refresh::
  CRYPTO_MB_DIR=$TOOLS/crypto_mb cargo test --locked --features crypto-mb --lib --test it -- generate refresh
}

# Batch signing with the unmodified library on an emulated processor that has AVX-512 IFMA. It also counts the instructions
# of signatures there (docs/performance.md), in code built with optimisation. IFMA_CPU selects another processor of
# `bochs -help cpu`.
stage_ifma() {
  tools python3 cc objcopy bochs-bin cpio xorriso unshare
  files "$TOOLS/crypto_mb_unmodified/libcrypto_mb.a" "$TOOLS/linux"
  local package optimised=()
  for package in aws-lc-sys aws-lc-rs zeroize countersign; do
    optimised+=(--config "profile.dev.package.$package.opt-level=3")
  done
  CRYPTO_MB_DIR=$TOOLS/crypto_mb_unmodified cargo test --locked --features crypto-mb --lib --no-run --message-format json \
    "${optimised[@]}" >"$WORK/built.jsonl"
  tests/batch/bochs.sh "$WORK/ifma" "$TOOLS/linux" "$(test_binary "$WORK/built.jsonl")" ${IFMA_CPU:+"$IFMA_CPU"}
}

# Prints the path of the test binary from cargo's JSON messages.
test_binary() {
  python3 -c 'import json, sys; print(next(it for it in (json.loads(line).get("executable") for line in open(sys.argv[1])) if it))' "$1"
}

# Ignored tests, which need installed programs.
stage_openssl() {
  tools cc curl openssl jq
  cargo test --locked --test it -- --ignored --skip rotate_load --skip postgres
}

# R12: independent verifiers accept every sampled token, and refuse it with one bit flipped.
stage_judges() {
  tools node java javac openssl
  files "$TOOLS/judges/venv/bin/python" "$TOOLS/judges/npm/node_modules/jose"
  start_service
  python3 tests/judges/sample.py "$WORK/ready.json" "$WORK/tokens.jsonl" "$WORK/public.pem"
  stop_service
  "$TOOLS/judges/venv/bin/python" tests/judges/judge.py "$WORK/tokens.jsonl" "$WORK/public.pem"
  (cd "$TOOLS/judges/npm" && node "$ROOT/tests/judges/judge.mjs" "$WORK/tokens.jsonl" "$WORK/public.pem")
  javac -d "$WORK/java" tests/judges/Judge.java
  java -cp "$WORK/java" Judge "$WORK/tokens.jsonl" "$WORK/public.pem"
  local token input
  token=$(sed -n '1s/.*"token": "\([^"]*\)".*/\1/p' "$WORK/tokens.jsonl")
  input=${token%.*}
  printf '%s' "$input" >"$WORK/input"
  python3 -c 'import base64, sys; sys.stdout.buffer.write(base64.urlsafe_b64decode(sys.argv[1] + "=="))' "${token##*.}" >"$WORK/signature"
  openssl dgst -sha256 -verify "$WORK/public.pem" -signature "$WORK/signature" "$WORK/input"
}

# R51: Go's own packages accept the exported audit log and its checkpoints, before and after a change of the key, and refuse
# each changed one.
stage_audit() {
  tools go
  files /usr/share/gocode/src/golang.org/x/mod/sumdb/tlog
  build_binary
  GO111MODULE=off GOFLAGS='' GOPATH=/usr/share/gocode go build -o "$WORK/judge" tests/judges/audit/main.go
  local command old new
  command=$(realpath "$(binary)")
  mkdir -m 700 "$WORK/installation"
  cd "$WORK/installation"
  "$command" init >"$WORK/init.txt" 2>&1
  local name
  for name in one two three; do
    "$command" clients create "$name" --app web >>"$WORK/init.txt" 2>&1
    "$command" users opt-out "u-$name" >>"$WORK/init.txt"
  done
  old=$("$command" audit key)
  "$command" audit checkpoint >"$WORK/first"
  "$command" users opt-in u-one >>"$WORK/init.txt"
  new=$("$command" audit key --replace --why "the judge asks for it" 2>"$WORK/remarks")
  # Signed by both keys.
  "$command" audit checkpoint >"$WORK/second"
  "$command" users opt-in u-two >>"$WORK/init.txt"
  "$command" audit export --to "$WORK/log" >>"$WORK/init.txt"
  "$WORK/judge" "$old" "$WORK/log" "$WORK/first" "$WORK/second"
  "$WORK/judge" "$new" "$WORK/log" "$WORK/second" "$WORK/log.checkpoint"
  if "$WORK/judge" "$old" "$WORK/log" "$WORK/log.checkpoint" 2>"$WORK/refused"; then return 1; fi
  "$command" audit verify --key "$old" --checkpoint "$WORK/first" --checkpoint "$WORK/log.checkpoint"
  "$command" audit verify --file "$WORK/log" --key "$old" --checkpoint "$WORK/log.checkpoint"
}

# R08, R23: ten thousand random mints have exactly the expected header and claims; no refresh token repeats.
stage_shapes() {
  start_service
  python3 tests/judges/shapes.py "$WORK/ready.json" 10000
  stop_service
}

# R47: the running server conforms to the OpenAPI document. An app's policy restricts user ids more than a schema can express,
# so a well-formed request may be refused (400): the check positive_data_acceptance is excluded.
# Before that, a client is generated from the document: it has one class for problems, and none for each refusal. After it,
# the metrics of all those requests are clean by Prometheus' own linter, in the text format.
stage_openapi() {
  tools curl promtool
  files "$TOOLS/openapi/venv/bin/schemathesis" "$TOOLS/openapi_client/venv/bin/openapi-python-client"
  start_service
  curl -sSf "$(ready url)/openapi.json" >"$WORK/openapi.json"
  "$TOOLS/openapi_client/venv/bin/openapi-python-client" generate --path "$WORK/openapi.json" --output-path "$WORK/generated" --meta none
  grep -hoE '^class [A-Za-z0-9]+' "$WORK"/generated/models/*.py | sort >"$WORK/classes"
  grep -q '^class Problem$' "$WORK/classes"
  if grep -E 'Response|[0-9]{3}$' "$WORK/classes"; then return 1; fi
  (cd "$WORK" && "$TOOLS/openapi/venv/bin/schemathesis" run "$(ready url)/openapi.json" --header "Authorization: Bearer $(ready api_key)" \
    --max-examples 60 --seed 7 --phases examples,coverage,fuzzing --exclude-checks positive_data_acceptance)
  curl -sSf "$(ready ops_url)/metrics" >"$WORK/metrics"
  grep -q '^countersign_http_requests_total{' "$WORK/metrics"
  promtool check metrics <"$WORK/metrics"
  stop_service
  openapi_of_operators
}

# The operators' API against its own document, requests and answers, on an installation with an operator. Requests with an id
# that is in no record are well-formed, too, and refused. Moves of keys wait for a node each, so that there are fewer of them.
openapi_of_operators() {
  local command token
  command=$(realpath "$(binary)")
  mkdir -m 700 "$WORK/installation"
  (cd "$WORK/installation" && "$command" init >"$WORK/init.txt" 2>&1)
  (cd "$WORK/installation" && "$command" operators create judge --role operator --json >"$WORK/operator.json")
  token=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["operator_token"])' "$WORK/operator.json")
  start_service --config "$WORK/installation/countersign.toml"
  curl -sSf -H "Authorization: Bearer $token" "$(ready ops_url)/admin/v1/openapi.json" >"$WORK/operators.json"
  asks_operators() {
    (cd "$WORK" && "$TOOLS/openapi/venv/bin/schemathesis" run "$WORK/operators.json" --url "$(ready ops_url)" \
      --header "Authorization: Bearer $token" --seed 7 --request-timeout 70 --exclude-checks positive_data_acceptance "$@")
  }
  asks_operators --exclude-operation-id move_keys --max-examples 8 --phases examples,coverage,fuzzing --workers 2
  asks_operators --include-operation-id move_keys --max-examples 3 --phases examples,fuzzing
  stop_service
}

# The code of the guides, as their readers would run it: with the service up, down, silent, and answering each problem code.
# The shell commands of the documents are run by `cargo test` (tests/it/documents.rs).
stage_documents() {
  tools python3 curl java
  node_modules tests/documents/express
  files "$TOOLS/documents/venv/bin/python"
  build_binary
  # The README's demo finds what tests/provision.sh has installed by the README's commands.
  files "$TOOLS/demo/done"
  "$(binary)" demo --json --listen 127.0.0.1:0 --modules "$TOOLS/demo/node_modules" >"$WORK/demo.json" &
  local kotlin demo=$!
  for _ in $(seq 600); do
    if [ -s "$WORK/demo.json" ]; then break; fi
    sleep 0.1
  done
  kill "$demo"
  grep -q '"missing":\[\]' "$WORK/demo.json"
  kotlin=$(echo "$TOOLS"/kotlin/venv/lib/python3*/site-packages/run_kotlin_kernel/jars)
  files "$kotlin" /usr/share/java/com.android.json.jar
  "$TOOLS/documents/venv/bin/python" tests/documents/parsed.py
  python3 tests/documents/backend.py "$(binary)" "$TOOLS/documents/venv/bin/python"
  mkdir "$WORK/android"
  python3 tests/documents/android.py "$(binary)" "$kotlin" /usr/share/java/com.android.json.jar "$WORK/android"
}

# R64: every acknowledged write is preceded by a flush to disk. R68: a restore is killed before each call that changes files,
# and repeated.
stage_durable() {
  tools strace python3
  build_binary
  python3 tests/judges/durable.py "$(binary)" "$WORK"
  python3 tests/judges/restore.py "$(binary)" "$WORK"
}

# R35, R45: refusals take the same time and have the same answer for every reason.
stage_timing() {
  tools python3
  build_binary
  mkdir -m 700 "$WORK/timing"
  python3 tests/judges/timing.py "$(binary)" "$WORK/timing"
}

# R37: a hundred connections send their heads slowly, then a hundred send their bodies slowly. The service stays reachable,
# and no slow connection remains open.
stage_slow() {
  tools slowhttptest
  start_service
  local mode
  for mode in "-H" "-B -f application/json"; do
    # shellcheck disable=SC2086
    timeout 120 slowhttptest $mode -c 100 -r 100 -i 2 -l 40 -s 4096 -x 8 -p 15 -t POST -u "$(ready url)/v1/token/refresh" |
      sed 's/\x1b\[[0-9;]*m//g' >"$WORK/slow.txt"
    grep -E 'service available|Exit status' "$WORK/slow.txt" | sort | uniq -c
    if grep -q 'service available: *NO' "$WORK/slow.txt"; then return 1; fi
    grep -q 'No open connections left' "$WORK/slow.txt"
  done
  stop_service
}

# R37, R67: behind nginx no idle gap of 59 to 61 s ends in a 502, and no rolling restart of two nodes fails a request.
stage_proxy() {
  tools nginx python3
  build_binary
  mkdir -m 700 "$WORK/proxy"
  timeout 600 python3 tests/judges/proxy.py "$(binary)" "$WORK/proxy"
}

# R65 in part: with a full disk logins and refreshes are answered without writes, and the service recovers without a restart.
stage_disk() {
  tools python3 mount
  [ "$(id -u)" -eq 0 ] || { echo "the stage disk mounts a file system: run it as root"; return 1; }
  build_binary
  mkdir -p "$WORK/small"
  mount -t tmpfs -o size=1m tmpfs "$WORK/small"
  local result=0
  python3 tests/judges/disk.py "$(binary)" "$WORK/small" || result=1
  umount -l "$WORK/small"
  return $result
}

# R66: the wall clock of running servers is set, forward and back. Nothing is issued or judged by it, no session is lost, no token
# lives too long, and no node stops another. CLOCK_PAUSE is the length of the stop before a start, in seconds.
stage_clock() {
  tools faketime python3
  build_binary
  mkdir -m 700 "$WORK/clock"
  python3 tests/judges/clock.py "$(binary)" "$WORK/clock" "$(faketime_library)"
}

# Prints the path of faketime's library for programs with threads.
faketime_library() { dpkg-query -L libfaketime | grep '/libfaketimeMT\.so\.1$'; }

# The targets of tests/fuzz, ten seconds each. Only this repository's crates get the counters of coverage (instrument.sh),
# and dependencies are those of the other stages; `long_fuzz` instruments everything.
FUZZ_TARGETS=(bodies refresh_token pem config credential)
stage_fuzz() {
  tools cc c++
  local target
  RUSTC_WORKSPACE_WRAPPER=$ROOT/tests/fuzz/instrument.sh cargo build --locked -p countersign-fuzz -p countersign --examples \
    "${FUZZ_TARGETS[@]/#/--bin=}"
  for target in "${FUZZ_TARGETS[@]}"; do
    mkdir -p "$WORK/fuzz/$target"
    (cd "$WORK/fuzz" && "$TARGET/debug/$target" "$target" -max_total_time=10 -verbosity=0 -print_final_stats=1)
  done
}

# FUZZ_SECONDS each, with everything instrumented. The inputs found stay in tests/fuzz/corpus for the next run.
stage_long_fuzz() {
  tools c++ cargo-fuzz
  local target
  for target in "${FUZZ_TARGETS[@]}"; do
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 cargo fuzz run --fuzz-dir tests/fuzz --target-dir "$TARGET/fuzz" -s none "$target" -- \
      -max_total_time="${FUZZ_SECONDS:-600}" -verbosity=0 -print_final_stats=1
  done
}

# Tests that need PostgreSQL's server and pgbouncer, which each test process starts for itself. The store's suite first, then
# what measures, one after the other.
stage_postgres() {
  tools cc psql setpriv
  cargo test --locked --test it -- --ignored store::postgres postgres_server
  cargo test --locked --test it -- --ignored --nocapture --test-threads 1 --skip store:: --skip postgres_server --skip rotate_load \
    postgres
}

# The same with as many crashes and rotations, and as long an outage, as a release is held to.
stage_long_postgres() {
  tools cc psql setpriv
  POSTGRES_CRASHES=20 ROTATION_ROUNDS=20 POSTGRES_OUTAGE_SECONDS=60 \
    cargo test --locked --test it -- --ignored --nocapture --test-threads 1 postgres_crash postgres_outage postgres_whoever \
    postgres_no_token
}

# kill -9 at every boundary of a rotation, in as many rounds as a release is held to.
stage_long_rotation() { ROTATION_ROUNDS=20 cargo test --locked --test it rotate_kill; }

# Outages in 10,000 simulated worlds; `cargo test` has 300. A world that fails is named, and OUTAGE_SEED runs it alone.
stage_long_outage() {
  OUTAGE_SEEDS="${OUTAGE_SEEDS:-10000}" cargo test --locked --test it -- --nocapture outage_simulation::in_no_world
}

# The clients for the web and for React Native: types, states, conformance scenarios, wrong ones that must fail them, size,
# packaging.
stage_client() {
  node_modules clients/web
  node_modules clients/react-native
  (cd clients/web && npm test)
  (cd clients/react-native && npm test)
}

# The web client and the unmodified Web SDK in Chromium, against the service and the local Braze. A failing test leaves a
# screenshot and a trace in tests/browser/failures.
stage_browser() {
  tools chromium
  node_modules clients/web
  node_modules tests/browser
  build_binary
  (cd clients/web && npm run --silent build)
  (cd tests/browser && TEST_BINARY=$(binary) npm test)
}

# The back-end libraries (clients/node, clients/python, clients/java): packages and types, the shared cases against the real
# service and a bad server, also with each library changed for the worse; the example routes and the guide's code; clients
# that are generated from the OpenAPI document.
stage_backends() {
  tools python3 curl openssl java javac jar go ruby php
  node_modules clients/node
  node_modules tests/backends/node
  node_modules tests/documents/express
  local venv=$TOOLS/backends/venv folder
  files "$venv/bin/mypy"
  php -r 'exit(extension_loaded("curl") ? 0 : 1);' || missing php-curl
  build_binary
  for folder in packages cases routes generated; do
    mkdir -m 700 "$WORK/$folder"
  done
  # The cases wait most of their time.
  tests/backends/packages.sh "$WORK/packages" "$venv" >"$WORK/packages.txt" 2>&1 &
  local packages=$! result=0
  python3 -B tests/backends/run.py "$(binary)" "$WORK/cases" || result=1
  wait "$packages" || result=1
  cat "$WORK/packages.txt"
  [ "$result" -eq 0 ]
  python3 -B tests/backends/routes.py "$(binary)" "$WORK/routes" "$WORK/packages"
  start_service
  tests/backends/generated.sh "$WORK/generated" "$venv" "$(ready url)" "$(ready api_key)"
  stop_service
}

# Token exchange and back-channel logout with a real OpenID provider.
stage_oidc() {
  node_modules tests/oidc
  build_binary
  (cd tests/oidc && TEST_BINARY=$(binary) npm test)
}

# Runs a program in namespaces of its own: what it mounts and the ports it uses are not the machine's.
in_namespaces() {
  tools unshare ip
  [ "$(id -u)" -eq 0 ] || { echo "the stage $STAGE mounts folders: run it as root"; return 1; }
  unshare --mount --net --propagation private bash -c 'ip link set lo up; exec "$@"' in_namespaces "$@"
}

# The systemd units under a systemd of their own, the commands that docs/deploy.md has for them, a restart under load.
stage_unit() { try_units 1; }

# The same with as many restarts as a release is held to.
stage_long_unit() { try_units 10; }

try_units() {
  tools python3 systemctl systemd-analyze systemd-sysusers systemd-tmpfiles dbus-daemon nsenter runuser openssl
  build_binary
  in_namespaces python3 -B tests/deploy/unit.py "$(realpath "$(binary)")" "$WORK" "$1"
}

# The container file, whose files alone must build the program; its image, made of that program on a minimal Debian; and the
# commands that docs/deploy.md has for it. No container engine is needed.
stage_container() {
  tools buildah strip docker-compose
  files "$TOOLS/container/venv/bin/hadolint" "$TOOLS/debian.tar"
  "$TOOLS/container/venv/bin/python" tests/deploy/compose.py docker-compose
  "$TOOLS/container/venv/bin/hadolint" --ignore DL3008 deploy/Containerfile
  build_image_program
  mkdir "$WORK/image"
  cp "$RUN/image-program" "$WORK/image/program"
  in_namespaces python3 tests/deploy/image.py "$TOOLS/debian.tar" "$WORK/image/program" "$WORK/image"
  in_namespaces python3 tests/documents/deploy.py "$(realpath "$(binary)")"
}

# The Debian package, on a minimal Debian with systemd: installed, upgraded, removed, purged; clean by lintian.
stage_deb() {
  tools dpkg-deb dpkg-shlibdeps lintian strip nsenter python3 git
  files "$TOOLS/debian_systemd.tar"
  build_binary
  mkdir "$WORK/deb"
  strip -o "$WORK/countersign" "$(binary)"
  in_namespaces python3 -B tests/deploy/deb.py "$TOOLS/debian_systemd.tar" "$WORK/countersign" "$WORK/deb"
}

# The image built from source in the container, as for a release; many minutes.
stage_long_container() {
  tools buildah cargo
  files "$TOOLS/debian.tar" "$TOOLS/debian_gcc.tar"
  mkdir "$WORK/image"
  in_namespaces python3 tests/deploy/image.py "$TOOLS/debian.tar" "$TOOLS/debian_gcc.tar" "$WORK/image" --from-source
}

# What a release consists of, by the workflow's own script; many minutes (RELEASE_PROFILE=dev: a few). Before that, a placeholder
# stops the script.
stage_long_release() {
  tools python3 git objcopy objdump readelf dpkg-deb dpkg-shlibdeps cargo-auditable cargo-cyclonedx
  mkdir "$WORK/copy" "$WORK/judged"
  cp -r Cargo.toml deploy "$WORK/copy"
  echo "# https://git.example.com" >>"$WORK/copy/Cargo.toml"
  if "$WORK/copy/deploy/release.sh" "$WORK/none" 2>"$WORK/refused"; then return 1; fi
  grep "^Cargo.toml:[0-9]*:# https://git.example.com" "$WORK/refused"
  grep "placeholders" "$WORK/refused"
  RELEASE_PLACEHOLDERS=allow deploy/release.sh "$WORK/release"
  python3 tests/deploy/release.py "$WORK/release" "$WORK/judged"
}

# The installation of deploy/compose without Docker: two nodes, PostgreSQL, nginx, Prometheus, and a login through all of it.
stage_long_compose() {
  tools docker-compose nginx prometheus openssl setpriv
  files "$TOOLS/container/venv/bin/python"
  build_binary
  chmod 0711 "$RUN" "$WORK"
  in_namespaces "$TOOLS/container/venv/bin/python" tests/deploy/compose.py docker-compose "$(realpath "$(binary)")" "$WORK"
}

# The manifests: rendered, against the schemas of Kubernetes, and run: nodes on PostgreSQL and a rolling restart under load.
stage_kubernetes() { try_kubernetes 1; }

# The same with as many restarts as a release is held to.
stage_long_kubernetes() { try_kubernetes 10; }

try_kubernetes() {
  local python=$TOOLS/kubernetes/venv/bin/python
  tools setpriv
  files "$TOOLS/kubectl" "$python"
  build_binary
  "$python" tests/deploy/manifests.py "$TOOLS/kubectl"
  # The database is another user's, who must find the folder.
  chmod 0711 "$RUN" "$WORK"
  in_namespaces "$python" tests/deploy/pods.py "$(realpath "$(binary)")" "$WORK" "$TOOLS/kubectl" "$1"
}

# The dashboard by Grafana's types, then real faults, which dashboard and alerts must show (docs/testing.md).
stage_monitoring() {
  tools prometheus promtool python3 mount faketime
  node_modules tests/monitoring
  [ "$(id -u)" -eq 0 ] || { echo "the stage $STAGE mounts a file system: run it as root"; return 1; }
  promtool check config deploy/prometheus/prometheus.yml
  mkdir "$WORK/schema"
  node tests/monitoring/schema.mjs deploy/grafana/countersign.json "$WORK/schema"
  build_binary
  # PostgreSQL's own user must reach its folder.
  chmod 711 "$RUN" "$WORK"
  mkdir -m 711 "$WORK/monitoring"
  timeout 1200 python3 tests/monitoring/faults.py "$(realpath "$(binary)")" "$WORK/monitoring" "$(faketime_library)" "$@"
}

# The same after a longer time without a fault.
stage_long_monitoring() { stage_monitoring "${HEALTHY_SECONDS:-300}"; }

stage_manual() {
  tools mandoc
  build_binary
  "$(binary)" man >"$WORK/countersign.1"
  mandoc -Tlint -W error "$WORK/countersign.1"
}

# R60: kill -9 at every boundary of a rotation, 5 rounds. R61, R62: rotations and a compromise under load, two processes.
# ROTATION_LOAD=full runs 500 requests a second and three rotations (docs/performance.md).
stage_rotation() {
  ROTATION_ROUNDS=5 cargo test --locked --test it rotate_kill
  cargo test --locked --test it -- --ignored --nocapture rotate_load --skip postgres
}

# Measures performance, and asserts nothing about the figures of the load test (docs/performance.md). Three limits are
# asserted: a verification of a million records, what ten million reports of failures leave in memory, and the time of a
# page of the console.
stage_load() {
  tools taskset go psql
  node_modules tests/load/peers/node
  files "$TOOLS/load/venv/bin/python"
  cargo bench --locked --bench ended_sessions
  cargo bench --locked --bench audit_verify
  cargo bench --locked --bench failure_counts
  cargo bench --locked --bench console_pages
  CI=true LOAD_PYTHON="$TOOLS/load/venv/bin/python" LOAD_SECONDS=2 LOAD_SESSIONS=100000 cargo bench --locked --bench load
}

# R73: mutation testing of the code that decides who gets a token and when a key may sign (.cargo/mutants.toml). MUTANTS has
# more arguments, e.g. "--shard 0/8", "--in-diff my.diff", "--iterate". Property tests start with a fixed seed, so that the
# score is reproducible, and do not shrink counterexamples. The stage has its own target folder, since Cargo distinguishes the
# artifacts of two copies of a crate only by time, and would take a mutant's artifact for the original's.
stage_mutants() {
  tools cargo-mutants
  # shellcheck disable=SC2086
  CARGO_TARGET_DIR="$TARGET/mutants" PROPTEST_RNG_SEED=1 PROPTEST_MAX_SHRINK_ITERS=0 PROPTEST_DISABLE_FAILURE_PERSISTENCE=true \
    cargo mutants --output "$TARGET" ${MUTANTS:-}
}

# Prints what tells why a stage failed, short enough to be read at the end of a log: which tests failed and the line after it,
# or an error's, and the last lines.
reasons() {
  local told='^test .* FAILED$|^ *(✖|not ok) |panicked at |^error(\[|:)|^(FAIL|ERROR|FAILED):? |^[A-Za-z.]*Error: |^missing: '
  {
    grep -aE -A 1 "$told" "$RUN/$1.txt" | grep -v '^--$' | tail -n 10
    echo "its last lines:"
    tail -n 5 "$RUN/$1.txt"
  } | cut -c 1-300 | sed 's/^/  /'
}

list_stages "$@"
PATH=$(path_without_cmake)
run_listed

say "summary ($SECONDS s)"
grep '^passed' "$RUN/results"
grep '^FAILED' "$RUN/results"
passed=$(grep -c '^passed' "$RUN/results")
printf '%s passed, %s failed\n' "$passed" "$((${#LISTED[@]} - passed))"
sed -n 's/^FAILED  \([a-z0-9_]*\) .*/\1/p' "$RUN/results" | while read -r name; do
  printf '\nwhy %s failed:\n' "$name"
  reasons "$name"
done
[ "$passed" -eq ${#LISTED[@]} ]
