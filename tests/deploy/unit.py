"""The units of deploy/systemd under Debian's systemd, booted on a copy of this machine: the commands of docs/deploy.md as an
operator types them; the sandbox; a drop-in that is missing, found by `doctor` and by the service; starts that fail until their
cause is mended; restarts under load with the sockets of systemd, without a lost request.

Usage: unshare --mount --net --propagation private python3 unit.py PROGRAM FOLDER ROUNDS
"""

import contextlib
import http.client
import http.server
import json
import re
import shutil
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from container import ROOT, wait_until
from load import CLIENTS, Load
from machine import Machine

sys.path.insert(0, str(ROOT / "tests/documents"))
from blocks import blocks  # noqa: E402

PROGRAM, FOLDER, ROUNDS = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
UNITS = ROOT / "deploy/systemd"
DROP_INS = sorted(UNITS.glob("drop-ins/*.conf"))
GUIDE = "docs/deploy.md"
# `systemd-analyze security` takes tenths.
EXPOSURE = 15
RELEASE, SITE = "/root/release", "/var/lib/countersign"
INSTALLED = "/etc/systemd/system/countersign.service.d"
# Addresses of this machine that are not loopback: packets to them pass the rules of the unit.
ELSEWHERE = {"braze": "10.77.0.1", "webhook": "10.77.0.2", "identity-provider": "10.77.0.3", "postgresql": "10.77.0.4", "proxy": "10.77.0.5"}
# Named by the provider's discovery document, and by HTTPS_PROXY.
KEYS, WAY_OUT = "10.77.0.6", "10.77.0.7"
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
        complaints = machine.run(f"systemd-analyze verify --man=no {units}", folder=RELEASE)
        assert "countersign" not in complaints, complaints
        text = machine.run(f"systemd-analyze security --offline=true --threshold={EXPOSURE} /etc/systemd/system/countersign.service")
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


def is_ready():
    try:
        return get("/readyz")[0] == 200
    except OSError:
        return False


