# shellcheck shell=bash disable=SC2034
# What tests/run.sh and tests/provision.sh share: the lists of stages, and the folder of tools.

# The full test run. Those that need no service come first; the stages of the lanes follow each other.
STAGES=(scripts check deny build package test openssl rotation judges audit shapes openapi timing slow durable disk postgres client
  browser documents proxy clock oidc backends deb without_sandbox batch fuzz container unit kubernetes manual monitoring)
# Stages of one lane run beside those of the others: two lanes wait most of their time, for pages and for clocks, and one
# compiles meanwhile, mostly on one processor. `check` is not in it: it keeps all processors busy, and took 711 s there. No
# stage that measures time or load is among them, and only the last one runs cargo.
LANES=("client browser" "documents proxy clock oidc backends deb" "without_sandbox batch fuzz container")
# Minutes to hours, each for its own reason (docs/testing.md).
NIGHTLY=(load long_postgres long_rotation long_outage long_features long_container long_release long_compose long_unit
  long_kubernetes long_monitoring ifma long_fuzz mutants)

TOOLS=${CARGO_TARGET_DIR:-$PWD/target}/tools

# Sets LISTED to the stages that the arguments name: none are all of the full test run, `nightly` is that list.
list_stages() {
  LISTED=()
  local name
  [ $# -gt 0 ] || LISTED=("${STAGES[@]}")
  for name in "$@"; do
    case " ${STAGES[*]} ${NIGHTLY[*]} nightly " in
      *" $name "*) ;;
      *) echo "no such stage: $name (${STAGES[*]}; nightly: ${NIGHTLY[*]})"; exit 2 ;;
    esac
    if [ "$name" = nightly ]; then LISTED+=("${NIGHTLY[@]}"); else LISTED+=("$name"); fi
  done
}

# Tells whether the folder's node_modules is as its lock file says.
npm_current() { [ "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ]; }
