#!/usr/bin/env bash
# Builds what a release consists of into a folder: release.sh <folder>. The program is built as for the container: with the
# profile `dist`, without the local Braze and the demo.
#
# RELEASE_PLACEHOLDERS=allow  builds although addresses are placeholders still (RELEASING.md names them)
# RELEASE_PROFILE=dev         builds with another profile, to try this script
set -eu -o pipefail
cd "$(dirname "$0")/.."

# A release whose links lead nowhere, or whose maintainers nobody reaches, is none.
if grep -Hn 'git\.example\.com\|@countersign\.example' Cargo.toml deploy/deb.sh deploy/prometheus/rules.yml >&2 &&
  [ "${RELEASE_PLACEHOLDERS:-}" != allow ]; then
  echo "these addresses are placeholders: write the project's own ones (RELEASING.md, step 3)" >&2
  exit 1
fi

profile=${RELEASE_PROFILE:-dist}
out=$1
mkdir -p "$out"
target=${CARGO_TARGET_DIR:-target}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=countersign-$version-$(rustc -vV | sed -n 's/^host: //p')

# The program carries the list of its crates (`cargo audit bin` reads it), as compressed JSON in the section .dep-v0.
command -v cargo-auditable >/dev/null || cargo install --locked --quiet --debug cargo-auditable@0.7.7

# The profile strips; here the symbols go to a file of their own instead, which a debugger finds by the name in the program.
cargo auditable build --profile "$profile" --locked --no-default-features --bin countersign --config "profile.$profile.strip='none'"
built=$target/${profile/#dev/debug}
program=$built/countersign
objcopy --only-keep-debug --compress-debug-sections "$program" "$out/$name.debug"
objcopy --strip-all --add-gnu-debuglink="$out/$name.debug" "$program" "$built/stripped"
mv "$built/stripped" "$program"

grep -q '\.dep-v0 ' <(objdump --section-headers "$program") || { echo "the program has no list of its crates"; exit 1; }

deploy/archive.sh "$program" "$name" "$out"
deploy/deb.sh "$program" "$version" "$out"

# The software bill of materials: the crates of this build and their versions.
command -v cargo-cyclonedx >/dev/null || cargo install --locked --quiet --debug cargo-cyclonedx@0.5.9
cargo cyclonedx --quiet --format json --no-default-features --override-filename "$name.cdx"
mv "$name.cdx.json" "$out"
rm -f "tests/fuzz/$name.cdx.json"

(cd "$out" && sha256sum "$name".* countersign_*.deb >SHA256SUMS)
ls -l "$out"
