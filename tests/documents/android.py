"""Compiles the Android guide's Kotlin against stand-ins for Android and Braze's SDK (android/), and runs it against the
service up, down, and answering each problem; the app's backend is the Node route of docs/backend.md. Then with credentials
in place of a backend, and through every way in which a logout can go. Then each of MUTANTS, a change of the guide that is
wrong, must fail the scenario that is about it.

Usage: android.py BINARY KOTLIN_JARS JSON_JAR FOLDER
"""

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backend import HERE, Route
from blocks import block, blocks, problems
from services import Scripted, countersign, nothing_listens, page, problem

GUIDE = "docs/clients/android.md"
JAVA = "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"
FILES = "CountersignAuth.kt", "SessionFile.kt", "BrazeSdk.kt"


def session(number, refresh_in=1800):
    members = {"token": f"t{number}", "refresh_token": f"r{number}", "refresh_in": refresh_in, "server_time": number}
    return 200, "application/json", json.dumps(members).encode()


GOOD = session(2)
DONE = 200, "application/json", b'{"status": "success"}'
OVER = problem("invalid_token", 401, "after_login")
BEGUN = ["changeUser 42 t1", "flush", "logged in"]
ERASED = ["wipe", "disable"]
# The first block is a part of an Application: this is the rest of it.
APPLICATION = """
import com.braze.Braze
import com.braze.configuration.BrazeConfig
object session { suspend fun idToken(forceRefresh: Boolean): String? = null }
class App(folder: java.io.File) : android.content.Context(folder) {
    fun onCreate() {
%s    }
}
"""


class App:
    """An app with the guide's class, or with a mutant of it."""

    def __init__(self, class_path, folder, mutant=None):
        self.class_path, self.folder, self.mutant, self.ran = class_path, folder, mutant, 0
        # Seconds that it is waited for what should come: with a mutant, it never does.
        self.patience = 15 if mutant else 60

    def new_folder(self):
        self.ran += 1
        folder = Path(self.folder, f"{self.mutant}-{self.ran}")
        folder.mkdir()
        return folder

    def run(self, endpoint, login, *events, folder=None, deadline=60_000):
        """Returns what the app did: the lines that Main prints. A folder of an earlier run is that app's, started again."""
        folder = folder or self.new_folder()
        package = "mutants" if self.mutant else "guide"
        properties = [f"-Dfolder={folder}", f"-Dpatience={self.patience}000", f"-Dmutant={self.mutant}"]
        command = [*JAVA, *properties, "-cp", self.class_path, f"{package}.MainKt", endpoint, login, str(deadline), *events]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and not done.stderr, (events, done.stdout, done.stderr)
        return done.stdout.splitlines()


def sources(folder, package, changes=()):
    """Writes the guide's files, its example and the test's main program into a package. The changes are made where the property
    `mutant` names them: one compilation is enough for all of them."""
    use, *files = [text for language, text in blocks(GUIDE) if language == "kotlin"]
    texts = {**dict(zip(FILES, files, strict=True)), "App.kt": APPLICATION % use, "Main.kt": (HERE / "android/Main.kt").read_text()}
    for mutant, (_, context, new) in dict(changes).items():
        before, old, after = re.split(r"\[\[|\]\]", context)
        [name] = [name for name in FILES if before + old + after in texts[name]]
        assert texts[name].count(before + old + after) == 1, context
        either = f'(if (System.getProperty("mutant") == "{mutant}") {{ {new} }} else {{ {old} }})'
        texts[name] = texts[name].replace(before + old + after, before + either + after)
    Path(folder, package).mkdir()
    for name, text in texts.items():
        Path(folder, package, name).write_text(f"package {package}\n{text}")


