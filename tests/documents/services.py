"""The states of the service that snippets are run against: the real one, a scripted one, and none."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from command import command  # noqa: E402


@contextlib.contextmanager
def countersign(binary, folder):
    """Runs the real service in an empty folder; gives its address, an API key and a function that runs a command."""
    run = partial(command, binary, folder=folder)
    run("init")
    api_key = run("clients", "create", "backend", "--app", "web")["api_key"]
    arguments = [binary, "serve", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]
    # Each test adds failures from one address; here the limits are not what is tested.
    environment = {**os.environ, "COUNTERSIGN_LIMITS__ENABLED": "false"}
    with open(os.path.join(folder, "service.log"), "wb") as log:
        service = subprocess.Popen(arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log)
    try:
        yield json.loads(service.stdout.readline())["url"], api_key, run
    finally:
        service.terminate()
        service.wait()


class Scripted(ThreadingHTTPServer):
    """Answers POSTs with `answers`, one after the other; the last one again and again. Records the time of each, its path, and
    its credential and body."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.answer_with()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def answer_with(self, *answers):
        self.answers, self.times, self.requests = list(answers), [], []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        server.requests.append((self.path, self.headers["Authorization"], body))
        server.times.append(time.monotonic())
        answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        if answer is None:
            # Until the client goes away: longer than any time-out of the snippets.
            self.connection.settimeout(60)
            with contextlib.suppress(OSError):
                while self.connection.recv(4096):
                    pass
            self.close_connection = True
            return
        status, kind, body = answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def problem(code, status, retry):
    document = {
        "type": f"urn:countersign:problem:{code}",
        "title": "A title",
        "status": status,
        "detail": "a detail that is none of the browser's business",
        "code": code,
        "retry": retry,
        "request_id": "the-request",
    }
    return status, "application/problem+json", json.dumps(document).encode()


def page(status):
    return status, "text/html", b"<html><h1>a proxy's page</h1></html>"


# Sockets that are bound and do not listen: as long as they are, no other process gets their ports.
HELD_PORTS = []


def nothing_listens():
    """Returns an address of which every connection is refused."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    HELD_PORTS.append(bound)
    return f"http://127.0.0.1:{bound.getsockname()[1]}"
