"""A wall clock that is set while a real server runs (R66): faketime moves it, boot time stays true.

Usage: clock.py BINARY FOLDER LIBFAKETIME
"""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

HOUR, DAY = 3600, 86400
LIFETIME = HOUR


def call(url, body=None, api_key=None):
    headers = {"Content-Type": "application/json"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class Machine:
    """A machine with a wall clock of its own, whose offset is in a file."""

    def __init__(self, binary, folder, name, library):
        self.binary, self.folder = binary, folder
        self.offset_file = os.path.join(folder, f"{name}.faketime")
        self.set(0)
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERSIGN_")}
        self.environment = {
            **surroundings,
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": self.offset_file,
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "COUNTERSIGN_LIMITS__ENABLED": "false",
            "COUNTERSIGN_CLOCK__PATIENCE": "1m",
        }
        self.service = None

    def set(self, seconds):
        """Sets the wall clock to true time and so many seconds."""
        with open(self.offset_file + ".new", "w") as file:
            file.write(f"{seconds:+d}s\n")
        os.rename(self.offset_file + ".new", self.offset_file)

    def command(self, *arguments, fails=False):
        done = subprocess.run([self.binary, *arguments, "--json"], cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert fails or done.returncode in (0, 3), (arguments, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def start(self):
        arguments = [self.binary, "serve", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]
        log = open(self.offset_file + ".log", "a")
        self.service = subprocess.Popen(arguments, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=log)
        ready = json.loads(self.service.stdout.readline())
        self.url, self.ops = ready["url"], ready["ops_url"]

    def stop(self):
        if self.service:
            self.service.terminate()
            assert self.service.wait() == 0
            self.service = None

    def kill(self):
        if self.service and self.service.poll() is None:
            self.service.send_signal(signal.SIGKILL)
            self.service.wait()

    def mint(self, api_key, user):
        return call(self.url + "/v1/token/generate", {"app": "web", "user_id": user}, api_key)

    def refresh(self, token):
        return call(self.url + "/v1/token/refresh", {"refresh_token": token})

    def ready(self):
        return call(self.ops + "/readyz")[0]

    def wait_until(self, reached):
        """Waits for what takes a second, or longer where the machine has other work."""
        end = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < end, call(self.ops + "/readyz")
            time.sleep(0.05)

    def wait_ready(self, api_key):
        # Readiness follows the clock within a second; it may not have followed yet.
        time.sleep(1.2)
        self.wait_until(lambda: self.ready() == 200 and self.mint(api_key, "probe")[0] == 200)


class Users:
    """Sessions that must survive."""

    def __init__(self, machine, api_key):
        self.api_key, self.count, self.tokens = api_key, 20, {}
        for n in range(self.count):
            self.take(f"u-{n}", machine.mint(api_key, f"u-{n}"))

    def take(self, user, answer):
        status, body = answer
        assert status == 200, answer
        claims = json.loads(base64.urlsafe_b64decode(body["token"].split(".")[1] + "=="))
        # This process has true time.
        lives = claims["exp"] - time.time()
        assert 0 < lives <= LIFETIME + 60, f"a token that lives {lives} s"
        self.tokens[user] = body["refresh_token"]

    def refused(self, machine):
        """Every request is 503 with a retry, and nobody is logged out."""
        for user, token in self.tokens.items():
            for status, body in (machine.refresh(token), machine.mint(self.api_key, user)):
                assert (status, body["code"]) == (503, "unavailable") and body["retry"] >= 1000, (status, body)

    def all_live(self, machine):
        for user, token in list(self.tokens.items()):
            self.take(user, machine.refresh(token))


def clock_findings(machine):
    findings = machine.command("doctor", fails=True)["findings"]
    return [it for it in findings if it["what"] == "clock" and it["health"] != "ok"]


def steps(machine, users):
    """Each step is refused by the first request after it; a return costs nothing."""
    for seconds in (2 * HOUR, 400 * DAY, -2 * HOUR, 70, -70):
        machine.set(seconds)
        users.refused(machine)
        machine.wait_until(lambda: machine.ready() == 503)
        findings = clock_findings(machine)
        assert findings, "doctor says nothing"
        machine.set(0)
        machine.wait_ready(users.api_key)
        users.all_live(machine)
        print(f"{seconds:+d} s: 503, then {users.count} of {users.count} sessions live; doctor: {findings[0]['text']}")


def poison(machine, other, users):
    """One node a day ahead, for 1.2 s and from its start: the other never notices, nor does a restart."""
    other.start()
    other.set(DAY)
    users.refused(other)
    time.sleep(1.2)
    assert machine.ready() == 200
    users.all_live(machine)
    other.set(0)
    other.wait_ready(users.api_key)
    other.set(DAY)
    other.stop()
    other.start()
    time.sleep(11)
    other.stop()
    other.set(0)
    other.start()
    assert machine.ready() == 200
    other.wait_ready(users.api_key)
    machine.stop()
    machine.start()
    machine.wait_ready(users.api_key)
    users.all_live(machine)
    users.all_live(other)
    print("a node a day ahead: the other node, and every restart, ready with 200")


def one_of_two(machine, other, users):
    """+70 s on one of two nodes: only that one stops, beyond its patience, because the other contradicts."""
    other.set(70)
    users.refused(other)
    end = time.monotonic() + 75
    while time.monotonic() < end:
        users.all_live(machine)
        time.sleep(1)
    assert (machine.ready(), other.ready()) == (200, 503)
    users.refused(other)
    other.set(0)
    other.wait_ready(users.api_key)
    users.all_live(other)
    other.stop()
    print("+70 s on one of two nodes: only that one stops, and goes on after its return")


def small_steps(machine, users):
    machine.set(59)
    users.all_live(machine)
    machine.set(118)
    users.refused(machine)
    machine.set(0)
    machine.wait_ready(users.api_key)
    users.all_live(machine)
    print("59 s and 59 s: the second is refused")


def restart(machine, users, pause):
    machine.stop()
    time.sleep(pause)
    machine.start()
    machine.wait_ready(users.api_key)
    users.all_live(machine)
    print(f"a stop of {pause} s and a start: ready, {users.count} sessions live")


def accept(machine, users):
    """A clock that was ahead is set right: an operator accepts it, and the running node goes on."""
    machine.stop()
    machine.set(0)
    machine.start()
    machine.set(-2 * HOUR)
    users.refused(machine)
    refused = subprocess.run([machine.binary, "clients", "create", "late", "--app", "web"], cwd=machine.folder, env=machine.environment, capture_output=True, text=True)
    assert refused.returncode == 1 and "countersign clock accept" in refused.stderr, refused
    accepted = machine.command("clock", "accept")
    machine.wait_ready(users.api_key)
    status, body = machine.mint(users.api_key, "u-0")
    assert status == 200 and abs(body["server_time"] / 1000 - (time.time() - 2 * HOUR)) < 60, body
    print(f"clock accept by {accepted['actor']}: the running node goes on")


def main(binary, folder, library):
    machine, other = (Machine(binary, folder, name, library) for name in "ab")
    try:
        machine.command("init")
        api_key = machine.command("clients", "create", "backend", "--app", "web")["api_key"]
        machine.start()
        users = Users(machine, api_key)
        steps(machine, users)
        poison(machine, other, users)
        one_of_two(machine, other, users)
        small_steps(machine, users)
        restart(machine, users, int(os.environ.get("CLOCK_PAUSE", "15")))
        accept(machine, users)
    finally:
        machine.kill()
        other.kill()


if __name__ == "__main__":
    main(*sys.argv[1:])
