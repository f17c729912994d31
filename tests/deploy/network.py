"""A network of containers on this machine, and a PostgreSQL server in it."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from container import mount


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def make_network(address):
    """A network in which this process has this address, and containers the others of its 256."""
    Path("/run/netns").mkdir(exist_ok=True)
    mount("tmpfs", "/run/netns", 0, "tmpfs")
    ip("link", "add", "inside", "type", "bridge")
    ip("address", "add", f"{address}/24", "dev", "inside")
    ip("link", "set", "inside", "up")


def attach(address):
    """Makes a network namespace with this address. Returns its name."""
    number = address.rsplit(".", 1)[1]
    name = f"container{number}"
    ip("netns", "add", name)
    ip("link", "add", f"host{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
    ip("link", "set", f"host{number}", "master", "inside", "up")
    ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
    for link in ("lo", "eth0"):
        ip("-n", name, "link", "set", link, "up")
    return name


@contextlib.contextmanager
def postgres(folder, address, password):
    """A server at this address, with the role and the database of docs/postgresql.md."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    folder.mkdir(parents=True)
    shutil.chown(folder, "nobody")
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    environment = os.environ | {"PGPASSWORD": password}

    def run(name, *arguments):
        command = [*as_nobody, programs / name, *arguments]
        subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)

    (folder / "password").write_text(password)
    shutil.chown(folder / "password", "nobody")
    data = folder / "data"
    run("initdb", "-D", data, "-A", "scram-sha-256", "--pwfile", folder / "password", "-U", "countersign", "--no-sync")
    with open(data / "pg_hba.conf", "a") as access:
        access.write(f"host all all {address}/24 scram-sha-256\n")
    options = f"-k {folder} -c listen_addresses={address} -c max_connections=100"
    run("pg_ctl", "-D", data, "-w", "-t", "300", "-l", folder / "log", "-o", options, "start")
    try:
        run("createdb", "-h", address, "-U", "countersign", "--encoding=UTF8", "--template=template0", "countersign")
        yield
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
