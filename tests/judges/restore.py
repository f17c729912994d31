"""A restore that is killed at any point brings no session back, and can be repeated.

Under strace a restore is killed before each of its system calls that changes files. After each kill the store is missing or
whole, a second restore succeeds where it is missing, and two refresh tokens, of which one was revoked after the backup, are
refused with 401.

Usage: restore.py BINARY FOLDER
"""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from command import command  # noqa: E402

CHANGING = {
    "openat", "write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "fallocate", "copy_file_range", "sendfile", "splice",
    "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "mkdir", "chmod", "fchmod",
}
STORE = "countersign.db"
RUNS_TO_REACH_A_CALL = 20


class Installation:
    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder

    def run(self, *arguments, prefix=()):
        command = [*prefix, self.binary, *arguments]
        return subprocess.run(command, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def must(self, *arguments):
        return command(self.binary, *arguments, folder=self.folder)

    def restore(self, prefix=()):
        return self.run("db", "restore", "--from", "backup.db", prefix=prefix)

    def serve(self):
        return subprocess.Popen(
            [self.binary, "serve", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )

    def has_store(self):
        return os.path.exists(os.path.join(self.folder, STORE))

    def lose_store(self):
        for name in os.listdir(self.folder):
            if name.startswith(STORE):
                os.remove(os.path.join(self.folder, name))


def call(url, body, api_key=None):
    headers = {"Content-Type": "application/json"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def prepare(here):
    here.must("init")
    api_key = here.must("clients", "create", "backend", "--app", "web")["api_key"]
    with here.serve() as service:
        url = json.loads(service.stdout.readline())["url"]
        tokens = []
        for user in ("revoked", "alive"):
            status, answer = call(url + "/v1/token/generate", {"app": "web", "user_id": user}, api_key)
            assert status == 200, answer
            tokens.append(answer["refresh_token"])
        here.must("db", "backup", "--to", "backup.db")
        here.must("users", "revoke", "revoked")
        service.send_signal(signal.SIGTERM)
    here.lose_store()
    return tokens


def points(here):
    """Each call that changes files, from the first that touches the folder of the store: its name and its number in its thread."""
    trace = os.path.join(here.folder, "trace")
    done = here.restore(prefix=["strace", "-f", "-o", trace, "-e", "signal=none"])
    assert done.returncode == 0, done.stderr
    here.lose_store()
    numbers, found, begun = {}, {}, False
    with open(trace, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            called = re.match(r"(\d+) +(\w+)\(", line)
            if not called or called[2] not in CHANGING:
                continue
            begun = begun or ".unfinished" in line
            numbers[called[1], called[2]] = number = numbers.get((called[1], called[2]), 0) + 1
            if begun:
                found[called[2], number] = line.strip()
    os.remove(trace)
    return found


def kill_at(here, name, number):
    """Kills a restore at this call of one of its threads. Says whether it was killed.

    The runtime shares its work among threads anew in each run. In a few runs no thread makes so many of these calls: the restore
    ends, and is repeated from the start.
    """
    strace = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:signal=SIGKILL:when={number}"]
    for _ in range(RUNS_TO_REACH_A_CALL):
        if here.restore(prefix=strace).returncode == -signal.SIGKILL:
            return True
        here.lose_store()
    return False


def main(binary, folder):
    folder = os.path.join(folder, "restore")
    os.mkdir(folder, 0o700)
    here = Installation(os.path.abspath(binary), folder)
    tokens = prepare(here)
    found = points(here)
    killed = whole = 0
    for (name, number), line in found.items():
        killed += kill_at(here, name, number)
        had_store = here.has_store()
        whole += had_store
        second = here.restore()
        assert second.returncode == (1 if had_store else 0), (line, second.stderr)
        assert not had_store or f"{STORE} exists" in second.stderr, (line, second.stderr)
        with here.serve() as service:
            url = json.loads(service.stdout.readline())["url"]
            answers = [call(url + "/v1/token/refresh", {"refresh_token": token}) for token in tokens]
            service.send_signal(signal.SIGTERM)
        assert [status for status, _ in answers] == [401, 401], (line, answers)
        left = [name for name in os.listdir(folder) if name.startswith(STORE + ".")]
        assert had_store or not left, (line, left)
        here.lose_store()
    print(f"{len(found)} points, {killed} kills, after {whole} of which the store was whole")
    assert killed == len(found) > 50


if __name__ == "__main__":
    main(*sys.argv[1:])
