"""Builds the Debian package with deploy/deb.sh, and lives with it on a minimal Debian on which systemd runs: installation,
the guide's commands, a token, an upgrade, removal, purge, and the return from each.

Usage: unshare --mount --net --propagation private python3 deb.py ROOT.tar PROGRAM FOLDER
The tar file has Debian with systemd and the shells (tests/provision.sh makes it); the program is stripped.
"""

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "documents"))
from blocks import ROOT, blocks
from container import api_key_in, mint, status_of, wait_until
from machine import Machine

STATE = "/var/lib/countersign"
SERVICE = "http://127.0.0.1:8080"
READY = "http://127.0.0.1:9090/readyz"
DROP_IN = "/etc/systemd/system/countersign.service.d/limit.conf"
OLD, NEW = "0.0.9", "0.1.0-rc.1"


def build(program, version, out, **environment):
    """Builds a package, compressed quickly."""
    out.mkdir()
    quickly = {"DPKG_DEB_COMPRESSOR_TYPE": "gzip", "DPKG_DEB_COMPRESSOR_LEVEL": "1"}
    environment = os.environ | quickly | {"SOURCE_DATE_EPOCH": "1764201600", "TMPDIR": str(out)} | environment
    subprocess.run([ROOT / "deploy/deb.sh", program, version, out], check=True, env=environment, stdout=subprocess.DEVNULL)
    [package] = out.glob("*.deb")
    return package


def field(package, name):
    return subprocess.run(["dpkg-deb", "-f", package, name], check=True, capture_output=True, text=True).stdout.strip()


def packages(program, folder):
    """Builds an older and a newer version. The same program gives the same bytes, wherever and by whomever it is built."""
    old = build(program, OLD, folder / "old")
    new = build(program, NEW, folder / "new")
    copy = folder / "elsewhere"
    copy.write_bytes(program.read_bytes())
    copy.chmod(0o700)
    os.umask(0o077)
    again = build(copy, NEW, folder / "again", TZ="Asia/Tokyo", LANG="C")
    os.umask(0o022)
    assert new.read_bytes() == again.read_bytes(), "two builds differ: diffoscope says where"
    assert field(new, "Version") == "0.1.0~rc.1-1"
    # A release is newer than its candidates.
    subprocess.run(["dpkg", "--compare-versions", field(new, "Version"), "lt", "0.1.0-1"], check=True)
    assert re.search(r"\blibc6 \(>= 2\.\d+\)", field(new, "Depends")), field(new, "Depends")
    return old, new


