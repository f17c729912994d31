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
mkdir -p "$root/completions"
cp "$program" "$root/countersign"
cp LICENSE README.md CHANGELOG.md SECURITY.md deploy/countersign.toml "$root"
# The guides that README and unit refer to, and the files that the guides refer to: of what is committed only, since an
# installation by Compose may have its secrets in these folders. In a container the checkout may be another user's.
git -c safe.directory="$PWD" ls-files keys/README.md docs deploy/{compose,grafana,kubernetes,prometheus,systemd} |
  xargs -d '\n' cp --parents -t "$root"
for shell in bash zsh fish; do
  "$program" completions "$shell" >"$root/completions/countersign.$shell"
done
"$program" man >"$root/countersign.1"
tar -C "$folder" --owner=0 --group=0 --sort=name -czf "$out/$name.tar.gz" "$name"
