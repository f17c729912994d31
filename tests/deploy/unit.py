"""The units of deploy/systemd under Debian's systemd, booted for this (booted.py): the commands of docs/deploy.md as an operator
types them; the sandbox; a drop-in that is missing, found by `doctor` and by the service; restarts under load with the sockets of
systemd, without a lost request.

Usage: unshare --mount --net --propagation private python3 unit.py PROGRAM ROUNDS
"""

import collections
import http.client
import json
import re
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from booted import booted, wait_until

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/documents"))
from blocks import blocks  # noqa: E402

PROGRAM, ROUNDS = sys.argv[1], int(sys.argv[2])
UNITS = ROOT / "deploy/systemd"
DROP_INS = sorted(UNITS.glob("drop-ins/*.conf"))
GUIDE = "docs/deploy.md"
# `systemd-analyze security` takes tenths.
EXPOSURE = 15
RELEASE, SITE = "/root/release", "/var/lib/countersign"
INSTALLED = "/etc/systemd/system/countersign.service.d"
CLIENTS = 4
# Addresses of this machine that are not loopback: packets to them pass the rules of the unit.
ELSEWHERE = {"braze": "10.77.0.1", "webhook": "10.77.0.2", "identity-provider": "10.77.0.3", "postgresql": "10.77.0.4", "proxy": "10.77.0.5"}
SETTINGS = {
    "braze": "braze.main.rest_url", "webhook": "failures.webhook", "identity-provider": "apps.web.sign_in",
    "postgresql": "store.url", "proxy": "server.trusted_proxies",
}


def commands(words):
    """Returns the commands of the guide's console block that contains these words."""
    [text] = [text for language, text in blocks(GUIDE) if language == "console" and words in text]
    return "\n".join(line.removeprefix("$ ") for line in text.splitlines())


def install_commands(drop_in):
    """Returns the commands in a drop-in's comment that install it."""
    found = re.findall(r"^#   ((?:install -D -m 0644|systemctl daemon-reload).*)$", drop_in.read_text(), re.MULTILINE)
    assert len(found) == 2, found
    return "\n".join(found)


def release(root):
    """The unpacked folder of a release."""
    folder = root / RELEASE.lstrip("/")
    folder.mkdir(parents=True)
    shutil.copy(PROGRAM, folder / "countersign")
    shutil.copytree(UNITS, folder / "deploy/systemd")


def check_user_and_folder():
    """sysusers.d and tmpfiles.d on an empty root, twice: the second time changes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "etc").mkdir()
        for _ in range(2):
            subprocess.run(["systemd-sysusers", f"--root={folder}", UNITS / "sysusers.d/countersign.conf"], check=True)
            [line] = [line for line in Path(folder, "etc/passwd").read_text().splitlines() if line.startswith("countersign:")]
            _, _, user, group, _, home, shell = line.split(":")
            assert 0 < int(user) < 1000 and home == SITE and shell == "/usr/sbin/nologin", line
            subprocess.run(["systemd-tmpfiles", f"--root={folder}", "--create", UNITS / "tmpfiles.d/countersign.conf"], check=True)
            made = Path(folder + SITE).stat()
            assert (made.st_uid, made.st_gid) == (int(user), int(group)), made
            assert stat.S_IMODE(made.st_mode) == 0o700, oct(made.st_mode)


def check_units(machine):
    """systemd reads the units without a complaint, alone and with each drop-in, and the exposure keeps its limit."""
    machine.run(f"mkdir -p {INSTALLED}")
    for drop_in in [None, *DROP_INS]:
        if drop_in:
            machine.run(f"cp {RELEASE}/deploy/systemd/drop-ins/{drop_in.name} {INSTALLED}/")
        units = "/etc/systemd/system/countersign.service deploy/systemd/countersign.socket deploy/systemd/countersign-ops.socket"
        complaints = machine.output(f"systemd-analyze verify --man=no {units}", folder=RELEASE)
        assert "countersign" not in complaints, complaints
        text = machine.output(f"systemd-analyze security --offline=true --threshold={EXPOSURE} /etc/systemd/system/countersign.service")
        exposure = re.search(r"exposure level for countersign.service: ([0-9.]+)", text)[1]
        print(f"exposure {exposure} {drop_in.name if drop_in else 'without a drop-in'}")
        machine.run(f"rm -f {INSTALLED}/*")


def get(path, port=9090):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def post(connection, path, body, headers):
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    return answer, answer.read()


def is_ready():
    try:
        return get("/readyz")[0] == 200
    except OSError:
        return False


def check_confined(machine):
    process = machine.output("systemctl show countersign --property=MainPID --value").strip()
    status = dict(line.split(":\t", 1) for line in machine.output(f"cat /proc/{process}/status").splitlines() if ":\t" in line)
    user = machine.output("id -u countersign").strip()
    assert set(status["Uid"].split()) == {user}, status["Uid"]
    capabilities = {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")}
    assert (capabilities, status["NoNewPrivs"], status["Seccomp"]) == ({0}, "1", "2"), status
    assert machine.output(f"find {SITE} ! -user countersign") == ""


def findings(machine, database):
    """Returns the drop-ins that doctor names, by its setting. The database is given beside the configuration."""
    environment = f"COUNTERSIGN_STORE__URL={database} COUNTERSIGN_STORE__TIMEOUT=100ms" if database else ""
    report = json.loads(machine.run(f"{environment} countersign --json doctor", check=False, folder=SITE)[1].splitlines()[-1])
    network = [it for it in report["findings"] if it["what"].startswith("network")]
    wrong = {it["what"].removeprefix("network to "): it["text"] for it in network if it["health"] == "wrong"}
    for setting, text in wrong.items():
        assert "countersign.service drops packets to 10.77.0." in text, (setting, text)
    return {setting: re.search(r"drop-ins/([a-z-]+)\.conf", text)[1] for setting, text in wrong.items()}, network


def configure(machine):
    """Names a machine of every kind in the configuration; none of them is there."""
    path = machine.root / f"{SITE.lstrip('/')}/countersign.toml"
    text = path.read_text()
    for commented, set_ in [
        ("# trusted_proxies = []", f'trusted_proxies = ["{ELSEWHERE["proxy"]}"]'),
        ('# url_file = "webhook.url"', 'url_file = "webhook.url"'),
        ('# secret_file = "webhook.secret"', 'secret_file = "webhook.secret"\nallow_private_addresses = true'),
    ]:
        assert text.count(commented) == 1, commented
        text = text.replace(commented, set_)
    text += f"""
