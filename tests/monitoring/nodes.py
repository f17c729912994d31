"""Real nodes for the test of dashboard and alerts, each with its traffic, and a PostgreSQL server."""

import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path


def request(url, body=None, credential=None, method=None, kind="application/json"):
    """Returns status and answer; None where nobody answers."""
    parts = urllib.parse.urlsplit(url)
    headers = {"Content-Type": kind}
    if credential:
        headers["Authorization"] = f"Bearer {credential}"
    data = body if isinstance(body, (str, type(None))) else json.dumps(body)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.request(method or ("GET" if body is None else "POST"), f"{parts.path}?{parts.query}", data, headers)
        response = connection.getresponse()
        text = response.read()
        with contextlib.suppress(ValueError):
            return response.status, json.loads(text)
        return response.status, text.decode(errors="replace")
    except OSError:
        return None, None
    finally:
        connection.close()


def environment(**more):
    """The environment without settings of the program, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERSIGN_")}
    return {**kept, **more}


class Node:
    """An installation of one node, in a folder of its own."""

    def __init__(self, binary, folder, name, *, init=(), sections=None, more="", files=None, settings=None, lines_lost=False):
        self.binary, self.folder, self.name = binary, Path(folder) / name, name
        self.init, self.sections, self.more, self.files, self.lines_lost = init, sections or {}, more, files, lines_lost
        self.environment = environment(**(settings or {}))
        self.service, self.traffic, self.stopped = None, [], threading.Event()

    def set_up(self):
        self.folder.mkdir(mode=0o700, exist_ok=True)
        made = self.command("init", *self.init)
        self.public_key = made["public_key"]
        self.api_key = self.command("clients", "create", "backend", "--app", "web")["api_key"]
        path = self.folder / "countersign.toml"
        text = path.read_text() + self.more
        for section, settings in self.sections.items():
            text = text.replace(f"\n[{section}]\n", f"\n[{section}]\n{settings}\n")
        path.write_text(text)
        self.start()

    def command(self, *arguments):
        done = subprocess.run([self.binary, *arguments, "--json"], cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode in (0, 3), (self.name, arguments, done.stdout, done.stderr)
        return json.loads(done.stdout or "null")

    def start(self):
        def limit_files():
            if self.files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))

        arguments = [self.binary, "serve", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]
        reader, writer = os.pipe()
        log = writer if self.lines_lost else open(self.folder.parent / f"{self.name}.log", "a")
        self.service = subprocess.Popen(
            arguments, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=log, preexec_fn=limit_files)
        os.close(writer)
        first = self.service.stdout.readline()
        assert first, f"{self.name} does not start: {self.folder.parent / self.name}.log"
        ready = json.loads(first)
        self.url, self.ops = ready["url"], ready["ops_url"]
        # Nobody reads the log of `lines_lost` from here on.
        os.close(reader)

    def stop(self):
        self.service.send_signal(signal.SIGTERM)
        self.service.wait()

    def end(self):
        """Ends traffic and process, whatever their state is."""
        self.stopped.set()
        for thread in self.traffic:
            thread.join()
        if self.service and self.service.poll() is None:
            self.service.kill()
            self.service.wait()

    def mint(self, user):
        return request(self.url + "/v1/token/generate", {"app": "web", "user_id": user}, self.api_key)

    def refresh(self, token):
        return request(self.url + "/v1/token/refresh", {"refresh_token": token})

    def session(self, user):
        """A refresh token, as soon as the node gives one."""
        while True:
            status, answer = self.mint(user)
            if status == 200:
                return answer["refresh_token"]
            time.sleep(0.1)

    def repeat(self, work, pause):
        """Does some work again and again, beside all else."""
        def loop():
            while not self.stopped.wait(pause):
                with contextlib.suppress(OSError, http.client.HTTPException):
                    work()

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        self.traffic.append(thread)

    def ordinary_traffic(self):
        """A login, a refresh, and a look at the keys."""
        status, answer = self.mint("somebody")
        if status == 200:
            self.refresh(answer["refresh_token"])
        request(self.url + "/.well-known/jwks.json")


class Postgres:
    """A server on a socket in a folder of its own; PostgreSQL refuses to run as root."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir()
        self.user = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody")
            self.user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        self.run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        self.run("pg_ctl", "-w", "-l", "server.log", "-o", f"-k {self.folder} -c listen_addresses=''", "start")

    def run(self, program, *arguments):
        path = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))[-1]
        subprocess.run([*self.user, path, "-D", "data", *arguments], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    @property
    def url(self):
        return f"postgres://postgres@{urllib.parse.quote(str(self.folder), safe='')}:5432/postgres"

    def crash(self):
        """Ends the server as a crash does, where it runs."""
        if (self.folder / "data/postmaster.pid").exists():
            self.run("pg_ctl", "-m", "immediate", "stop")


def sandbox(binary):
    """Starts a local Braze; returns the process and what it says of itself."""
    process = subprocess.Popen([binary, "sandbox", "--json", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, env=environment())
    ready = json.loads(process.stdout.readline())
    # Events follow on the same pipe, which must not fill up.
    threading.Thread(target=lambda: [None for _ in process.stdout], daemon=True).start()
    return process, ready