def compiled(kotlin, json_jar, folder):
    """Compiles the guide, as it is and with the mutants, in one start of the compiler. Returns the class path."""
    sources(folder, "guide")
    sources(folder, "mutants", MUTANTS | OLD_SDK)
    jars = [str(jar) for jar in Path(kotlin).glob("*.jar")]
    stand_ins = [file for file in (HERE / "android").glob("*.kt") if file.name != "Main.kt"]
    classes = Path(folder, "classes")
    done = subprocess.run(
        # The quick one of the two compilers of Java: the other one takes as long again before it pays.
        [*JAVA, "-cp", ":".join(jars), "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib", "-no-reflect", "-d", classes]
        + ["-cp", ":".join([*jars, json_jar]), *Path(folder).glob("*/*.kt"), *stand_ins],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    services = classes / "META-INF/services/kotlinx.coroutines.internal.MainDispatcherFactory"
    services.parent.mkdir(parents=True, exist_ok=True)
    services.write_text("MainThread")
    return ":".join([str(classes), *jars, json_jar])


def scripted(*answers):
    service = Scripted()
    service.answer_with(*answers)
    return service


def sent(service):
    """Returns (the call, its refresh token) of each request."""
    return [(path.split("/")[-1], json.loads(body or b"{}").get("refresh_token")) for path, _, body in service.requests]


def equal(seen, expected):
    assert seen == expected, f"\nseen     {seen}\nexpected {expected}"


def with_the_service(app, address, login, run):
    refreshed = "failure", "until:flush"
    lines = app.run(f"{address}/", login, "login", *refreshed, "resume", "until:setSignature", *refreshed, "logout")
    tokens = re.findall(r"(?:changeUser 42|setSignature|push/unregister) (\S+)", "\n".join(lines))
    # What another process sets again is what the first one has saved, and the last token is the one that unregisters push.
    assert len(set(tokens)) == 3 and tokens[2] == tokens[1] and tokens[4] == tokens[3], lines
    begun = "changeUser", "flush", "logged in"
    gone = "flush", "push/unregister", "wipe", "disable", "logged out: lost null", "saved: disabled"
    change = "setSignature", "flush"
    equal([re.sub(r" (42|eyJ).*", "", line) for line in lines], [*begun, *change, "setSignature", *change, *gone])
    run("users", "opt-out", "42")
    equal(app.run(address, login, "login"), ["login failed: no token: opted_out", "saved: nothing"])
    run("users", "opt-in", "42")
    # The app's backend, or this service, cannot be reached.
    equal(app.run(address, nothing_listens(), "login"), ["login failed: Connection refused", "saved: nothing"])
    lines = app.run(nothing_listens(), login, "login", "failure")
    assert len(lines) == 4 and lines[2:] == ["logged in", "saved: session"], lines


def with_an_answer(app, code, answer, status):
    """A refresh gets this answer, and then a token."""
    service = scripted(session(1), answer, GOOD)
    ends, is_told = status in (401, 403, 409), code not in ("opted_out", "user_mismatch")
    end = ("until:relogin" if is_told else "saved:nothing") if ends else "until:flush"
    lines = app.run(service.url, service.url, "login", "failure", end)
    after = ["setSignature t2", "flush", "saved: session"]
    if ends:
        after = [*([f"relogin {code}"] if is_told else []), "saved: nothing"]
    equal(lines, [*BEGUN, *after])
    equal(len(service.requests), 2 if ends else 3)


def with_credentials(app):
    """The app's own session is exchanged at login, and when the refresh token's session is over."""
    refused, later = problem("unauthorized", 401, "never"), problem("unavailable", 503, 300)

    def run(credentials, events, *answers):
        service = scripted(*answers)
        lines = app.run(service.url, credentials, *events)
        exchanges = [request for request in service.requests if request[0] == "/v1/token/exchange"]
        assert all(json.loads(body) == {"app": "web"} for _, _, body in exchanges), exchanges
        assert all(bearer is None for path, bearer, _ in service.requests if path != "/v1/token/exchange"), service.requests
        return lines, [bearer or path.split("/")[-1] for path, bearer, _ in service.requests]

    first, second, third = "Bearer c1", "Bearer c2", "Bearer c3"
    going = [*BEGUN, "setSignature t2", "flush", "saved: session"]
    ended = [*BEGUN, "relogin unauthorized", "saved: nothing"]
    until, until_over = ["login", "failure", "until:flush"], ["login", "failure", "until:relogin"]
    equal(run("c1,c2", until, session(1), OVER, GOOD), (going, [first, "refresh", second]))
    equal(run("c1,c2", until_over, session(1), OVER, refused), (ended, [first, "refresh", second]))
    equal(run("c1,c2,c3", until, session(1), OVER, refused, GOOD), (going, [first, "refresh", second, third]))
    nobody = [*BEGUN, "relogin invalid_token", "saved: nothing"]
    equal(run("c1,", until_over, session(1), OVER), (nobody, [first, "refresh"]))
    # The provider is out of reach at the first attempt.
    equal(run("c1,!,c2", until, session(1), OVER, OVER, GOOD), (going, [first, "refresh", "refresh", second]))
    equal(run("c1", ["login"], refused), (["login failed: no token: unauthorized", "saved: nothing"], [first]))
    equal(run("c1,c2", ["login"], refused, session(1)), ([*BEGUN, "saved: session"], [first, second]))
    equal(run("c1,c2", ["login"], later, session(1)), ([*BEGUN, "saved: session"], [first, second]))
    equal(run("", ["login"], GOOD), (["login failed: no token: expired_token", "saved: nothing"], []))


def a_failure(app):
    """The token is saved before it is used, and it is the new one."""
    service = scripted(session(1), GOOD)
    lines = app.run(service.url, service.url, "login", "failure", "until:flush")
    equal(lines, [*BEGUN, "setSignature t2", "flush", "saved: session"])
    equal(sent(service)[1:], [("refresh", "r1")])


def a_burst(app):
    """Failures without a token: the SDK gets the saved one once more, and then there is one refresh."""
    service = scripted(session(1), GOOD)
    lines = app.run(service.url, service.url, "login", "burst", "until:setSignature t2", "until:flush")
    equal(lines, [*BEGUN, "setSignature t1", "flush", "setSignature t2", "flush", "saved: session"])
    equal(sent(service)[1:], [("refresh", "r1")])


def a_saved_session(app):
    """A login uses it, and the other way round: one that is not there is not invented."""
    service = scripted(session(1))
    folder = app.new_folder()
    equal(app.run(service.url, service.url, "login", folder=folder), [*BEGUN, "saved: session"])
    lines = app.run(service.url, service.url, "until:setSignature", "login", folder=folder)
    equal(lines, ["setSignature t1", *BEGUN, "saved: session"])
    equal(len(service.requests), 1)


def ahead_of_time(app):
    """A stale session is refreshed when the app is shown, once, and not before."""
    service, folder = scripted(session(1, refresh_in=0), GOOD), app.new_folder()
    equal(app.run(service.url, service.url, "login", folder=folder), ["changeUser 42 t1", "logged in", "saved: session"])
    lines = app.run(service.url, service.url, "until:setSignature", "shows", "until:flush", folder=folder)
    equal(lines, ["setSignature t1", "setSignature t2", "flush", "saved: session"])
    equal(sent(service)[1:], [("refresh", "r1")])


def logout_in_order(app):
    """Everything works: nothing is lost. The token of the unregistration is the one that was refreshed for it."""
    service = scripted(session(1, refresh_in=0), GOOD, DONE)
    lines = app.run(service.url, service.url, "login", "expire", "logout")
    gone = ["setSignature t2", "flush", "push/unregister t2", *ERASED, "logged out: lost null", "saved: disabled"]
    equal(lines, ["changeUser 42 t1", "logged in", *gone])
    equal(sent(service)[1:], [("refresh", "r1"), ("revoke", "r2")])


def logout_server_down(app):
    """Only the refresh token is kept; the next start revokes it, before the login that comes with it."""
    backend, folder = scripted(session(1)), app.new_folder()
    lines = app.run(nothing_listens(), backend.url, "login", "logout", folder=folder)
    gone = ["flush", "push/unregister t1", *ERASED, "logged out: lost session", "saved: disabled,revoke"]
    equal(lines, [*BEGUN, *gone])
    service = scripted(DONE, session(3))
    lines = app.run(service.url, service.url, "login", folder=folder)
    again = ["enable", "initialize", "changeUser 42 t3", "flush", "logged in", "saved: session"]
    equal(lines, again)
    equal(sent(service)[0], ("revoke", "r1"))
    equal(len(service.requests), 2)


def logout_offline(app):
    """Neither Braze nor the server can be reached; then the device is online again."""
    backend, folder = scripted(session(1)), app.new_folder()
    lines = app.run(nothing_listens(), backend.url, "push=refusal", "login", "logout", folder=folder)
    gone = ["flush", "push/unregister t1", *ERASED, "logged out: lost push", "saved: disabled,revoke"]
    equal(lines, [*BEGUN, *gone])
    # At the start the service is still away; then it is there.
    service = scripted(page(502), DONE)
    equal(app.run(service.url, service.url, "online", "saved:disabled", folder=folder), ["saved: disabled"])
    equal(sent(service), [("revoke", "r1")] * 2)


def logout_token_expired(app):
    """The token has expired, and there is no other one."""
    service = scripted(session(1, refresh_in=0), OVER, DONE)
    lines = app.run(service.url, service.url, "login", "expire", "logout")
    gone = ["flush", "push/unregister t1", *ERASED, "logged out: lost events", "saved: disabled"]
    equal(lines, ["changeUser 42 t1", "logged in", *gone])
    equal(sent(service)[1:], [("refresh", "r1"), ("revoke", "r1")])


def logout_token_refused(app):
    """The token is not due for a refresh, but the flush is refused: a new one is had before the SDK's logout."""
    service = scripted(session(1), GOOD, DONE)
    lines = app.run(service.url, service.url, "login", "expire", "logout")
    gone = ["push/unregister t2", *ERASED, "logged out: lost null", "saved: disabled"]
    equal(lines, [*BEGUN, "flush", "setSignature t2", "flush", *gone])
    equal(sent(service)[1:], [("refresh", "r1"), ("revoke", "r2")])


def logout_killed(app):
    """The process ends while Braze has not answered: the next start does what is left, and the next login is clean."""
    service, folder = scripted(session(1), DONE), app.new_folder()
    lines = app.run(service.url, service.url, "push=none", "login", "logout&", "until:push/unregister", "kill", folder=folder)
    equal(lines, [*BEGUN, "flush", "push/unregister t1"])
    equal(app.run(service.url, service.url, "saved:disabled", folder=folder), [*ERASED, "saved: disabled"])
    equal(sent(service)[1:], [("revoke", "r1")])
    service.answer_with(session(3), session(4))
    lines = app.run(service.url, service.url, "login", "failure", "until:flush", folder=folder)
    again = ["enable", "initialize", "changeUser 42 t3", "flush", "logged in"]
    equal(lines, [*again, "setSignature t4", "flush", "saved: session"])


def logout_twice(app):
    service = scripted(session(1), DONE)
    lines = app.run(service.url, service.url, "login", "logout&", "logout", "logout")
    gone = ["flush", "push/unregister t1", *ERASED, *["logged out: lost null"] * 3, "saved: disabled"]
    equal(lines, [*BEGUN, *gone])
    equal(sent(service)[1:], [("revoke", "r1")])


def logout_and_login(app):
    """A login waits for the logout, and the SDK's failures are heard again."""
    service = scripted(session(1), DONE, session(3), session(4))
    lines = app.run(service.url, service.url, "login", "logout&", "login", "failure", "until:setSignature", "until:flush")
    equal([line for line in lines if not line.startswith("logged out")], [
        *BEGUN, "flush", "push/unregister t1", *ERASED, "enable", "initialize", "changeUser 42 t3", "flush", "logged in",
        "setSignature t4", "flush", "saved: session",
    ])
    equal([call for call, _ in sent(service)[1:]], ["revoke", "", "refresh"])


def logout_never_answered(app):
    """Braze's SDK does not call back: wiped and disabled by us at the deadline, and revoked."""
    service = scripted(session(1), DONE)
    lines = app.run(service.url, service.url, "push=none", "login", "logout", deadline=25_000)
    gone = ["flush", "push/unregister t1", *ERASED, "logged out: lost push", "saved: disabled"]
    equal(lines, [*BEGUN, *gone])
    equal(sent(service)[1:], [("revoke", "r1")])


def logout_server_hangs(app):
    """The server answers nothing: the deadline ends the wait for each of its calls."""
    service = scripted(session(1, refresh_in=0), None)
    lines = app.run(service.url, service.url, "login", "logout", deadline=15_000)
    gone = ["flush", "push/unregister t1", *ERASED, "logged out: lost session", "saved: disabled,revoke"]
    equal(lines, ["changeUser 42 t1", "logged in", *gone])


def logout_with_an_old_sdk(app):
    """Before 43.0.0: the session ends, and the SDK is left alone."""
    service = scripted(session(1), DONE)
    lines = app.run(service.url, service.url, "login", "logout")
    equal(lines, [*BEGUN, "logged out: lost null", "saved: nothing"])
    equal(sent(service)[1:], [("revoke", "r1")])


SCENARIOS = [
    a_failure, a_burst, a_saved_session, ahead_of_time, logout_in_order, logout_server_down, logout_offline,
    logout_token_expired, logout_token_refused, logout_killed, logout_twice, logout_and_login, logout_never_answered, logout_server_hangs,
]
# Name: the scenario that must fail, and the change: [[old]] in its context, and the new one.
MUTANTS = {
    "saves_after_use": (a_failure, "null) [[keep(answer.body, mine)]]", "give(answer.token!!); keep(answer.body, mine)"),
    "no_single_flight": (ahead_of_time, "session == null || [[flight != null]]) return", "false"),
    "sets_an_old_token": (a_failure, "sdk.set([[token]])", "spent.firstOrNull() ?: token"),
    "writes_no_mark": (logout_killed, 'save { [[put("leaving", true)]] }', "Unit"),
    "forgets_the_token_to_revoke": (logout_server_down, 'if ([[token != ""]]) put(', "false"),
    "login_does_not_wait": (logout_and_login, "[[leaving?.join()]]", "Unit"),
    "does_not_subscribe_again": (logout_and_login, "initialize()\n        [[subscribe()]]", "Unit"),
    "does_not_erase": (logout_never_answered, "if ([[isOut != true]]) sdk.erase()", "false"),
    "does_not_refresh_first": (logout_in_order, "var isFresh = [[!isStale(session)]] || renew", "true"),
}
# An app with an SDK before 43.0.0, as the guide says.
OLD_SDK = {"old_sdk": (logout_with_an_old_sdk, "val canLogOut = [[true]]", "false")}


def fails(app, scenario):
    try:
        scenario(app)
    except AssertionError:
        return True
    return False


def main(binary, kotlin, json_jar, folder):
    began = time.monotonic()
    class_path = compiled(kotlin, json_jar, folder)
    app = App(class_path, folder)
    Path(folder, "route.js").write_text(block("docs/backend.md", "js", "/v1/token/generate"))
    os.mkdir(f"{folder}/service", 0o700)
    with countersign(binary, f"{folder}/service") as (address, api_key, run):
        with Route(["node", "route.mjs", "express5", f"{folder}/route.js"], HERE / "express", address, api_key) as route:
            with_the_service(app, address, f"http://127.0.0.1:{route.port}/session/braze", run)
    cases = [(code, problem(code, status, 300 if retry == "milliseconds" else retry), status) for code, status, retry in problems()]
    cases += [(None, page(status), None) for status in (200, 404, 500, 502)]
    # Each of these has a service of its own, and most of them wait.
    with ThreadPoolExecutor(6) as pool:
        works = [pool.submit(with_an_answer, app, *case) for case in cases]
        works += [pool.submit(scenario, app) for scenario in [with_credentials, *SCENARIOS]]
        works += [pool.submit(scenario, App(class_path, folder, name)) for name, (scenario, *_) in OLD_SDK.items()]
        mutants = {name: pool.submit(fails, App(class_path, folder, name), scenario) for name, (scenario, *_) in MUTANTS.items()}
        for work in works:
            work.result()
        survivors = [name for name, work in mutants.items() if not work.result()]
    assert not survivors, f"no scenario fails: {survivors}"
    numbers = f"{len(cases)} other answers; {len(SCENARIOS) + 2} scenarios; {len(MUTANTS)} mutants fail"
    print(f"Kotlin: service up, down; {numbers}; {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
