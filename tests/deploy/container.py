"""Runs programs as a container engine would: a root folder, mounts, a user without capabilities, a network of its own.

Only the kernel's calls are used, so that no engine is needed. The caller is root, in namespaces of its own for mounts and
networks (tests/run.sh starts it there).
"""

import contextlib
import ctypes
import os
import re
import resource
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY_IN_IMAGE = "/usr/local/bin/countersign"

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
LAST_CAPABILITY = int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}{arguments}: {os.strerror(ctypes.get_errno())}")


def mount(source, target, flags, kind=None, data=None):
    call("mount", *(text and str(text).encode() for text in (source, target, kind)), flags, data and data.encode())


@dataclass
class Mount:
    """A folder or file of this machine in the container."""

    source: Path
    target: str
    read_only: bool = False


@dataclass
class Container:
    """What a container is made of. Without a network of its own it has the caller's."""

    root: Path
    environment: dict
    user: int = 65532
    group: int = 65532
    groups: tuple = ()
    folder: str = "/"
    mounts: list = field(default_factory=list)
    network: str = ""
    open_files: int = 0

    def command(self, arguments, **options):
        """Starts a program in the container."""
        for it in self.mounts:
            self._make_target(it)
        for folder in ("proc", "dev"):
            (self.root / folder).mkdir(exist_ok=True)
        # The variables are the container's own; they are set before the program starts, since Popen would look for it here.
        return subprocess.Popen(arguments, env=self.environment, preexec_fn=self._enter, text=True, **options)

    def run(self, arguments, check=True):
        """Runs a program to its end. Returns its exit code and all that it wrote."""
        process = self.command(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            output, _ = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"{arguments} does not end:\n{process.communicate()[0]}") from None
        assert not check or process.returncode == 0, f"{arguments}: exit code {process.returncode}\n{output}"
        return process.returncode, output

    def _make_target(self, it):
        target = self.root / it.target.lstrip("/")
        if it.source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()

    def _enter(self):
        """In the new process, before its program starts."""
        if self.network:
            with open(f"/run/netns/{self.network}") as network:
                call("setns", network.fileno(), CLONE_NEWNET)
        call("unshare", CLONE_NEWNS)
        mount(None, "/", MS_REC | MS_PRIVATE)
        mount(self.root, self.root, MS_BIND)
        for it in self.mounts:
            target = self.root / it.target.lstrip("/")
            mount(it.source, target, MS_BIND)
            if it.read_only:
                mount(None, target, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)
        mount("/proc", self.root / "proc", MS_BIND | MS_REC)
        mount("/dev", self.root / "dev", MS_BIND)
        mount(None, self.root, MS_BIND | MS_REMOUNT | MS_RDONLY)
        os.chroot(self.root)
        os.chdir(self.folder)
        for capability in range(LAST_CAPABILITY + 1):
            call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
        if self.open_files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.open_files, self.open_files))
        os.setgroups(list(self.groups))
        os.setgid(self.group)
        os.setuid(self.user)
        call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def lay_out(binary, root):
    """Makes a root folder with what the image holds: the program, and the libraries that its base has."""
    listed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"(/\S+) \(0x", listed)
    for source, target in [(binary, BINARY_IN_IMAGE), *((library, library) for library in libraries)]:
        Path(f"{root}{target}").parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, f"{root}{target}")


def assert_confined(process, user):
    """Fails if a running process has a right that the container takes from it."""
    facts = dict(line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    assert set(facts["Uid"].split()) == {str(user)}, facts["Uid"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(facts[name], 16) == 0, f"{name} {facts[name]}"
    assert facts["NoNewPrivs"] == "1"
    mounts = [line.split() for line in Path(f"/proc/{process.pid}/mountinfo").read_text().splitlines()]
    # Of mounts on one place the last is the one that is seen.
    seen = {fields[4]: fields[5].split(",") for fields in mounts}
    assert "ro" in seen["/"], f"the root is {seen['/']}"


def status_of(url, host=None):
    """Status that a URL answers with; 0 where nobody answers."""
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        return refusal.code
    except OSError:
        return 0


def wait_until(condition, what, seconds=120):
    """Waits for a condition, with a limit that only a hanging program reaches."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"after {seconds} s not: {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def running(process, what):
    """Ends a process, which must end in order."""
    try:
        yield process
        assert process.poll() is None, f"{what} ended with {process.poll()}"
        process.terminate()
        code = process.wait(timeout=120)
        assert code == 0, f"{what} ended with {code}"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def mint(address, api_key, user="u-1"):
    """Mints a token; fails unless the answer has one."""
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
    body = f'{{"app": "web", "user_id": "{user}"}}'.encode()
    request = urllib.request.Request(f"{address}/v1/token/generate", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read().decode()
    assert '"refresh_token":"csr1_' in text, text
    return text


def takes(address, api_key):
    """Tells whether a running service mints for an API key already; it learns of a new one within seconds. A machine with other
    work may be too slow for it once, which is 503."""
    try:
        return bool(mint(address, api_key))
    except urllib.error.HTTPError as refusal:
        assert refusal.code in (401, 503), refusal.read()
        return False


def api_key_in(output):
    return re.search(r"csk1_\S+", output).group(0)
