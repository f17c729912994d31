#!/usr/bin/env bash
# Makes the Debian package of a program: deb.sh <program> <version> <folder> makes
# <folder>/countersign_<version>-1_<architecture>.deb. It runs on the oldest Debian that the package is for (the one that the
# program was built on), and needs dpkg-dev, git, and the sources of the crates, which a build leaves.
#
# The same program gives the same bytes: SOURCE_DATE_EPOCH is the time of every file, by default that of the last commit.
# dpkg-deb alone is enough for one package from one program; deploy/debian has what debhelper or cargo-deb would generate.
set -eu -o pipefail
export LC_ALL=C
umask 022

program=$(realpath "$1")
# A tilde sorts before everything: 1.0.0~rc.1 is older than 1.0.0.
version=${2/-/\~}-1
out=$(realpath "$3")
cd "$(dirname "$0")/.."

# In a container the checkout may be another user's.
of_git() { git -c safe.directory="$PWD" "$@"; }

export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(of_git log -1 --format=%ct)}
architecture=$(dpkg --print-architecture)
maintainer="Countersign maintainers <maintainers@countersign.example>"
homepage=$(sed -n 's/^repository = "\(.*\)"/\1/p' Cargo.toml)

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$folder/root
docs=$root/usr/share/doc/countersign

# put <source> <target below the root> [<mode>]
put() { install -D -m "${3:-0644}" "$1" "$root/$2"; }

# filled <template> prints it with the values of this package.
filled() {
  sed -e "s|@VERSION@|$version|; s|@ARCHITECTURE@|$architecture|; s|@MAINTAINER@|$maintainer|; s|@HOMEPAGE@|$homepage|" \
    -e "s|@YEAR@|$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y)|; s|@LIBRARIES@|${libraries:-}|; s|@SIZE@|${size:-}|" "$1"
}

# compressed <target>: as Debian's policy asks for pages and changelogs, without a time.
compressed() { gzip -9 --no-name >"$1"; }

put "$program" usr/bin/countersign 0755

# A package has nothing in /usr/local.
for unit in deploy/systemd/*.service deploy/systemd/*.socket; do
  sed 's|/usr/local/bin/|/usr/bin/|g' "$unit" >"$folder/unit"
  put "$folder/unit" "usr/lib/systemd/system/$(basename "$unit")"
done
put deploy/systemd/sysusers.d/countersign.conf usr/lib/sysusers.d/countersign.conf
put deploy/systemd/tmpfiles.d/countersign.conf usr/lib/tmpfiles.d/countersign.conf

install -d "$root/usr/share/man/man1" "$folder/man"
"$program" man --out "$folder/man"
for page in "$folder"/man/*.1; do
  name=$(basename "$page")
  compressed "$root/usr/share/man/man1/$name.gz" <"$folder/man/$name"
done

install -d "$root"/usr/share/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
"$program" completions bash >"$root/usr/share/bash-completion/completions/countersign"
"$program" completions zsh >"$root/usr/share/zsh/vendor-completions/_countersign"
"$program" completions fish >"$root/usr/share/fish/vendor_completions.d/countersign.fish"

# The guides, and the files that they refer to, by the same relative paths as in the repository: of what is committed only, since
# an installation by Compose may have its secrets in these folders.
of_git ls-files README.md SECURITY.md keys/README.md docs deploy/countersign.toml deploy/{compose,grafana,kubernetes,prometheus} \
  deploy/systemd/drop-ins | while read -r file; do
  put "$file" "usr/share/doc/countersign/${file/#deploy/examples}"
done
ln -s examples "$docs/deploy"
compressed "$docs/changelog.gz" <CHANGELOG.md
compressed "$docs/changelog.Debian.gz" <<CHANGELOG
countersign ($version) stable; urgency=medium

  * Release $2; changelog.gz beside this file says what changed.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
CHANGELOG
deploy/crates.sh >"$folder/crates.txt"
compressed "$docs/crates.txt.gz" <"$folder/crates.txt"
filled deploy/debian/copyright >"$docs/copyright"
put deploy/debian/lintian-overrides usr/share/lintian/overrides/countersign

# The packages that have the libraries of the program, in the versions that have its symbols.
install -d "$root/DEBIAN" "$folder/debian"
printf 'Source: countersign\n\nPackage: countersign\nArchitecture: any\n' >"$folder/debian/control"
libraries=$(cd "$folder" && dpkg-shlibdeps -O "$root/usr/bin/countersign" | sed -n 's/^shlibs:Depends=//p')
[ -n "$libraries" ]

# As deb-substvars(5) reckons it: files in KiB, rounded up, and one for each other entry.
size=$(find "$root/usr" \( -type f -printf '%s\n' -o -printf '1024\n' \) | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')

(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
filled deploy/debian/control >"$root/DEBIAN/control"
for script in postinst prerm postrm; do
  put "deploy/debian/$script" "DEBIAN/$script" 0755
done

find "$root" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
# Elsewhere the default is one that Debian 12 cannot read.
export DPKG_DEB_COMPRESSOR_TYPE=${DPKG_DEB_COMPRESSOR_TYPE:-xz}
dpkg-deb --root-owner-group --build "$root" "$out/countersign_$2-1_$architecture.deb"
