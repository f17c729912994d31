"""Runs what users copy, with the real service up, hanging and down, and with a wrong API key: the example routes of the
back-end libraries, and the Go, Ruby and PHP code of docs/backend.md.

Usage: routes.py BINARY FOLDER PACKAGES    (FOLDER: empty; PACKAGES: the folder of packages.sh)
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from run import HERE, ROOT, Service, subject
from server import Scripted

sys.path.insert(0, str(ROOT / "tests/documents"))
from blocks import block, blocks  # noqa: E402

DOCUMENT = "docs/backend.md"


class Process:
    """A route as a process of its own, for one address and one API key."""

    running = []

    def __init__(self, command, address, api_key):
        self.log = tempfile.TemporaryFile()
        environment = {**os.environ, "COUNTERSIGN": address, "COUNTERSIGN_API_KEY": api_key}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=self.log)
        Process.running.append(self.process)
        self.port = int(self.process.stdout.readline() or self.fail())

    def fail(self):
        raise AssertionError(f"the process ended:\n{self.logged()}")

    def ask(self):
        """Logs in, as an attacker who names another user would."""
        body = json.dumps({"user_id": "victim", "id": "victim"}).encode()
        headers = {"Content-Type": "application/json", "X-User-Id": "victim"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/session/braze?user_id=victim&id=victim", body, headers)
        try:
            response = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            response = error
        assert response.headers.get_content_type() == "application/json", response.headers.items()
        assert response.headers["Cache-Control"] == "no-store", response.headers.items()
        return response.status, json.loads(response.read()), response.headers["Retry-After"]

    def logged(self):
        self.log.seek(0)
        return self.log.read().decode()

    def end(self):
        alive = self.process.poll() is None
        self.process.kill()
        self.process.wait()
        assert alive, f"the process ended:\n{self.logged()}"


class Snippet:
    """Code of the guide, which is run once for each login. It prints status, body and wait."""

    def __init__(self, command, address, api_key):
        self.command = command
        self.environment = {**os.environ, "COUNTERSIGN": address, "COUNTERSIGN_API_KEY": api_key}
        self.log = ""

    def ask(self):
        done = subprocess.run(self.command, env=self.environment, capture_output=True, text=True, timeout=120)
        self.log += done.stderr
        assert done.returncode == 0, f"{self.command}: {done.stdout}{done.stderr}"
        status, _, body = done.stdout.partition("\n")
        body = json.loads(body)
        retry = body.get("retry")
        return int(status), body, str(-(-retry // 1000)) if isinstance(retry, int) else None

    def logged(self):
        return self.log

    def end(self):
        pass


def asked(one, status):
    """Logs in; again where the answer is 503 because a busy machine takes longer than the 5 s of the code."""
    for _ in range(10):
        answer = one.ask()
        if answer[0] == status or answer[0] != 503:
            break
    return answer


def expect(one, status, code, retry, logs):
    """Checks an answer that is no token, and that the log says why, without the API key."""
    begun = len(one.logged())
    got, body, after = asked(one, status)
    assert (got, body) == (status, {"status": status, "code": code, "retry": retry}), (got, body)
    assert after == (str(-(-retry // 1000)) if isinstance(retry, int) else None), after
    said = one.logged()[begun:]
    assert f"countersign: {logs}" in said, said
    assert "csk" not in said, said


def wrong_key(make, service):
    one = make(service.url, "csk_wrong")
    expect(one, 502, "bad_gateway", "never", "401 unauthorized request_id=")
    one.end()


def forbidden(make, scripted, name):
    answer = {"status": 403, "problem": {"code": "forbidden", "retry": "never"}}
    one = make(scripted.script(name, [answer]), "csk_of-the-test")
    expect(one, 502, "bad_gateway", "never", "403 forbidden request_id=")
    one.end()


def up(one):
    status, body, _ = asked(one, 200)
    assert status == 200 and body["refresh_token"] and subject(body["token"]) == "42", body
    assert body["token"] not in one.logged() and body["refresh_token"] not in one.logged()


def hanging(one):
    begun = time.monotonic()
    expect(one, 503, "unavailable", 5000, "no answer")
    took = time.monotonic() - begun
    assert took < 25, f"took {took:.1f} s"


def commands(folder, packages):
    """Builds what is run. Returns the command of each route, and of each snippet."""
    backend = packages / "my-backend"
    (backend / "express.mjs").write_text((ROOT / "clients/node/examples/express.mjs").read_text(encoding="utf-8"))
    node = ["node", HERE / "node/route.mjs", ROOT / "tests/documents/express"]
    [jar] = (packages / "countersign/build").glob("*.jar")
    routes = {
        "Express 4": [*node, "express4", backend / "express.mjs"],
        "Express 5": [*node, "express5", backend / "express.mjs"],
        "FastAPI": [packages / "python/bin/python", HERE / "python/serve.py", ROOT / "clients/python/examples"],
        "Java": ["java", "-cp", f"{jar}:{packages / 'classes'}", "Serve"],
    }
    (folder / "main.go").write_text(block(DOCUMENT, "go") + (HERE / "snippets/main.go.txt").read_text(encoding="utf-8"))
    environment = {**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "CGO_ENABLED": "0", "GOCACHE": str(folder / "go")}
    subprocess.run(["go", "vet", "main.go"], cwd=folder, env=environment, check=True)
    subprocess.run(["go", "build", "-o", "snippet", "main.go"], cwd=folder, env=environment, check=True)
    for language, ending, opening in [("ruby", "rb", ""), ("php", "php", "<?php\n")]:
        after = (HERE / f"snippets/main.{ending}").read_text(encoding="utf-8").removeprefix("<?php\n")
        (folder / f"main.{ending}").write_text(opening + block(DOCUMENT, language) + after)
    snippets = {
        "Go": [folder / "snippet"],
        "Ruby": ["ruby", "-W", folder / "main.rb"],
        "PHP": ["php", "-d", "error_reporting=-1", "-d", "display_errors=stderr", folder / "main.php"],
    }
    return routes, snippets


def five_lines():
    """The guide's blocks are lines of the examples that are run here."""
    examples = ["node/examples/express.mjs", "python/examples/fastapi_route.py", "java/examples/Route.java"]
    lines = {line.strip() for it in examples for line in (ROOT / "clients" / it).read_text(encoding="utf-8").splitlines()}
    shown = [text for _, text in blocks(DOCUMENT) if "ountersign.answer(" in text or "COUNTERSIGN.answer(" in text]
    assert len(shown) == 3, shown
    for line in "".join(shown).splitlines():
        assert line.strip() in lines, f"{DOCUMENT} has another line than the examples: {line}"


