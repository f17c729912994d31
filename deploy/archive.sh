#!/usr/bin/env bash
# Packs a program with what belongs beside it: archive.sh <program> <name> <folder> makes <folder>/<name>.tar.gz.
set -eu -o pipefail

program=$(realpath "$1")
name=$2
out=$(realpath "$3")
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$folder/$name
mkdir -p "$root/keys" "$root/completions" "$root/deploy"
cp "$program" "$root/countersign"
cp LICENSE README.md CHANGELOG.md SECURITY.md deploy/countersign.toml "$root"
# The guides that README and unit refer to, and the files that the guides refer to.
cp keys/README.md "$root/keys/"
cp -r docs "$root"
cp -r deploy/*/ "$root/deploy"
rm -r "$root/deploy/debian"
for shell in bash zsh fish; do
  "$program" completions "$shell" >"$root/completions/countersign.$shell"
done
"$program" man >"$root/countersign.1"
tar -C "$folder" --owner=0 --group=0 --sort=name -czf "$out/$name.tar.gz" "$name"
