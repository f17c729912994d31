"""A Debian machine without a kernel of its own: a root folder in which systemd runs as process 1, in namespaces.

The caller is root, in namespaces of its own for mounts and networks (tests/run.sh starts it there), which end what is mounted
here. The machine shares the caller's network: its services are on the caller's loopback. It has a control group of its own, in
which systemd may restrict the network of units.
"""

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}

# What a boot of a copy of this machine would start by itself. In `KEPT` is what a test needs of it.
WANTED = ("etc/systemd/system", "lib/systemd/system", "usr/lib/systemd/system")
KEPT = ("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket", "dbus.socket")

# Becomes process 1. The folder becomes the root by pivot_root, since a process in a chroot cannot make namespaces of users. The
# kernel's settings are the caller's, and stay as they are. The last mounts are shared, as where systemd boots a machine:
# credentials are mounted in another namespace, and must arrive.
BOOT = """
cd "$1"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=0755 tmpfs run
mount -t tmpfs -o mode=0755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for node in null zero full random urandom tty; do
  touch "dev/$node"
  mount --bind "/dev/$node" "dev/$node"
done
pivot_root . mnt
exec chroot . /bin/sh -c 'umount --lazy /mnt; mount --make-rshared /; exec /lib/systemd/systemd --unit=multi-user.target'
"""


class Machine:
    """A root folder below this folder, which may be used as a machine."""

    def __init__(self, folder):
        self.folder, self.root = folder, folder / "root"
        self._init = None

    @classmethod
    def unpacked(cls, tar, folder):
        """A machine of a tar file."""
        machine = cls(folder)
        machine.root.mkdir()
        # A mount of its own, as `pivot_root` asks; in memory, since dpkg flushes each file.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g,mode=0755", "tmpfs", machine.root], check=True)
        subprocess.run(["tar", "-C", machine.root, "-xf", tar], check=True)
        return machine

    @classmethod
    def copied(cls, folder):
        """A copy of this machine, whose changes stay in memory. It starts only journal and system bus by itself."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", folder], check=True)
        for name in ("upper", "work", "root"):
            (folder / name).mkdir()
        options = f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work"
        machine = cls(folder)
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", machine.root], check=True)
        for name in WANTED:
            for wants in (machine.root / name).glob("*.wants"):
                for unit in wants.iterdir():
                    if unit.name not in KEPT:
                        unit.unlink()
        for generators in ("lib", "usr/lib", "etc"):
            shutil.rmtree(machine.root / generators / "systemd/system-generators", ignore_errors=True)
        # Nothing of this machine's own mounts is the copy's.
        (machine.root / "etc/fstab").write_text("")
        return machine

    def run(self, script, code=0, folder="/"):
        """Runs a script to its end, as root in the machine, and returns all that it wrote. Its exit code must be this one; `None`
        is any."""
        if self._init:
            enter = ["nsenter", f"--target={self._init}", "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root", "--wd"]
        else:
            enter = ["unshare", "--mount", "--propagation=private", "sh", "-c", 'mount -t proc proc "$0/proc"; exec chroot "$0" "$@"', self.root]
        command = ["/bin/bash", "-euo", "pipefail", "-c", f'cd "$0"; {script}', folder]
        done = subprocess.run(
            [*enter, "env", "-i", *(f"{name}={value}" for name, value in ENVIRONMENT.items()), *command],
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
        )
        assert code in (None, done.returncode), f"exit code {done.returncode} of: {script}\n{done.stdout}"
        return done.stdout

    def journal(self, unit="countersign"):
        return self.run(f"journalctl --no-pager --output=cat --unit={unit}")

    @contextlib.contextmanager
    def booted(self):
        """Runs systemd in the machine."""
        # Not in the caller's group of processes, where systemd would find processes that are not its own.
        hierarchy = self.folder / "cgroup"
        hierarchy.mkdir()
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", hierarchy], check=True)
        group = hierarchy / f"countersign-{os.getpid()}"
        group.mkdir()
        with open(self.folder / "systemd.log", "wb") as log:
            boot = subprocess.Popen(
                ["bash", "-euc", 'echo $$ >"$0/cgroup.procs"; exec "$@"', group]
                + ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--cgroup"]
                + ["env", "-i", f"PATH={ENVIRONMENT['PATH']}", "container=other", "bash", "-euc", BOOT, "boot", self.root],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        try:
            self._init = self._process_1(boot)
            self.run("systemctl is-system-running --wait || true")
            yield
        finally:
            self._init = None
            boot.kill()
            boot.wait()
            remove_group(group)

    def _process_1(self, boot):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert boot.poll() is None, f"systemd does not run: {(self.folder / 'systemd.log').read_text()}"
            for child in Path(f"/proc/{boot.pid}/task/{boot.pid}/children").read_text().split():
                with contextlib.suppress(OSError):
                    started = Path(f"/proc/{child}/comm").read_text() == "systemd\n"
                    # Its socket is there when it takes commands.
                    if started and Path(f"/proc/{child}/root/run/systemd/private").is_socket():
                        return int(child)
            time.sleep(0.05)
        raise AssertionError(f"systemd is not up: {(self.folder / 'systemd.log').read_text()}")


def remove_group(group):
    """Removes a group of processes with those below it, once the kernel has ended all of them."""
    end = time.monotonic() + 60
    while True:
        try:
            for folder, _, _ in os.walk(group, topdown=False):
                os.rmdir(folder)
            return
        except OSError:
            assert time.monotonic() < end, f"{group} has processes"
            time.sleep(0.05)
