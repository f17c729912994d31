"""Builds deploy/Containerfile with buildah, and runs the image: user, rights, size, init, a token, the health check.

The bases are Debian's minimal system (tests/provision.sh makes it): the upstream bases that the file names by default are
not pulled here; the release pulls them. Without --from-source the base of the build has a `cargo` that hands out a program
built before, with the same arguments; with it the build is from source, as a release's, and takes many minutes.

Usage: image.py BASE.tar PROGRAM FOLDER
       image.py BASE.tar BASE_WITH_GCC.tar FOLDER --from-source
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from container import BINARY_IN_IMAGE, ROOT, Container, Mount, api_key_in, assert_confined, mount, running, status_of, takes, wait_until

BASE, PROGRAM, FOLDER = (Path(argument).resolve() for argument in sys.argv[1:4])
FROM_SOURCE = "--from-source" in sys.argv[4:]

READY_MADE = """#!/bin/sh
set -eu
test "$*" = "build --profile dist --locked --no-default-features --features  --bin countersign"
mkdir -p target/dist
cp /ready-made/countersign target/dist/countersign
"""


def buildah(*arguments, output=True):
    storage = ["--root", FOLDER / "storage", "--runroot", FOLDER / "run", "--storage-driver", "vfs"]
    options = {"stdout": subprocess.PIPE} if output else {}
    done = subprocess.run(["buildah", *storage, *arguments], text=True, **options)
    assert done.returncode == 0, f"buildah {arguments}: exit code {done.returncode}"
    return (done.stdout or "").strip()


def image_of(name, sources, base="scratch"):
    """Makes an image of files: target by source."""
    working = buildah("from", str(base))
    for source, target in sources.items():
        buildah("add", working, str(source), target)
    buildah("commit", "--quiet", "--rm", working, name)


def bases():
    image_of("localhost/runtime", {BASE: "/"})
    if not FROM_SOURCE:
        cargo = FOLDER / "cargo"
        cargo.write_text(READY_MADE)
        cargo.chmod(0o755)
        stripped = FOLDER / "countersign"
        subprocess.run(["strip", "-o", stripped, PROGRAM], check=True)
        image_of("localhost/build", {cargo: "/usr/local/bin/cargo", stripped: "/ready-made/countersign"}, "localhost/runtime")
        return
    working = buildah("from", "scratch")
    buildah("add", working, str(PROGRAM), "/")
    for variable in ("PATH=/rust/bin:/usr/bin:/bin", "CARGO_HOME=/cargo", "CARGO_NET_OFFLINE=true"):
        buildah("config", "--env", variable, working)
    buildah("commit", "--quiet", "--rm", working, "localhost/build")


def mounts_of_build():
    """This machine's compiler, and the crates that tests/provision.sh has fetched."""
    rust = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    cargo = os.environ.get("CARGO_HOME", f"{os.environ['HOME']}/.cargo")
    return ["--volume", f"{rust}:/rust:ro", "--volume", f"{cargo}/registry:/cargo/registry"]


def build():
    arguments = {"BUILD_BASE": "localhost/build", "RUNTIME_BASE": "localhost/runtime", "VERSION": "1.2.3", "REVISION": "abc"}
    given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    given += mounts_of_build() if FROM_SOURCE else ["--quiet"]
    buildah(
        "bud", "--isolation", "chroot", "--format", "docker", *given, "-f", "deploy/Containerfile", "-t",
        "localhost/countersign", str(ROOT), output=False,
    )


def inspect():
    """Returns what the image says of itself, after a look at it."""
    told = json.loads(buildah("inspect", "--type", "image", "localhost/countersign"))["Docker"]["config"]
    assert told["User"] == "65532:65532", told["User"]
    assert told["Entrypoint"] == [BINARY_IN_IMAGE] and told["Cmd"] == ["serve"], told
    assert told["Healthcheck"]["Test"][:2] == ["CMD", BINARY_IN_IMAGE], told["Healthcheck"]
    assert set(told["ExposedPorts"]) == {"8080/tcp", "9090/tcp"}
    assert list(told["Volumes"]) == [told["WorkingDir"]] == ["/var/lib/countersign"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in told["Labels"].items()}
    for name, value in {"title": "countersign", "licenses": "Apache-2.0", "version": "1.2.3", "revision": "abc"}.items():
        assert labels[name] == value, f"{name}: {labels.get(name)}"
    assert labels["base.name"] == "localhost/runtime"
    return told


def environment_of(told, **more):
    return dict(word.split("=", 1) for word in told["Env"]) | more


