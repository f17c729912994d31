"""Compiles the Android guide's Kotlin against stand-ins for Android and Braze's SDK (android/), and runs it against the
service up, down, and answering each problem; the app's backend is the Node route of docs/backend.md. Then with credentials
in place of a backend.

Usage: android.py BINARY KOTLIN_JARS JSON_JAR FOLDER
"""

import itertools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backend import HERE, Route
from blocks import block, blocks, problems
from services import Scripted, countersign, nothing_listens, page, problem

GUIDE = "docs/clients/android.md"
GOOD = 200, "application/json", b'{"token": "t2", "refresh_token": "r2", "refresh_in": 1800}'
# The first block is a part of an Application: this is the rest of it.
APPLICATION = """
import com.braze.Braze
import com.braze.configuration.BrazeConfig
object session { suspend fun idToken(): String? = null }
class App(folder: java.io.File) : android.content.Context(folder) {
    fun onCreate() {
%s    }
}
"""


def compiled(kotlin, json_jar, folder):
    """Returns the class path of the guide's classes and the test's."""
    use, guide = [text for language, text in blocks(GUIDE) if language == "kotlin"]
    Path(folder, "Guide.kt").write_text(guide)
    Path(folder, "App.kt").write_text(APPLICATION % use)
    jars = [str(jar) for jar in Path(kotlin).glob("*.jar")]
    classes = Path(folder, "classes")
    done = subprocess.run(
        ["java", "-cp", ":".join(jars), "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib", "-no-reflect", "-d", classes]
        + ["-cp", ":".join([*jars, json_jar]), *Path(folder).glob("*.kt"), *(HERE / "android").glob("*.kt")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    services = classes / "META-INF/services/kotlinx.coroutines.internal.MainDispatcherFactory"
    services.parent.mkdir(parents=True, exist_ok=True)
    services.write_text("MainThread")
    return ":".join([str(classes), *jars, json_jar])


class App:
    def __init__(self, class_path, folder):
        self.class_path, self.folder, self.numbers = class_path, folder, itertools.count()

    def run(self, endpoint, login, *events):
        """Returns what the app did: the lines that Main prints."""
        folder = Path(self.folder, f"app-{next(self.numbers)}")
        folder.mkdir()
        command = ["java", "-XX:TieredStopAtLevel=1", f"-Dfolder={folder}", "-cp", self.class_path, "MainKt", endpoint, login, *events]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0 and not done.stderr, (events, done.stdout, done.stderr)
        return done.stdout.splitlines()


def verbs(lines):
    return [line.split(" ")[0] if ":" not in line else line for line in lines]


def with_the_service(app, address, login, run):
    lines = app.run(f"{address}/", login, "login", "failure", "resume", "failure", "logout")
    session = ["saved: true"]
    refreshed = ["setSignature", "flush", *session]
    assert verbs(lines) == ["changeUser", *session, *refreshed, *session, *refreshed, "saved: false"], lines
    tokens = [line.split(" ")[-1] for line in lines if line.startswith(("changeUser", "setSignature"))]
    assert len(set(tokens)) == 3 and lines[0].startswith("changeUser 42 "), lines
    run("users", "opt-out", "42")
    lines = app.run(address, login, "login", "ignored")
    assert lines == ["login failed: no token: opted_out", "saved: false", "saved: false"], lines
    run("users", "opt-in", "42")
    # The app's backend, or this service, cannot be reached.
    lines = app.run(address, nothing_listens(), "login")
    assert lines == ["login failed: Connection refused", "saved: false"], lines
    lines = app.run(nothing_listens(), login, "login", "ignored")
    assert verbs(lines) == ["changeUser", *session, *session], lines


def with_an_answer(app, login, answer, status, retry):
    """A refresh gets this answer, and then a token."""
    scripted = Scripted()
    scripted.answer_with(answer, GOOD)
    ends = status in (401, 403, 409)
    lines = app.run(scripted.url, login, "login", "failure")
    seen = verbs([line for line in lines if line != "saved: true"])
    relogin = ["relogin"] if retry == "after_login" else []
    assert seen == ["changeUser", *([*relogin, "saved: false"] if ends else ["setSignature", "flush"])], (answer, lines)
    assert len(scripted.times) == (1 if ends else 2), (answer, scripted.times)


def with_credentials(app):
    """The app's own session is exchanged at login, and when the refresh token's session is over."""
    over, refused = problem("invalid_token", 401, "after_login"), problem("unauthorized", 401, "never")
    second = 200, "application/json", b'{"token": "t3", "refresh_token": "r3", "refresh_in": 1800}'

    def run(credentials, events, *answers):
        scripted = Scripted()
        scripted.answer_with(*answers)
        lines = [line for line in app.run(scripted.url, credentials, *events) if line != "saved: true"]
        exchanges = [request for request in scripted.requests if request[0] == "/v1/token/exchange"]
        assert all(json.loads(body) == {"app": "web"} for _, _, body in exchanges), exchanges
        assert all(bearer is None for path, bearer, _ in scripted.requests if path != "/v1/token/exchange"), scripted.requests
        return verbs(lines), [(path.split("/")[-1], bearer) for path, bearer, _ in scripted.requests]

    login, again = ("exchange", "Bearer c1"), ("exchange", "Bearer c2")
    refresh = "refresh", None
    assert run("c1,c2", ["login", "failure"], GOOD, over, second) == (["changeUser", "setSignature", "flush"], [login, refresh, again])
    assert run("c1,c2", ["login", "failure"], GOOD, over, refused) == (["changeUser", "relogin", "saved: false"], [login, refresh, again])
    assert run("c1,", ["login", "failure"], GOOD, over) == (["changeUser", "relogin", "saved: false"], [login, refresh])
    waited = ["changeUser", "setSignature", "flush"]
    # The provider is out of reach at the first attempt.
    assert run("c1,!,c2", ["login", "failure"], GOOD, over, over, second) == (waited, [login, refresh, refresh, again])
    failed = ["login failed: no token: unauthorized", "saved: false"]
    assert run("c1", ["login"], refused) == (failed, [login])
    assert run("", ["login"], GOOD) == (["login failed: no token: ", "saved: false"], [])


def main(binary, kotlin, json_jar, folder):
    app = App(compiled(kotlin, json_jar, folder), folder)
    Path(folder, "route.js").write_text(block("docs/backend.md", "js", "/v1/token/generate"))
    os.mkdir(f"{folder}/service", 0o700)
    with countersign(binary, f"{folder}/service") as (address, api_key, run):
        with Route(["node", "route.mjs", "express5", f"{folder}/route.js"], HERE / "express", address, api_key) as route:
            login = f"http://127.0.0.1:{route.port}/session/braze"
            with_the_service(app, address, login, run)
            with_credentials(app)
            cases = [(problem(code, status, 300 if retry == "milliseconds" else retry), status, retry) for code, status, retry in problems()]
            cases += [(page(status), None, None) for status in (200, 404, 500, 502)]
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda case: with_an_answer(app, login, *case), cases))
    print(f"Kotlin: service up, down; {len(cases)} other answers")


if __name__ == "__main__":
    main(*sys.argv[1:])
