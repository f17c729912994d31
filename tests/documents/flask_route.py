"""Runs the route of a Python block as a Flask app would: flask_route.py FILE. Prints its port."""

import os
import sys
from types import SimpleNamespace

from flask import Flask
from werkzeug.serving import make_server

names = {
    "app": Flask("documents"),
    # Flask-Login's names. The user's id is a number here, as in most databases.
    "login_required": lambda route: route,
    "current_user": SimpleNamespace(id=42),
    "COUNTERSIGN": os.environ["COUNTERSIGN"],
}
with open(sys.argv[1], encoding="utf-8") as file:
    exec(compile(file.read(), sys.argv[1], "exec"), names)
server = make_server("127.0.0.1", 0, names["app"], threaded=True)
print(server.port, flush=True)
server.serve_forever()
