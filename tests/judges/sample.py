"""Mints a sample of tokens from a running service: ordinary user ids, and the odd ones that break verifiers.

Usage: sample.py READY_JSON TOKENS_FILE PUBLIC_KEY_PEM
"""

import json
import random
import sys
import urllib.request

ODD = ["007", "0", "u-1", "A\u030a", "\u00c5", "用户", "a b", "o'neil+x@example.com", '"quoted"\\', "🦀", "x" * 512, "\\" * 512]


def mint(ready, user):
    body = json.dumps({"app": ready["app"], "user_id": user}).encode()
    headers = {"Authorization": f"Bearer {ready['api_key']}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{ready['url']}/v1/token/generate", data=body, headers=headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response)["token"]


def main(ready_file, tokens_file, key_file):
    with open(ready_file, encoding="utf-8") as file:
        ready = json.loads(file.readline())
    with open(key_file, "w", encoding="utf-8") as file:
        file.write(ready["public_key"])
    rng = random.Random(7)
    users = ODD + [f"user-{rng.getrandbits(64):x}" for _ in range(300)]
    with open(tokens_file, "w", encoding="utf-8") as file:
        for user in users:
            file.write(json.dumps({"user": user, "token": mint(ready, user)}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