def guide():
    """Returns the guide's commands: that of the package, and those that follow for every installation by systemd."""
    texts = [text for language, text in blocks("docs/deploy.md") if language == "console"]
    commands = [[line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")] for text in texts]
    [[install]] = [block for block in commands if block[0].startswith("apt install")]
    [by_hand] = [block for block in commands if "cd " + STATE in block]
    return install, by_hand[by_hand.index("cd " + STATE) + 1 :]


def installs(machine, command, package):
    """Installs by the guide's command in a root in which nothing runs, as for an image: only a word about the next step."""
    machine.run(f"cp {shlex.quote('/srv/' + package.name)} /tmp")
    command = re.sub(r"\./countersign_\S+\.deb", f"./{package.name}", command)
    assert package.name in command, command
    said = machine.run(command, folder="/tmp")
    assert "countersign init" in said, said
    assert machine.run("countersign --version").startswith("countersign ")
    assert machine.run(f"stat -c '%a %U %G' {STATE}").split() == ["700", "countersign", "countersign"]
    assert "/usr/local" not in machine.run("cat /usr/lib/systemd/system/countersign*")
    machine.run("systemd-analyze verify /usr/lib/systemd/system/countersign{.service,.socket,-ops.socket} 2>&1 | (! grep countersign)")


def has_pages_and_completions(machine):
    machine.run("man --where countersign | grep -x /usr/share/man/man1/countersign.1.gz")
    complaints = machine.run("for page in /usr/share/man/man1/countersign*.gz; do man --warnings --local-file $page 2>&1 >/dev/null; done")
    assert not complaints, complaints
    assert "rotate" in machine.run("man countersign-rotate")
    bash = """
        source /usr/share/bash-completion/bash_completion
        _completion_loader countersign || [ $? = 124 ]
        COMP_WORDS=(countersign rot) COMP_CWORD=1
        $(complete -p countersign | sed 's/.*-F \\([^ ]*\\).*/\\1/') countersign rot countersign
        echo "${COMPREPLY[@]}"
    """
    assert machine.run(bash).split() == ["rotate"]
    zsh = "autoload -Uz compinit && compinit -D && autoload +X $_comps[countersign] && functions $_comps[countersign]"
    assert "rotate" in machine.run(f"zsh -fc {shlex.quote(zsh)}")
    assert machine.run("fish -c 'complete -C \"countersign rot\"'").split()[0] == "rotate"


def links_lead_somewhere(machine):
    """The guides in the package find the files of deploy/ that they refer to, in links and in commands."""
    docs = machine.root / "usr/share/doc/countersign"
    targets = {
        target
        for page in docs.rglob("*.md")
        for target in re.findall(r"\]\((?!http)([^)#]*deploy/[^)#]+)", page.read_text())
        for target in [page.parent / target]
    }
    missing = [str(target) for target in targets if not target.exists()]
    assert targets and not missing, missing
    drop_ins = [path.relative_to(ROOT) for path in (ROOT / "deploy/systemd/drop-ins").iterdir()]
    assert drop_ins and all((docs / path).is_file() for path in drop_ins), drop_ins


def refresh(token):
    request = urllib.request.Request(
        f"{SERVICE}/v1/token/refresh", json.dumps({"refresh_token": token}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["refresh_token"]


def ready():
    return status_of(READY) == 200


def is_active(machine):
    return machine.run("systemctl is-active countersign || true").strip() == "active"


def data_of(machine):
    """Sums of the files that belong to the operator, and that no change of the package may touch."""
    folder = machine.root / STATE.lstrip("/")
    kept = [folder / "countersign.toml", folder / "sealing.secret", *(folder / "keys").iterdir(), machine.root / DROP_IN.lstrip("/")]
    return {str(path): (path.stat().st_mode, path.stat().st_uid, hashlib.sha256(path.read_bytes()).hexdigest()) for path in kept}


def sets_up(machine, commands):
    """Runs the guide's commands, until the service runs. Returns the API key."""
    *commands, start = commands
    api_key = api_key_in("".join(machine.run(command, folder=STATE) for command in commands))
    machine.run(f"echo '# A line of the operator.' >>{STATE}/countersign.toml")
    machine.run(f"install -D /dev/stdin {DROP_IN} <<<$'[Service]\\nLimitNOFILE=60000'")
    machine.run(start)
    wait_until(ready, "the service is ready")
    return api_key


def works(machine, api_key):
    """A token is minted, and Braze would accept it; doctor finds nothing wrong. Returns the refresh token."""
    answer = json.loads(mint(SERVICE, api_key))
    verdict = machine.run(f"countersign token inspect --app web --user u-1 {answer['token']}", folder=STATE)
    assert "Nothing that Braze would reject" in verdict, verdict
    found = machine.run("runuser -u countersign -- countersign doctor || [ $? = 3 ]", folder=STATE)
    assert "WRONG" not in found, found
    return answer["refresh_token"]


def upgrade(machine, package, refresh_token):
    """A running service goes on with the new version; one that was stopped stays so."""
    before, process = data_of(machine), machine.run("systemctl show -P MainPID countersign")
    said = machine.run(f"dpkg -i /srv/{package.name}")
    assert "does not run" not in said, said
    wait_until(ready, "the service is ready again")
    assert machine.run("systemctl show -P MainPID countersign") != process, "the old program still runs"
    assert machine.run("systemctl show -P LimitNOFILE countersign").strip() == "60000"
    refresh_token = refresh(refresh_token)
    machine.run("systemctl stop countersign")
    assert "does not run" in machine.run(f"dpkg -i /srv/{package.name}")
    assert not is_active(machine), "an upgrade starts a service that was stopped"
    machine.run("systemctl start countersign")
    assert data_of(machine) == before
    return refresh_token


def comes_back(machine, package, action, api_key, refresh_token):
    """Removes or purges the package, which keeps the data and says so, and installs it again."""
    before = data_of(machine)
    listed = [Path(line) for line in machine.run("dpkg -L countersign").splitlines()]
    files = [path for path in listed if (machine.root / path.relative_to("/")).is_file()]
    assert len(files) > 50, files
    said = machine.run(f"dpkg --{action} countersign")
    wait_until(lambda: status_of(READY) == 0, "the service stops")
    left = [str(path) for path in files if (machine.root / path.relative_to("/")).exists()]
    assert not left, left
    assert data_of(machine) == before
    link = "/etc/systemd/system/multi-user.target.wants/countersign.service"
    if action == "purge":
        assert f"{STATE} is kept" in said, said
        machine.run(f"test ! -L {link}")
        assert "countersign" not in machine.run("dpkg-query -W -f '${Package} ${db:Status-Abbrev}\\n' | grep -v ' ii' || true")
    else:
        machine.run(f"test -L {link}")
    said = machine.run(f"dpkg -i /srv/{package.name}")
    assert "does not run. To start it" in said and not is_active(machine), said
    machine.run("systemctl enable --now countersign")
    wait_until(ready, "the service is ready")
    works(machine, api_key)
    return refresh(refresh_token)


def leaves_nothing(machine):
    """Purged where no installation was ever made, it leaves the user and nothing else."""
    machine.run(f"dpkg --remove countersign; rm -r {STATE} {Path(DROP_IN).parent}; mkdir {STATE}")
    said = machine.run("dpkg --purge countersign")
    assert "kept" not in said, said
    left = machine.run("find / -xdev -path '*countersign*' -not -path '/srv/*' -not -path '/tmp/*' -not -path '/proc/*' -not -path '/var/cache/man/*'").split()
    assert not left, left


def main():
    tar, program, folder = (Path(argument).resolve() for argument in sys.argv[1:4])
    # In memory, where a machine with other work does not wait for the disk.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3g,mode=0755", "tmpfs", folder], check=True)
    old, new = packages(program, folder)
    # Beside the rest: it reads every file of the package.
    lintian = subprocess.Popen(
        ["lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", new], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    machine = Machine.unpacked(tar, folder)
    for package in (old, new):
        (machine.root / "srv" / package.name).write_bytes(package.read_bytes())
    install, commands = guide()
    installs(machine, install, old)
    has_pages_and_completions(machine)
    links_lead_somewhere(machine)
    with machine.booted():
        api_key = sets_up(machine, commands)
        refresh_token = works(machine, api_key)
        refresh_token = upgrade(machine, new, refresh_token)
        for action in ("remove", "purge"):
            refresh_token = comes_back(machine, new, action, api_key, refresh_token)
        leaves_nothing(machine)
    said, _ = lintian.communicate(timeout=300)
    assert lintian.returncode == 0 and not said, said
    print(f"deb: {new.name}, {new.stat().st_size / 1e6:.1f} MB, needs {field(new, 'Depends')}")


main()
