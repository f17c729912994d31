"""Judges what deploy/release.sh made: files, checksums, the program and its list of crates, debug information, the package.

Usage: release.py FOLDER WORK
"""

import hashlib
import json
import re
import subprocess
import sys
import zlib
from pathlib import Path

FOLDER, WORK = Path(sys.argv[1]), Path(sys.argv[2])


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, errors="replace").stdout


def crates_in(program):
    """Names and versions of the crates in the list that `cargo auditable` put into the program."""
    section = WORK / "crates"
    subprocess.run(["objcopy", "--dump-section", f".dep-v0={section}", program, WORK / "copy"], check=True)
    return {(it["name"], it["version"]) for it in json.loads(zlib.decompress(section.read_bytes()))["packages"]}


def main():
    [archive] = FOLDER.glob("*.tar.gz")
    name = archive.name.removesuffix(".tar.gz")
    version = name.split("-")[1]
    architecture = output("dpkg", "--print-architecture").strip()
    package = FOLDER / f"countersign_{version}-1_{architecture}.deb"
    expected = {f"{name}.tar.gz", f"{name}.debug", f"{name}.cdx.json", package.name, "SHA256SUMS"}
    assert {it.name for it in FOLDER.iterdir()} == expected, sorted(FOLDER.iterdir())
    sums = dict(line.split("  ")[::-1] for line in (FOLDER / "SHA256SUMS").read_text().splitlines())
    assert sums == {it: hashlib.sha256((FOLDER / it).read_bytes()).hexdigest() for it in expected - {"SHA256SUMS"}}

    subprocess.run(["tar", "-C", WORK, "-xf", archive], check=True)
    program = WORK / name / "countersign"
    assert f"countersign {version}" in output(program, "version"), output(program, "version")
    assert "\n  sandbox" not in output(program, "help"), "a release has no local Braze"
    for shell in ("bash", "zsh", "fish"):
        assert "rotate" in (WORK / name / f"completions/countersign.{shell}").read_text()
    assert ".TH" in (WORK / name / "countersign.1").read_text()

    link = output("readelf", "--string-dump=.gnu_debuglink", program)
    assert f"{name}.debug" in link, link
    assert ".debug_info" in output("readelf", "--section-headers", "--wide", FOLDER / f"{name}.debug")

    bill = json.loads((FOLDER / f"{name}.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX" and bill["metadata"]["component"]["name"] == "countersign"
    listed = {(it["name"], it["version"]) for it in bill["components"]}
    assert listed | {("countersign", version)} == crates_in(program), "the SBOM has other crates than the program"
    assert "tokio" in dict(listed) and "criterion" not in dict(listed)

    assert output("dpkg-deb", "-f", package, "Version").strip() == f"{version}-1"
    inside = output("dpkg-deb", "--contents", package)
    for path in (r"usr/bin/countersign", r"usr/share/man/man1/countersign\.1\.gz", r"bash-completion/completions/countersign"):
        assert re.search(rf"{path}$", inside, re.MULTILINE), path
    print(f"release: {len(listed)} crates, " + ", ".join(f"{it} {(FOLDER / it).stat().st_size / 1e6:.1f} MB" for it in sorted(sums)))


main()
