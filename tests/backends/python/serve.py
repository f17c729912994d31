"""Runs the example's route, for a user who is logged in: serve.py FOLDER_OF_EXAMPLE. Prints its port."""

import socket
import sys

import uvicorn
from fastapi import FastAPI

sys.path.insert(0, sys.argv[1])
from fastapi_route import add_route  # noqa: E402

app = FastAPI()
# The user's id is a number here, as in most databases.
add_route(app, lambda: 42)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])
