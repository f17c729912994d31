"""Every acknowledged refresh is on disk first: under strace, no answer leaves before the write-ahead log was flushed.

Usage: durable.py BINARY FOLDER
"""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request


def call(url, body, api_key=None):
    headers = {"Content-Type": "application/json"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as response:
        return json.load(response)


def main(binary, folder):
    trace = os.path.join(folder, "strace.log")
    service = subprocess.Popen(
        ["strace", "-f", "-tt", "-e", "trace=fdatasync,fsync,sendto,write,writev,sendmsg", "-e", "signal=none", "-s", "24", "-o", trace,
         binary, "serve", "--dev", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
    )
    try:
        ready = json.loads(service.stdout.readline())
        token = call(ready["url"] + "/v1/token/generate", {"app": "web", "user_id": "u"}, ready["api_key"])["refresh_token"]
        for _ in range(200):
            token = call(ready["url"] + "/v1/token/refresh", {"refresh_token": token})["refresh_token"]
    finally:
        # strace itself takes no signal while it traces; it ends with the service.
        with open(f"/proc/{service.pid}/task/{service.pid}/children", encoding="ascii") as children:
            for child in children.read().split():
                os.kill(int(child), signal.SIGTERM)
        service.wait(timeout=60)
    flushes = answers = late = 0
    with open(trace, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if re.search(r"\bf(data)?sync\(.*= 0|<\.\.\. f(data)?sync resumed>.*= 0", line):
                flushes += 1
            elif "HTTP/1.1 200" in line:
                late += flushes == 0
                answers += 1
                flushes = 0
    print(f"{answers} answers, {late} of them without a flush before")
    assert answers >= 201 and late == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
