"""Many random mints: exactly the header bytes and claims they should have, and no token or refresh token twice.

Usage: shapes.py READY_JSON COUNT
"""

import base64
import http.client
import json
import random
import sys
import urllib.parse

HEADER = b'{"alg":"RS256","typ":"JWT"}'


def part(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def main(ready_file, count):
    with open(ready_file, encoding="utf-8") as file:
        ready = json.loads(file.readline())
    headers = {"Authorization": f"Bearer {ready['api_key']}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(ready["url"]).netloc)
    rng = random.Random(11)
    seen = set()
    for _ in range(int(count)):
        user = "".join(chr(rng.choice([*range(0x21, 0x7E), 0x00E5, 0x4E2D, 0x1F980])) for _ in range(rng.randint(1, 40)))
        body = json.dumps({"app": ready["app"], "user_id": user, "ttl": rng.randint(60, 3600)})
        connection.request("POST", "/v1/token/generate", body=body.encode(), headers=headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 200, answer
        head, payload, _ = answer["token"].split(".")
        assert part(head) == HEADER, part(head)
        claims = json.loads(part(payload))
        assert set(claims) == {"sub", "exp", "jti"}, claims
        assert claims["sub"] == user and type(claims["exp"]) is int, claims
        assert claims["exp"] * 1000 == answer["token_expires"]
        assert len(answer["token"]) <= 4096 and answer["refresh_token"].startswith("csr1_")
        for token in (answer["token"], answer["refresh_token"], claims["jti"]):
            assert token not in seen
            seen.add(token)
    print(f"{count} tokens of exactly the right shape, none twice")


if __name__ == "__main__":
    main(*sys.argv[1:])