def main(binary, folder, packages):
    folder = Path(folder)
    five_lines()
    routes, snippets = commands(folder, Path(packages))
    kinds = {name: (Process, [str(word) for word in command]) for name, command in routes.items()}
    kinds |= {name: (Snippet, [str(word) for word in command]) for name, command in snippets.items()}
    makers = {name: lambda *more, kind=kind, command=command: kind(command, *more) for name, (kind, command) in kinds.items()}
    service = Service(binary, folder / "service")
    scripted = Scripted()
    with ThreadPoolExecutor(len(makers)) as pool:

        def each(function, *arguments):
            list(pool.map(lambda items: function(*items), zip(*arguments, strict=True)))

        try:
            each(lambda name, make: forbidden(make, scripted, name.split()[0] + name[-1:]), makers, makers.values())
            each(lambda make: wrong_key(make, service), makers.values())
            ones = list(pool.map(lambda make: make(service.url, service.api_key), makers.values()))
            each(up, ones)
            service.run("users", "opt-out", "42")
            each(lambda one: expect(one, 409, "opted_out", "never", "403 opted_out"), ones)
            with service.stopped():
                each(hanging, ones)
            service.run("users", "opt-in", "42")
            each(lambda one: one.ask(), ones)
            service.end()
            each(lambda one: [expect(one, 503, "unavailable", 5000, "no answer") for _ in range(2)], ones)
            each(lambda one: one.end(), ones)
        finally:
            service.end()
            for process in Process.running:
                process.kill()
    print(f"{', '.join(makers)}: up, opted out, wrong key, forbidden, hanging, down")


if __name__ == "__main__":
    main(*sys.argv[1:])