def container_of(root, told, site, user):
    mounts = [Mount(site, told["WorkingDir"])]
    return Container(root, environment_of(told), user, user, folder=told["WorkingDir"], mounts=mounts)


def try_out(root, told, site, user):
    """Sets an installation up in a folder of the host, by the image's own commands, serves it, and mints."""
    site.mkdir(mode=0o700)
    os.chown(site, user, user)
    container = container_of(root, told, site, user)
    entry = told["Entrypoint"]
    container.run([*entry, "init"])
    _, output = container.run([*entry, "clients", "create", "backend", "--app", "web"])
    begun = time.monotonic()
    with open(FOLDER / "service.log", "ab") as log:
        service = container.command([*entry, *told["Cmd"]], stdout=log, stderr=log)
    with running(service, "the service"):
        wait_until(lambda: status_of("http://127.0.0.1:9090/readyz") == 200, "the service is ready")
        took = time.monotonic() - begun
        wait_until(lambda: takes("http://127.0.0.1:8080", api_key_in(output)), "a token")
        assert_confined(service, user)
        container.run(told["Healthcheck"]["Test"][1:])
        foreign = [path for path in site.rglob("*") if path.stat().st_uid != user]
        assert not foreign, foreign
    code, _ = container.run(told["Healthcheck"]["Test"][1:], check=False)
    assert code != 0, "the health check succeeds without a service"
    return took


def refuses_folder_of_another(root, told, site):
    """A folder that is not the user's is refused with what to do about it."""
    site.mkdir(mode=0o755)
    code, output = container_of(root, told, site, 65532).run([*told["Entrypoint"], "init"], check=False)
    assert code != 0 and "65532" in output and "chown" in output, output


def says_what_to_do(root, told, site):
    """A port that is taken, and a limit of open files that is too low."""
    container = container_of(root, told, site, 65532)
    serve = [*told["Entrypoint"], *told["Cmd"]]
    with socket.create_server(("0.0.0.0", 8080)):
        code, output = container.run(serve, check=False)
        assert code != 0 and "0.0.0.0:8080 is already in use: stop the process" in output, output
    container.open_files = 12
    code, output = container.run(serve, check=False)
    assert code != 0 and "may open no more files; raise the limit" in output, output
    container.open_files = 1000
    log = FOLDER / "few-files.log"
    with open(log, "wb") as written, running(container.command(serve, stderr=written), "the service"):
        wait_until(lambda: status_of("http://127.0.0.1:9090/readyz") == 200, "the service is ready")
    assert "raise the limit to 10200" in log.read_text(), log.read_text()


def writes_nowhere(root, told):
    """Nobody writes to the root: a shell of the base would, if it could."""
    code, output = container_of(root, told, FOLDER / "foreign", 0).run(["/bin/sh", "-c", "echo x >/x"], check=False)
    assert code != 0 and "Read-only file system" in output, output


def no_sandbox(root):
    """The image has no local Braze and no demo."""
    helped = Container(root, {"PATH": "/usr/local/bin"}).run([BINARY_IN_IMAGE, "help"])[1]
    for word in ("sandbox", "demo"):
        assert f"\n  {word}" not in helped, helped


def main():
    storage = FOLDER / "storage"
    storage.mkdir()
    if not FROM_SOURCE:
        # This storage driver copies whole systems: in memory that takes no time.
        mount("tmpfs", storage, 0, "tmpfs", "size=3g")
    bases()
    begun = time.monotonic()
    build()
    print(f"built in {time.monotonic() - begun:.0f} s")
    told = inspect()
    root = Path(buildah("mount", buildah("from", "localhost/countersign")))
    program = root / BINARY_IN_IMAGE.lstrip("/")
    state = root / told["WorkingDir"].lstrip("/")
    assert (state.stat().st_uid, state.stat().st_gid) == (65532, 65532), "a new volume would be root's"
    assert 'name = "countersign"' in (root / "usr/share/countersign/Cargo.lock").read_text()
    no_sandbox(root)
    refuses_folder_of_another(root, told, FOLDER / "foreign")
    # The user of the image, and one as `--user "$(id -u):$(id -g)"` names it.
    took = [try_out(root, told, FOLDER / f"site-{user}", user) for user in (65532, 1234)]
    says_what_to_do(root, told, FOLDER / "site-65532")
    writes_nowhere(root, told)
    print(f"program {program.stat().st_size / 1e6:.1f} MB (the image adds it to its base), ready after {took[0]:.2f} s")
    buildah("umount", "--all")
    shutil.rmtree(storage, ignore_errors=True)


main()
