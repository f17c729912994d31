"""Boots this machine's systemd as the first process of namespaces of its own, on a copy of this machine's root that exists in
memory and ends with it. Only the journal and the system bus are started besides what a test enables.

The caller is root, in namespaces of its own for mounts and networks (tests/run.sh starts it there); systemd has the caller's
network, and a control group of its own in which it may restrict the network of units.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

# What a boot would start by itself. In `KEPT` is what the test needs of it.
WANTED = ("etc/systemd/system", "lib/systemd/system", "usr/lib/systemd/system")
KEPT = ("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket", "dbus.socket")

# The first process: its root becomes the copy.
BOOT = r"""
set -eu
mount --make-rprivate /
cd "$1"
mount -t proc proc proc
mount --rbind /dev dev
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=0755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
pivot_root . mnt
umount -l /mnt
# As systemd makes it where it boots a machine: credentials are mounted in another namespace, and must arrive here.
mount --make-rshared /
exec env -i container=test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal --show-status=no
"""


def run(*arguments):
    subprocess.run(arguments, check=True)


class Machine:
    """A booted systemd."""

    def __init__(self, root, first):
        self.root, self.first = root, first

    def run(self, script, check=True, folder="/"):
        """Runs a script of bash as root. Returns its exit code and all that it wrote."""
        enter = ["nsenter", f"--target={self.first}", "--mount", "--uts", "--ipc", "--pid", "--cgroup"]
        environment = ["env", "-i", "HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        script = f"cd {shlex.quote(folder)}\n{script}"
        done = subprocess.run(
            [*enter, *environment, "bash", "-euo", "pipefail", "-c", script],
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
        )
        assert not check or done.returncode == 0, f"exit code {done.returncode}:\n{script}\n{done.stdout}"
        return done.returncode, done.stdout

    def output(self, script, **options):
        return self.run(script, **options)[1]

    def journal(self, unit="countersign"):
        return self.output(f"journalctl --no-pager --output=cat --unit={unit}")


def copy_of_root(folder):
    """Mounts a root whose changes stay in memory."""
    run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", folder)
    for name in ("upper", "work", "root", "cgroup"):
        Path(folder, name).mkdir()
    options = f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work"
    run("mount", "-t", "overlay", "-o", options, "overlay", f"{folder}/root")
    root = Path(folder, "root")
    for name in WANTED:
        for wants in (root / name).glob("*.wants"):
            for unit in wants.iterdir():
                if unit.name not in KEPT:
                    unit.unlink()
    for generators in ("lib", "usr/lib", "etc"):
        shutil.rmtree(root / generators / "systemd/system-generators", ignore_errors=True)
    # Nothing of this machine's own mounts is the copy's.
    (root / "etc/fstab").write_text("")
    return root


@contextlib.contextmanager
def booted(prepare):
    """Boots a machine. `prepare` is called with its root before."""
    with tempfile.TemporaryDirectory() as folder:
        root = copy_of_root(folder)
        prepare(root)
        run("mount", "-t", "cgroup2", "cgroup2", f"{folder}/cgroup")
        group = Path(folder, "cgroup", f"countersign-test-{os.getpid()}")
        group.mkdir()
        boot = f'echo $$ >{group}/cgroup.procs; exec "$@"'
        spaces = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--uts", "--ipc", "--cgroup"]
        supervisor = subprocess.Popen(["bash", "-c", boot, "boot", *spaces, "bash", "-c", BOOT, "boot", str(root)], stdin=subprocess.DEVNULL)
        try:
            machine = Machine(root, first_of(supervisor))
            wait_until(lambda: machine.run("systemctl is-system-running", check=False)[1].strip() in ("running", "degraded"), "boot")
            yield machine
        finally:
            supervisor.send_signal(signal.SIGKILL)
            supervisor.wait()
            wait_until(lambda: "populated 0" in (group / "cgroup.events").read_text(), "its processes ended")
            remove_groups(group)
            run("umount", f"{folder}/cgroup")
            run("umount", "-l", f"{folder}/root")
            run("umount", "-l", folder)


def first_of(supervisor):
    """Returns the first process of the namespaces, once it is systemd."""
    children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children")
    found = []

    def is_systemd():
        found[:] = children.read_text().split()
        return found and Path(f"/proc/{found[0]}/comm").read_text() == "systemd\n"

    wait_until(is_systemd, "systemd is the first process")
    return int(found[0])


def remove_groups(group):
    for below in sorted(group.rglob("*"), reverse=True):
        if below.is_dir():
            below.rmdir()
    group.rmdir()


def wait_until(condition, what):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, f"not within two minutes: {what}"
        time.sleep(0.05)
