#!/usr/bin/env bash
# Prints the crates that a release of the program consists of: versions, licences, and the notices that the licences ask to
# keep. A file with nothing but the text of Apache-2.0 is left out: that text is in LICENSE.
set -eu -o pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

# Lines of name, version, licence. The first line of the tree is this crate.
crates=$(cargo tree --locked --no-default-features --edges normal --prefix none --no-dedupe --format '{p} {l}' |
  sed -n '2,$ s/^\([^ ]*\) v\([^ ]*\)\( (proc-macro)\)\? \(.*\)$/\1-\2 \4/p' | sort -u)
echo "countersign has in it these crates of other authors, under these licences:"
echo
echo "$crates"

folders=()
while read -r crate _; do
  folder=$(echo "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$crate")
  [ -d "$folder" ] || { echo "no source of $crate; cargo fetch --locked brings it" >&2; exit 1; }
  folders+=("$folder")
done <<<"$crates"

# A notice that several crates have is printed once, below their names.
find "${folders[@]}" -maxdepth 1 -type f -iregex '.*/\(licen[sc]e\|copying\|copyright\|notice\|unlicense\)[^/]*' ! -iname '*apache*' |
  sort | xargs -d '\n' sha256sum | while read -r sum file; do
    echo "$sum $file $(basename "$(dirname "$file")")"
  done | awk '!($1 in names) { order[++count] = $1; file[$1] = $2 } { names[$1] = names[$1] ", " $3 }
    END { for (i = 1; i <= count; i++) print file[order[i]], substr(names[order[i]], 3) }' |
  while read -r file names; do
    printf '\n%s\n%s\n\n' "$(printf '=%.0s' {1..79})" "$names" | fold --spaces
    cat "$file"
  done