def check_confined(machine):
    process = machine.run("systemctl show countersign --property=MainPID --value").strip()
    status = dict(line.split(":\t", 1) for line in machine.run(f"cat /proc/{process}/status").splitlines() if ":\t" in line)
    user = machine.run("id -u countersign").strip()
    assert set(status["Uid"].split()) == {user}, status["Uid"]
    capabilities = {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")}
    assert (capabilities, status["NoNewPrivs"], status["Seccomp"]) == ({0}, "1", "2"), status
    assert machine.run(f"find {SITE} ! -user countersign") == ""


def findings(machine, database):
    """Returns the drop-ins that doctor names, by its setting. The database is given beside the configuration."""
    environment = f"COUNTERSIGN_STORE__URL={database} COUNTERSIGN_STORE__TIMEOUT=100ms" if database else ""
    report = json.loads(machine.run(f"{environment} countersign --json doctor", code=None, folder=SITE).splitlines()[-1])
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
    return {re.search(r"network to (.+?): packets of this process", line)[1] for line in lines if "network to" in line}


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
    with provider(machine):
        check_further_hosts(machine, database, expected)
    (machine.root / f"{SITE.lstrip('/')}/countersign.toml").write_text(before)
    machine.run("systemctl daemon-reload; systemctl restart countersign")
    assert findings(machine, None) == ({}, []), "a configuration without other machines"
    # The database's message at the start of a service that waits for it.
    print("drop-ins: each is named where it is missing, by doctor and by the service, and not where it is installed")


@contextlib.contextmanager
def provider(machine):
    """An identity provider whose keys are on another machine. Its certificate is among the authorities of the copied system."""
    issuer = f"https://{ELSEWHERE['identity-provider']}"
    document = json.dumps({"issuer": issuer, "jwks_uri": f"https://{KEYS}/keys"}).encode()
    configuration, certificate = FOLDER / "certificate.cnf", FOLDER / "certificate.pem"
    configuration.write_text(
        "[req]\ndistinguished_name = name\nx509_extensions = more\nprompt = no\n[name]\nCN = provider\n"
        f"[more]\nsubjectAltName = IP:{ELSEWHERE['identity-provider']}\n"
    )
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    subprocess.run([*new, "-config", configuration, "-keyout", FOLDER / "key.pem", "-out", certificate], check=True, capture_output=True)
    with open(machine.root / "etc/ssl/certs/ca-certificates.crt", "a") as authorities:
        authorities.write(certificate.read_text())

    class Discovery(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((ELSEWHERE["identity-provider"], 443), Discovery)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, FOLDER / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()


def check_further_hosts(machine, database, expected):
    """Hosts that no setting names: those of a provider's keys, and of a proxy in the environment."""
    of_keys = f"{SETTINGS['identity-provider']}, jwks_uri of https://{ELSEWHERE['identity-provider']}"
    further = {f"{SETTINGS['braze']} through a proxy": "braze", of_keys: "identity-provider"}
    named = {it: name for it, name in expected.items() if name not in further.values()}
    for opened, missing in [((), further), ((KEYS, WAY_OUT), {})]:
        allowed = " ".join([ELSEWHERE["identity-provider"], *opened])
        drop_in = f"[Service]\nEnvironment=HTTPS_PROXY=http://{WAY_OUT}:3128\nIPAddressAllow={allowed}\n"
        (machine.root / INSTALLED.lstrip("/") / "further.conf").write_text(drop_in)
        begun = len(machine.journal().splitlines())
        machine.run("systemctl daemon-reload; systemctl restart countersign")
        found, _ = findings(machine, database)
        assert found == named | missing, (opened, found)
        of_service = set(found) - {"store.url"}
        wait_until(lambda: warnings(machine, begun) == of_service, f"the service warns of {of_service}")
    machine.run(f"rm {INSTALLED}/further.conf")


def check_comes_back(machine):
    """A start that fails is repeated, more often than systemd does by default, until its cause is mended."""
    machine.run("mv sealing.secret elsewhere; systemctl kill --signal=KILL countersign", folder=SITE)
    begun = time.monotonic()
    restarts = lambda: int(machine.run("systemctl show countersign --property=NRestarts --value"))
    wait_until(lambda: restarts() > 7, "systemd starts the service again")
    print(f"a start that fails: {restarts()} times in {time.monotonic() - begun:.0f} s")
    machine.run("mv elsewhere sealing.secret", folder=SITE)
    wait_until(is_ready, "the service is ready")


def check_restarts(machine, api_key):
    """Restarts under load while systemd holds the sockets."""
    machine.run(commands("countersign-ops.socket"), folder=RELEASE)
    wait_until(is_ready, "the service is ready")
    process = machine.run("systemctl show countersign --property=MainPID --value").strip()
    held = machine.run(f"tr '\\0' '\\n' </proc/{process}/environ | grep ^LISTEN_FD").split()
    assert sorted(held)[1] == "LISTEN_FDS=2" and "public" in held[0] + held[-1], held
    seen, begun = {process}, time.monotonic()
    with Load(lambda: "127.0.0.1", api_key) as load:
        for _ in range(ROUNDS):
            before = load.counts.total()
            machine.run("systemctl restart countersign")
            seen.add(machine.run("systemctl show countersign --property=MainPID --value").strip())
            wait_until(lambda: load.counts.total() > before + 4 * CLIENTS, "the next process answers")
    took = time.monotonic() - begun
    print(f"sockets: {ROUNDS} restarts in {took:.0f} s, answers {dict(load.counts)}")
    assert len(seen) == ROUNDS + 1, seen
    load.assert_all_answered()
    # Without a process a connection starts one.
    machine.run("systemctl stop countersign 2>&1")
    assert get("/healthz", 8080)[0] == 200
    assert machine.run("systemctl is-active countersign").strip() == "active"


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
    for address in (*ELSEWHERE.values(), KEYS, WAY_OUT):
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    machine = Machine.copied(FOLDER)
    release(machine.root)
    with machine.booted():
        try:
            output = machine.run(commands("runuser"), folder=RELEASE)
            api_key = re.search(r"csk1_\S+", output)[0]
            wait_until(is_ready, "the service is ready")
            check_confined(machine)
            check_units(machine)
            machine.run("systemctl daemon-reload; countersign doctor; runuser -u countersign -- countersign doctor", folder=SITE)
            check_drop_ins(machine)
            check_comes_back(machine)
            check_restarts(machine, api_key)
            check_credential(machine)
        except BaseException:
            print(machine.journal()[-8000:])
            raise
    print("unit: the guide's commands, the sandbox, the drop-ins, the sockets")


main()
