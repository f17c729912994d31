"""Independent judges: PyJWT and joserfc verify every sampled token, and refuse it with one bit flipped.

Usage: judge.py TOKENS_FILE PUBLIC_KEY_PEM    (one JSON object {"user": ..., "token": ...} a line)
"""

import base64
import json
import sys

import jwt
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt
from joserfc.errors import JoseError


def flipped(token):
    """The token with one bit of its signature changed."""
    head, payload, signature = token.split(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[len(raw) // 2] ^= 1
    return ".".join([head, payload, base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()])


def with_pyjwt(token, pem):
    return jwt.decode(token, pem, algorithms=["RS256"], options={"require": ["sub", "exp"]})["sub"]


def with_joserfc(token, pem):
    decoded = joserfc_jwt.decode(token, joserfc_jwk.RSAKey.import_key(pem), algorithms=["RS256"])
    joserfc_jwt.JWTClaimsRegistry(sub={"essential": True}, exp={"essential": True}).validate(decoded.claims)
    return decoded.claims["sub"]


def main(tokens_file, key_file):
    with open(key_file, encoding="utf-8") as file:
        pem = file.read()
    judged = 0
    with open(tokens_file, encoding="utf-8") as lines:
        for line in lines:
            sample = json.loads(line)
            for verify, refusal in [(with_pyjwt, jwt.InvalidTokenError), (with_joserfc, JoseError)]:
                assert verify(sample["token"], pem) == sample["user"], (verify.__name__, sample["user"])
                try:
                    verify(flipped(sample["token"]), pem)
                except refusal:
                    continue
                raise AssertionError(f"{verify.__name__} took a flipped bit")
            judged += 1
    assert judged > 0
    print(f"PyJWT and joserfc: {judged} tokens verified, {judged} flipped ones refused")


if __name__ == "__main__":
    main(*sys.argv[1:])
