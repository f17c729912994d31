"""Checks deploy/compose, and runs the same topology without Docker: two nodes in containers (container.py), PostgreSQL, nginx
and Prometheus of Debian with the files of that folder. Grafana is not in Debian, and does not run here.

Usage: compose.py DOCKER_COMPOSE                                            the file alone
       unshare --mount --net python3 compose.py DOCKER_COMPOSE PROGRAM FOLDER
"""

import contextlib
import json
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from cluster import image_environment
from container import (
    BINARY_IN_IMAGE, MS_BIND, ROOT, Container, Mount, api_key_in, assert_confined, lay_out, mount, running, status_of, wait_until
)
from network import attach, make_network, postgres

COMPOSE = ROOT / "deploy/compose"
NODES = ["countersign-1", "countersign-2"]
# What the guide's commands make, and what other parts of deploy/ have.
MADE = {"secrets", "tls"}
MACHINE = "172.30.0.1"
PUBLIC_NAME = "auth.example.com"


def configuration(program):
    """The file as Compose understands it, without a complaint."""
    command = [program, "-f", COMPOSE / "compose.yaml", "--profile", "init", "config"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return yaml.safe_load(done.stdout)["services"]


def check(services):
    assert set(services) == {"init", *NODES, "postgres", "nginx", "prometheus", "grafana"}, set(services)
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("/"):
                path = Path(source).relative_to(COMPOSE.parent)
                assert path.parts[0] != "compose" or path.parts[1] in MADE or Path(source).exists(), f"{name}: {source}"
                assert volume.endswith(":ro"), f"{name}: {volume}"
        for port in service.get("ports", []):
            # A number stands for itself; a text has the address, too.
            is_local = isinstance(port, str) and port.startswith("127.0.0.1:")
            assert is_local or (name, port) == ("nginx", {"published": 443, "target": 443}), f"{name} publishes {port}"
    for name in ("init", *NODES):
        service = services[name]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert list(service["networks"]) == ["inside"] and "ports" not in service, name
    for name in NODES:
        assert services[name]["stop_grace_period"] == "30s", "more than shutdown_delay (2 s) and drain (20 s)"
    print(f"compose: {len(services)} services")


def guide():
    """The commands of docs/compose.md."""
    text = (ROOT / "docs/compose.md").read_text().split("```console\n")[1].split("```")[0]
    return [line.removeprefix("$ ").split("  #")[0].strip() for line in text.splitlines()]


def prepare(folder):
    """A copy of the folder, with the secrets that the guide's commands make, and a certificate."""
    shutil.copytree(COMPOSE, folder, ignore=shutil.ignore_patterns(*MADE))
    first, *commands = guide()
    assert first == "cd deploy/compose"
    made = [command for command in commands if not command.startswith("docker compose")]
    subprocess.run(["bash", "-euc", "\n".join(made)], cwd=folder, check=True)
    certificate = ["-subj", f"/CN={PUBLIC_NAME}", "-addext", f"subjectAltName=DNS:{PUBLIC_NAME}", "-days", "2", "-nodes"]
    files = ["-keyout", "tls/privkey.pem", "-out", "tls/fullchain.pem"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", *certificate, *files], cwd=folder, check=True, capture_output=True)
    return [command.removeprefix("docker compose ") for command in commands if command.startswith("docker compose")]


def environment_of(service):
    return {"PATH": "/usr/local/bin", "HOME": "/"} | image_environment() | (service.get("environment") or {})


def container_of(service, root, folder, network):
    mounts = []
    for volume in service["volumes"]:
        source, target, _ = volume.split(":")
        mounts.append(Mount(folder / Path(source).relative_to(COMPOSE), target, read_only=True))
    for it in service.get("tmpfs", []):
        target, options = it.split(":")
        assert "uid=65532" in options and "mode=0700" in options
        scratch = folder / "scratch"
        scratch.mkdir(mode=0o700)
        shutil.chown(scratch, 65532, 65532)
        mounts.append(Mount(scratch, target))
    return Container(root, environment_of(service), folder="/var/lib/countersign", mounts=mounts, network=network)


def put_in_place(source, target):
    """Mounts a file or folder where a container of this topology has it. The mount ends with this process."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(source, target, MS_BIND)


@contextlib.contextmanager
def nginx(folder):
    """Debian's nginx with the file, in the place where the image reads it."""
    etc = folder / "etc-nginx"
    etc.mkdir()
    mount("tmpfs", "/etc/nginx", 0, "tmpfs")
    put_in_place(folder / "nginx.conf", Path("/etc/nginx/conf.d/default.conf"))
    put_in_place(folder / "tls", Path("/etc/nginx/tls"))
    paths = "".join(f"{name}_temp_path {etc}/{name}; " for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    Path("/etc/nginx/nginx.conf").write_text(
        f"user root; daemon off; pid {etc}/pid; error_log {etc}/log warn;\nevents {{}}\n"
        f"http {{ access_log off; {paths} include /etc/nginx/conf.d/*.conf; }}\n"
    )
    process = subprocess.Popen(["nginx", "-c", "/etc/nginx/nginx.conf"])
    with running(process, "nginx"):
        yield


@contextlib.contextmanager
def prometheus(folder):
    settings = yaml.safe_load((folder / "prometheus.yml").read_text())
    # The same file, asked more often.
    settings["global"]["scrape_interval"] = "1s"
    (folder / "prometheus-here.yml").write_text(yaml.safe_dump(settings))
    arguments = [f"--config.file={folder}/prometheus-here.yml", f"--storage.tsdb.path={folder}/tsdb", "--web.listen-address=127.0.0.1:9091"]
    with open(folder / "prometheus.log", "wb") as log:
        process = subprocess.Popen(["prometheus", *arguments], stderr=log)
    with running(process, "Prometheus"):
        yield


def asked(query):
    url = f"http://127.0.0.1:9091/api/v1/query?query={query}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return [float(it["value"][1]) for it in json.load(answer)["data"]["result"]]
    except OSError:
        return []


def login(api_key, folder):
    """One login through nginx, as a backend does it: by the public name, with TLS that is verified."""
    context = ssl.create_default_context(cafile=folder / "tls/fullchain.pem")
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"https://{PUBLIC_NAME}/v1/token/generate", b'{"app": "web", "user_id": "u-1"}', headers)
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            assert answer.headers["Strict-Transport-Security"]
            return "csr1_" in answer.read().decode()
    except urllib.error.HTTPError as refusal:
        # Not known yet, or the machine has other work.
        assert refusal.code in (401, 503), refusal.read()
        return False


def stopwatch():
    """A function that prints the time since its last call: the machine's part of the operator's path (docs/index.md)."""
    last = time.monotonic()

    def done(step):
        nonlocal last
        print(f"{time.monotonic() - last:5.1f} s  {step}")
        last = time.monotonic()

    return done


def run(services, program, folder):
    lay_out(program, folder / "root")
    root, here = folder / "root", folder / "compose"
    (root / "var/lib/countersign").mkdir(parents=True)
    (root / "etc").mkdir(exist_ok=True)
    addresses = {name: services[name]["networks"]["inside"]["ipv4_address"] for name in NODES}
    hosts = "".join(f"{address} {name}\n" for name, address in (addresses | {"postgres": MACHINE}).items())
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{hosts}")
    shutil.copy(root / "etc/hosts", folder / "hosts")
    with open(folder / "hosts", "a") as file:
        file.write(f"127.0.0.1 {PUBLIC_NAME}\n")
    mount(folder / "hosts", "/etc/hosts", MS_BIND)
    make_network(MACHINE)
    commands = prepare(here)
    password = (here / "secrets/postgres.password").read_text().strip()
    with contextlib.ExitStack() as stack:
        done = stopwatch()
        stack.enter_context(postgres(folder / "postgres", MACHINE, password))
        done("a new PostgreSQL server, with role and database")
        networks = {name: attach(address) for name, address in addresses.items()}
        # In the order of the guide's commands.
        assert [command.split()[0] for command in commands] == ["run", "up", "exec", "exec"], commands
        container_of(services["init"], root, here, networks[NODES[0]]).run([BINARY_IN_IMAGE, *services["init"]["command"]])
        done("configuration, tables, sealing secret, first key: init")
        nodes = {name: container_of(services[name], root, here, networks[name]) for name in NODES}
        for name, node in nodes.items():
            log = stack.enter_context(open(folder / f"{name}.log", "wb"))
            process = stack.enter_context(running(node.command([BINARY_IN_IMAGE, "serve"], stdout=log, stderr=log), name))
            wait_until(lambda name=name: status_of(f"http://{name}:9090/readyz") == 200, f"{name} is ready")
            assert_confined(process, 65532)
            done(f"{name} is ready")
        code, doctor = nodes[NODES[0]].run([BINARY_IN_IMAGE, *commands[2].split()[3:]], check=False)
        assert code in (0, 3), doctor
        done("doctor")
        api_key = api_key_in(nodes[NODES[0]].run([BINARY_IN_IMAGE, *commands[3].split()[3:]])[1])
        done("an API key")
        stack.enter_context(nginx(here))
        stack.enter_context(prometheus(here))
        wait_until(lambda: status_of(f"https://{PUBLIC_NAME}/healthz") in (0, 200), "nginx answers")
        wait_until(lambda: login(api_key, here), "a login through nginx")
        done("nginx with TLS, a login through it")
        wait_until(lambda: asked("up{job='countersign'}") == [1.0, 1.0], "Prometheus reaches both nodes")
        wait_until(lambda: sum(asked("countersign_mints_total")) >= 1, "Prometheus has seen the login")
        done("Prometheus has scraped both nodes, each second")
        # What nginx hands on is believed: the address is this client's, not nginx's.
        logs = "".join((folder / f"{name}.log").read_text() for name in NODES)
        assert "127.0.0.1" in logs and '"level":"ERROR"' not in logs, logs
    print("compose: init, two nodes, a login through nginx with TLS, Prometheus sees both")


def main():
    services = configuration(sys.argv[1])
    check(services)
    if len(sys.argv) > 2:
        run(services, sys.argv[2], Path(sys.argv[3]))


if __name__ == "__main__":
    main()
