"""A full disk: refreshes are answered 503 (never 401), health goes on, and room on the disk is enough to recover.

Usage: disk.py BINARY SMALL_FOLDER    (a file system of about a megabyte)
"""

import json
import os
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


def main(binary, folder):
    run = lambda *arguments: json.loads(subprocess.run([binary, *arguments, "--json"], cwd=folder, check=True, capture_output=True).stdout)
    run("init")
    api_key = run("clients", "create", "backend", "--app", "web")["api_key"]
    environment = {**os.environ, "COUNTERSIGN_LIMITS__ENABLED": "false", "COUNTERSIGN_LOG__LEVEL": "error"}
    arguments = [binary, "serve", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]
    service = subprocess.Popen(arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        url = json.loads(service.stdout.readline())["url"]
        generate = lambda: call(url + "/v1/token/generate", {"app": "web", "user_id": "u"}, api_key)
        token = generate()[1]["refresh_token"]
        filler = os.path.join(folder, "filler")
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        seen = set()
        for _ in range(400):
            status, answer = call(url + "/v1/token/refresh", {"refresh_token": token})
            seen.add(status)
            if status == 200:
                token = answer["refresh_token"]
            else:
                assert (status, answer["code"]) == (503, "unavailable"), answer
            assert call(url + "/healthz")[0] == 200
        assert 503 in seen, "the disk did not fill up"
        os.remove(filler)
        begun = time.monotonic()
        while call(url + "/v1/token/refresh", {"refresh_token": token})[0] != 200:
            assert time.monotonic() - begun < 5, "no recovery within 5 s"
        print(f"full disk: answers {sorted(seen)}, recovered without a restart; the session went on")
    finally:
        service.terminate()
        service.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
