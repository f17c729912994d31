"""The mint of Countersign's contract with FastAPI and PyJWT. Arguments: port, key file, key id; PEER_API_KEY is the API key."""

import hmac
import os
import secrets
import sys
import time
from typing import Annotated

import jwt
import uvicorn
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

LIFETIME = 3600

PORT, KEY_FILE, KID = sys.argv[1:4]
with open(KEY_FILE, "rb") as file:
    KEY = load_pem_private_key(file.read(), None)
HEADER = {"kid": KID}
EXPECTED = f"Bearer {os.environ['PEER_API_KEY']}".encode()


class Login(BaseModel, extra="forbid"):
    app: Annotated[str, Field(min_length=1, max_length=512)]
    user_id: Annotated[str, Field(min_length=1, max_length=512)]


async def authenticated(authorization: Annotated[str, Header()] = ""):
    if not hmac.compare_digest(authorization.encode(), EXPECTED):
        raise HTTPException(401, "unauthorized")


app = FastAPI(openapi_url=None)


# Signing in the event loop: with one processor, handing it to a thread would only add to it.
@app.post("/v1/token/generate", dependencies=[Depends(authenticated)])
async def generate(login: Login):
    now = time.time()
    issued = int(now)
    expires = issued + LIFETIME
    claims = {"sub": login.user_id, "iat": issued, "exp": expires, "jti": secrets.token_urlsafe(16)}
    token = jwt.encode(claims, KEY, algorithm="RS256", headers=HEADER)
    return JSONResponse(
        {"token": token, "token_expires": expires * 1000, "server_time": int(now * 1000), "expires_in": LIFETIME}
    )


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("ready", flush=True)


if __name__ == "__main__":
    Server(
        uvicorn.Config(
            app, host="127.0.0.1", port=int(PORT), loop="uvloop", http="httptools", backlog=1024,
            log_level="error", access_log=False, server_header=False,
        )
    ).run()
