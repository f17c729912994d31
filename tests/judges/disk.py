"""A full disk: rows can be read and not written. Logins and refreshes are answered all the same, degraded; what had ended is
refused; revocations are refused with 503. Room on the disk is enough to recover, and every session goes on.

Usage: disk.py BINARY SMALL_FOLDER    (a file system of about a megabyte)
"""

import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request


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


def wait_until(reached, why):
    """Waits for a minute."""
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end, why()
        time.sleep(0.1)


def may_answer_without_its_store(folder, end_something):
    """Waits until a node that has just started may: after a look that began when others could have read its first report."""
    store = sqlite3.connect(os.path.join(folder, "countersign.db"), timeout=60)
    reports = lambda since: store.execute("SELECT count(*) FROM followers WHERE looked >= ?", [since]).fetchone()[0]
    wait_until(lambda: reports(0), lambda: "no report")
    told = int(time.time() * 1000)
    # Others read reports every second, and rely on what they read for two.
    time.sleep(4)
    # A node reports at once what it finds.
    assert end_something()[0] == 200
    wait_until(lambda: reports(told + 3000), lambda: "no second report")
    store.close()


def main(binary, folder):
    run = lambda *arguments: json.loads(subprocess.run([binary, *arguments, "--json"], cwd=folder, check=True, capture_output=True).stdout)
    run("init")
    api_key = run("clients", "create", "backend", "--app", "web")["api_key"]
    environment = {**os.environ, "COUNTERSIGN_LIMITS__ENABLED": "false", "COUNTERSIGN_LOG__LEVEL": "error"}
    arguments = [binary, "serve", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]
    service = subprocess.Popen(arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        ready = json.loads(service.stdout.readline())
        url = ready["url"]
        generate = lambda user="u": call(url + "/v1/token/generate", {"app": "web", "user_id": user}, api_key)
        refresh = lambda token: call(url + "/v1/token/refresh", {"refresh_token": token})
        revoke = lambda token: call(url + "/v1/token/revoke", {"refresh_token": token})
        token, ended, kept = (generate(user)[1]["refresh_token"] for user in ["u", "ended", "kept"])
        old = token
        for _ in range(3):
            token = refresh(token)[1]["refresh_token"]
        may_answer_without_its_store(folder, lambda: revoke(ended))
        filler = os.path.join(folder, "filler")
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        seen, born = {}, None
        for round in range(400):
            status, answer = refresh(token)
            assert status == 200, answer
            token = answer["refresh_token"]
            degraded = answer.get("degraded", False)
            seen[degraded] = seen.get(degraded, 0) + 1
            assert call(url + "/healthz")[0] == 200
            if degraded and seen[True] == 1:
                status, answer = generate("born")
                assert (status, answer["degraded"]) == (200, True), answer
                born = answer["refresh_token"]
                assert answer["expires_in"] <= 900, answer
        assert born, "the disk did not fill up"
        status, answer = revoke(kept)
        assert (status, answer["code"]) == (503, "unavailable"), answer
        assert refresh(kept)[0] == 200, "a revocation that was refused ended nothing"
        status, answer = refresh(ended)
        assert (status, answer["code"]) == (401, "invalid_token"), answer
        # The conditions are set once a second.
        asked = lambda: call(ready["ops_url"] + "/readyz?verbose")
        condition = lambda: next(it for it in asked()[1]["conditions"] if it["name"] == "store")
        wait_until(lambda: not condition()["ok"], asked)
        assert asked()[0] == 200 and "full" in condition()["reason"], asked()
        os.remove(filler)
        begun = time.monotonic()
        while True:
            status, answer = refresh(token)
            assert status == 200, answer
            token = answer["refresh_token"]
            if not answer.get("degraded"):
                break
            assert time.monotonic() - begun < 60, "no recovery"
        recovered = time.monotonic() - begun
        for name, one in [("born meanwhile", born), ("kept", kept)]:
            status, answer = refresh(one)
            assert status == 200 and not answer.get("degraded"), (name, answer)
        assert refresh(ended)[0] == 401
        # The copy of an old token is caught at its first use.
        time.sleep(11)
        assert (refresh(old)[0], refresh(token)[0]) == (401, 401)
        print(f"full disk: {seen[True]} of 400 refreshes degraded, none refused; recovered within {recovered:.1f} s")
    finally:
        service.terminate()
        service.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