[braze.main]
rest_url = "https://{ELSEWHERE['braze']}"
api_key_file = "braze.key"

[[apps.web.sign_in]]
kind = "oidc"
issuer = "https://{ELSEWHERE['identity-provider']}"
audience = "web"
allow_private_addresses = true
"""
    path.write_text(text)
    secrets = {"webhook.url": f"https://{ELSEWHERE['webhook']}/", "webhook.secret": "whsec_" + "QUFB" * 8, "braze.key": "key"}
    for name, secret in secrets.items():
        machine.run(f"install -m 0600 -o countersign -g countersign <(printf %s '{secret}') {name}", folder=SITE)
    return text


def warnings(machine, since):
    """Settings of which the service warned since this line of its log."""
    lines = machine.journal().splitlines()[since:]
    return {re.search(r"network to ([a-z_.]+):", line)[1] for line in lines if "network to" in line}


def check_drop_ins(machine):
    """Each missing drop-in is named by doctor and by the service; installed, it is not."""
    before = (machine.root / f"{SITE.lstrip('/')}/countersign.toml").read_text()
    configure(machine)
    database = f"postgres://u@{ELSEWHERE['postgresql']}/store"
    expected = {SETTINGS[name]: name for name in SETTINGS}
    found, _ = findings(machine, database)
    assert found == expected, found
    begun = len(machine.journal().splitlines())
    machine.run("systemctl reload countersign")
    of_service = set(expected) - {"store.url"}
    wait_until(lambda: warnings(machine, begun) == of_service, "the service warns")
    for drop_in in DROP_INS:
        name = drop_in.stem
        if name not in SETTINGS:
            continue
        copy = machine.root / f"{RELEASE.lstrip('/')}/deploy/systemd/drop-ins/{drop_in.name}"
        # What the comment asks for: the operator's own addresses in place of the example's.
        text = re.sub(r"^IPAddressAllow=.*$", f"IPAddressAllow={ELSEWHERE[name]}", copy.read_text(), flags=re.MULTILINE)
        copy.write_text(text)
        begun = len(machine.journal().splitlines())
        machine.run(install_commands(drop_in), folder=RELEASE)
        found, network = findings(machine, database)
        opened = set(expected) if "\nIPAddressDeny=\n" in text else {SETTINGS[name]}
        assert found == {setting: it for setting, it in expected.items() if setting not in opened}, (name, found)
        if not found:
            assert [it["health"] for it in network] == ["ok"], network
        wait_until(is_ready, "the service is ready")
        wait_until(lambda: warnings(machine, begun) >= of_service - opened, "the service warns of the others")
        assert not warnings(machine, begun) & opened, (name, warnings(machine, begun))
        machine.run(f"rm {INSTALLED}/{drop_in.name}")
    (machine.root / f"{SITE.lstrip('/')}/countersign.toml").write_text(before)
    machine.run("systemctl daemon-reload; systemctl restart countersign")
    assert findings(machine, None) == ({}, []), "a configuration without other machines"
    # The database's message at the start of a service that waits for it.
    print("drop-ins: each is named where it is missing, by doctor and by the service, and not where it is installed")


class Load:
    """Clients that mint and refresh all the time: half of them keep their connection, half make a new one for each request.
    A client that keeps its connection makes a new one where it was closed meanwhile, as HTTP clients do."""

    def __init__(self, api_key):
        self.counts, self.stop, self.headers = collections.Counter(), threading.Event(), {"Authorization": f"Bearer {api_key}"}
        self.threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _client(self, number):
        connection, token = None, None
        while not self.stop.is_set():
            if connection and select.select([connection.sock], [], [], 0)[0]:
                connection.close()
                connection = None
            connection = connection or http.client.HTTPConnection("127.0.0.1", 8080, timeout=120)
            path, body = "/v1/token/refresh", {"refresh_token": token}
            if token is None:
                path, body = "/v1/token/generate", {"app": "web", "user_id": f"u-{number}"}
            try:
                answer, text = post(connection, path, body, {} if token else self.headers)
                self.counts[f"{path} {answer.status}"] += 1
                # Every tenth request begins another session.
                token = json.loads(text).get("refresh_token") if self.counts.total() % 10 else None
                gone = answer.will_close or number % 2
            except (OSError, http.client.HTTPException) as why:
                self.counts[f"{path} {type(why).__name__}"] += 1
                gone = True
            if gone:
                connection.close()
                connection = None
            time.sleep(0.005)


def check_restarts(machine, api_key):
    """Restarts under load while systemd holds the sockets."""
    machine.run(commands("countersign-ops.socket"), folder=RELEASE)
    wait_until(is_ready, "the service is ready")
    process = machine.output("systemctl show countersign --property=MainPID --value").strip()
    held = machine.output(f"tr '\\0' '\\n' </proc/{process}/environ | grep ^LISTEN_FD").split()
    assert sorted(held)[1] == "LISTEN_FDS=2" and "public" in held[0] + held[-1], held
    seen, begun = {process}, time.monotonic()
    with Load(api_key) as load:
        for _ in range(ROUNDS):
            before = load.counts.total()
            # systemd gives a service up that is started six times within ten seconds.
            machine.run("systemctl reset-failed countersign; systemctl restart countersign")
            seen.add(machine.output("systemctl show countersign --property=MainPID --value").strip())
            wait_until(lambda: load.counts.total() > before + 4 * CLIENTS, "the next process answers")
    took = time.monotonic() - begun
    print(f"sockets: {ROUNDS} restarts in {took:.0f} s, answers {dict(load.counts)}")
    assert len(seen) == ROUNDS + 1, seen
    assert set(load.counts) == {"/v1/token/generate 200", "/v1/token/refresh 200"}, load.counts
    # Without a process a connection starts one.
    machine.run("systemctl stop countersign 2>&1")
    assert get("/healthz", 8080)[0] == 200
    assert machine.output("systemctl is-active countersign").strip() == "active"


def check_credential(machine):
    """The drop-in of the secret."""
    [drop_in] = [it for it in DROP_INS if it.stem == "credentials"]
    move = re.findall(r"^#   (install -D -m 0440 .*|rm .*)$", drop_in.read_text(), re.MULTILINE)
    assert len(move) == 2, move
    machine.run("\n".join([*move, install_commands(drop_in)]), folder=RELEASE)
    wait_until(is_ready, "the service is ready")
    [command] = re.findall(r"`(COUNTERSIGN_SEALING__SECRET_FILE=.* doctor)`", drop_in.read_text())
    machine.run(command, folder=SITE)


def main():
    check_user_and_folder()
    for address in ELSEWHERE.values():
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    with booted(release) as machine:
        try:
            output = machine.output(commands("runuser"), folder=RELEASE)
            api_key = re.search(r"csk1_\S+", output)[0]
            wait_until(is_ready, "the service is ready")
            check_confined(machine)
            check_units(machine)
            machine.run("systemctl daemon-reload; countersign doctor; runuser -u countersign -- countersign doctor", folder=SITE)
            check_drop_ins(machine)
            check_restarts(machine, api_key)
            check_credential(machine)
        except BaseException:
            print(machine.journal()[-8000:])
            raise
    print("unit: the guide's commands, the sandbox, the drop-ins, the sockets")


main()
