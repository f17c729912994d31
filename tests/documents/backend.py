"""Runs the routes of docs/backend.md (Node with Express 4 and 5, Python) and its curl command, with the service up, down,
silent, and answering every problem of that page's table.

Usage: backend.py BINARY PYTHON    (a Python that has Flask and Requests)
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from blocks import block, blocks, problems
from services import Scripted, countersign, nothing_listens, page, problem

HERE = Path(__file__).resolve().parent
DOCUMENT = "docs/backend.md"
API_KEY = "csk_an-api-key-of-the-test"


class Route:
    """The snippet as a process of its own, for one address of the service and one API key."""

    def __init__(self, command, cwd, address, api_key=API_KEY):
        environment = {**os.environ, "COUNTERSIGN": address, "COUNTERSIGN_API_KEY": api_key}
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=self.log)
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        alive = self.process.poll() is None
        self.process.kill()
        self.process.wait()
        assert alive, f"the process ended:\n{self.logged()}"

    def post(self):
        """Logs in, as an attacker who names another user would; checks what every answer must have."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/session/braze?user_id=victim&id=victim",
            json.dumps({"user_id": "victim", "id": "victim"}).encode(),
            {"Content-Type": "application/json", "X-User-Id": "victim"},
        )
        try:
            response = urllib.request.urlopen(request, timeout=120)
        except urllib.error.HTTPError as error:
            response = error
        except OSError as error:
            raise AssertionError(f"no answer: {error}\n{self.logged()}") from error
        text, headers = response.read().decode(), response.headers
        assert headers.get_content_type() == "application/json", (response.status, text)
        assert headers["Cache-Control"] == "no-store", headers.items()
        assert response.status not in (401, 403), text
        body = json.loads(text)
        if response.status != 200:
            assert set(body) == {"status", "code", "retry"}, body
            assert body.pop("status") == response.status, body
        if isinstance(body.get("retry"), int):
            assert headers["Retry-After"] == str(-(-body["retry"] // 1000)), (headers["Retry-After"], body)
        return response.status, body

    def logged(self):
        self.log.seek(0)
        return self.log.read().decode()


ATTEMPTS = 4
NO_ANSWER = 503, {"code": "unavailable", "retry": 5000}


def asked(route, prepare=lambda: None):
    """Logs in; again where a busy machine takes longer than the 5 s of the code."""
    for _ in range(ATTEMPTS):
        prepare()
        answer = route.post()
        if answer != NO_ANSWER:
            break
    return answer


def within(seconds, measure):
    """Repeats a measurement that is too long: other work of the machine makes some so, and a fault of the code all of them."""
    for _ in range(ATTEMPTS):
        took = measure()
        if took < seconds:
            return
    raise AssertionError(f"{took:.1f} s, not {seconds}, at the last of {ATTEMPTS} attempts")


def subject(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"]


def real_service(start, address, api_key, run):
    with start(address, api_key) as route:
        status, body = asked(route)
        assert status == 200 and body["refresh_token"] and subject(body["token"]) == "42", body
        said = [line for line in route.logged().splitlines() if "countersign:" in line and "no answer" not in line]
        assert not said, said
        run("users", "opt-out", "42")
        assert asked(route) == (409, {"code": "opted_out", "retry": "never"})
        run("users", "opt-in", "42")
        assert asked(route)[0] == 200
    for wrong in [api_key[:-1] + "x", api_key + "\nwith-a-line-break"]:
        with start(address, wrong) as route:
            status, body = asked(route)
            assert status in (502, 503) and body["code"] != "unauthorized", body
            assert "countersign: " in route.logged() and wrong[:20] not in route.logged(), route.logged()
            assert ("\n" in wrong) or (status == 502 and "401 unauthorized request_id=" in route.logged()), route.logged()


def no_service(start):
    with start(nothing_listens()) as route:
        for _ in range(3):
            status, body = route.post()
            assert status == 503 and body["retry"] > 0, body
        assert route.logged().count("countersign: no answer") == 3, route.logged()


def repeated(route, scripted, answer):
    """A request that is answered with a wait of 700 ms is repeated after it. Returns the time between the two."""
    good = 200, "application/json", b'{"token": "t", "refresh_token": "r"}'
    assert asked(route, lambda: scripted.answer_with(answer, good)) == (200, {"token": "t", "refresh_token": "r"})
    [first, second] = scripted.times
    assert second - first >= 0.7, f"repeated after {second - first:.2f} s"
    return second - first


def given_up(route):
    """A service that accepts, and never answers, is given up. Returns the time that it took."""
    begun = time.monotonic()
    assert route.post()[0] == 503
    return time.monotonic() - begun


def scripted_service(start, scripted):
    ran = 0
    with start(scripted.url) as route:
        for code, status, retry in problems(DOCUMENT):
            given = problem(code, status, 60_000 if retry == "milliseconds" else retry)
            answer = asked(route, lambda given=given: scripted.answer_with(given))
            if code == "opted_out":
                assert answer == (409, {"code": "opted_out", "retry": "never"}), answer
            elif retry == "milliseconds":
                assert answer == (503, {"code": "unavailable", "retry": 60_000}), answer
            else:
                assert answer == (502, {"code": "bad_gateway", "retry": "never"}), answer
            assert code == "opted_out" or f"countersign: {status} {code} request_id=the-request" in route.logged(), code
            assert len(scripted.times) == 1, f"{code} was repeated"
            ran += 1
        empty = [(200, "application/json", body) for body in [b"null", b"{}", b"[7]"]]
        for strange in [page(200), page(404), *empty]:
            answer = asked(route, lambda strange=strange: scripted.answer_with(strange))
            assert answer == (502, {"code": "bad_gateway", "retry": "never"}), strange
        for broken in [page(500), page(502), page(504)]:
            scripted.answer_with(broken)
            status, body = route.post()
            assert status == 503 and body["retry"] > 0, body
        for code, status in [("unavailable", 503), ("rate_limited", 429)]:
            within(2, lambda code=code, status=status: repeated(route, scripted, problem(code, status, 700)))
        answer = asked(route, lambda: scripted.answer_with(problem("overloaded", 503, 700)))
        assert answer == (503, {"code": "unavailable", "retry": 700})
        assert len(scripted.times) == 2, "repeated more than once"
        scripted.answer_with(None)
        within(6, lambda: given_up(route))
    assert ran >= 18, f"{ran} problems in {DOCUMENT}"
    return ran


def curl(address, api_key):
    """Returns exit code and output of the curl command."""
    [command] = [text for language, text in blocks(DOCUMENT) if language == "console" and "curl" in text]
    environment = {**os.environ, "COUNTERSIGN": address, "COUNTERSIGN_API_KEY": api_key}
    done = subprocess.run(["bash", "-c", command.removeprefix("$ ")], env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


TIMED_OUT = 28


def curl_in_time(address, api_key):
    """The same, again where a busy machine takes longer than the time of the command."""
    for _ in range(ATTEMPTS):
        done = curl(address, api_key)
        if done[0] != TIMED_OUT:
            break
    return done


def main(binary, python):
    scripted = Scripted()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o700)
        for name, language in [("route.js", "js"), ("route.py", "python")]:
            # The other block of each language uses a library (tests/backends/routes.py).
            Path(folder, name).write_text(block(DOCUMENT, language, "/v1/token/generate"))
        commands = {
            "Node, Express 4": (["node", "route.mjs", "express4", f"{folder}/route.js"], HERE / "express"),
            "Node, Express 5": (["node", "route.mjs", "express5", f"{folder}/route.js"], HERE / "express"),
            "Python, Flask": ([python, "flask_route.py", f"{folder}/route.py"], HERE),
        }
        os.mkdir(f"{folder}/service", 0o700)
        with countersign(binary, f"{folder}/service") as (address, api_key, run):
            with urllib.request.urlopen(f"{address}/openapi.json") as answer:
                codes = json.load(answer)["components"]["schemas"]["Code"]["enum"]
            assert set(codes) == {code for code, _, _ in problems(DOCUMENT)}, f"{DOCUMENT} lists other codes: {codes}"
            for name, (command, cwd) in commands.items():
                start = lambda *arguments: Route(command, cwd, *arguments)
                real_service(start, address, api_key, run)
                no_service(start)
                ran = scripted_service(start, scripted)
                print(f"{name}: service up, down, silent; {ran} problems")
            code, out, _ = curl_in_time(address, api_key)
            assert code == 0 and subject(json.loads(out)["token"]) == "u-1", out
    code, out, error = curl_in_time(nothing_listens(), API_KEY)
    assert code == 7 and out == "" and "curl: (7)" in error, (code, out, error)
    for code, status, retry in problems(DOCUMENT):
        scripted.answer_with(problem(code, status, retry))
        exit_code, out, _ = curl_in_time(scripted.url, API_KEY)
        assert exit_code == 22 and json.loads(out)["code"] == code, (exit_code, out)
    scripted.answer_with(None)
    assert curl(scripted.url, API_KEY)[0] == TIMED_OUT
    print("curl: service up, down, silent; every problem")


if __name__ == "__main__":
    main(*sys.argv[1:])
