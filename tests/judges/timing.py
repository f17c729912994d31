"""Refusals take the same time whatever the reason: an attacker learns nothing from a clock (R35, R45).

Usage: timing.py BINARY FOLDER

Asks with two kinds of bad credentials in turn and compares the medians of the answer times: a ratio of one run, so that
a slow or noisy machine does not matter. Also compares the bodies, which must be equal but for the request id.
"""

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from urllib.parse import urlparse

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from command import command  # noqa: E402

ROUNDS = 3000
# Medians of so many requests agree within a few per cent; what a skipped hash or query would save is more than this.
TOLERANCE = 0.10
# Other work of the machine makes some measurements differ, and a fault of the service makes all of them differ.
MEASUREMENTS = 4


def post(connection, path, body, api_key=None):
    headers = {"Content-Type": "application/json"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    begun = time.perf_counter()
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    text = response.read()
    return time.perf_counter() - begun, response.status, json.loads(text)


def compare(name, connection, one, other):
    return any(measure(name, connection, one, other) for _ in range(MEASUREMENTS))


def measure(name, connection, one, other):
    """`one` and `other`: (path, body, api_key) of requests that must not be told apart."""
    times = ([], [])
    bodies = []
    for _ in range(ROUNDS):
        for requests, taken in zip((one, other), times):
            seconds, status, body = post(connection, *requests)
            assert status == 401, (name, status, body)
            body.pop("request_id")
            bodies.append(json.dumps(body))
            taken.append(seconds)
    assert len(set(bodies)) == 1, (name, set(bodies))
    ratio = median(times[0]) / median(times[1])
    print(f"{name}: the same body, medians {ratio:.3f} : 1")
    return abs(ratio - 1) <= TOLERANCE


def main(binary, folder):
    command(binary, "init", folder=folder)
    api_key, revoked = (command(binary, "clients", "create", name, "--app", "web", folder=folder) for name in ("backend", "old"))
    command(binary, "clients", "revoke", revoked["id"], folder=folder)
    api_key, revoked = api_key["api_key"], revoked["api_key"]
    service = subprocess.Popen(
        [binary, "serve", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "COUNTERSIGN_LIMITS__ENABLED": "false"},
    )
    try:
        url = urlparse(json.loads(service.stdout.readline())["url"])
        connection = http.client.HTTPConnection(url.hostname, url.port)
        fair = all([compare_api_keys(connection, api_key, revoked), compare_sessions(binary, folder, connection, api_key)])
    finally:
        service.terminate()
        service.wait(timeout=60)
    assert fair, f"medians differ by more than {TOLERANCE:.0%}"


def compare_api_keys(connection, api_key, revoked):
    """An unknown id, a wrong secret, a revoked key."""
    prefix, key_id, secret = api_key.split("_", 2)
    other = "0" if key_id[0] != "0" else "1"
    unknown = f"{prefix}_{other}{key_id[1:]}_{secret}"
    wrong = f"{prefix}_{key_id}_{'A' if secret[0] != 'A' else 'B'}{secret[1:]}"
    request = ("/v1/token/generate", {"app": "web", "user_id": "u"})
    return all([
        compare("unknown API key and wrong secret", connection, (*request, unknown), (*request, wrong)),
        compare("revoked API key and wrong secret", connection, (*request, revoked), (*request, wrong)),
    ])


def compare_sessions(binary, folder, connection, api_key):
    """A session that its user left, and one that an operator ended."""
    tokens = []
    for user in ("left", "ended"):
        _, status, answer = post(connection, "/v1/token/generate", {"app": "web", "user_id": user}, api_key)
        assert status == 200, answer
        tokens.append(answer["refresh_token"])
    post(connection, "/v1/token/revoke", {"refresh_token": tokens[0]})
    command(binary, "users", "revoke", "ended", folder=folder)
    requests = [("/v1/token/refresh", {"refresh_token": token}) for token in tokens]
    return compare("session left and session ended", connection, *requests)


if __name__ == "__main__":
    main(*sys.argv[1:])
