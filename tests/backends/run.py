"""Runs the shared cases of the back-end libraries (clients/backends/cases.json) in Node, Python and Java: against the
real service, and against a server that does what is wrong. Then it changes each library, and sees the cases fail.

Usage: run.py BINARY FOLDER    (FOLDER: empty, for this run)
"""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import server
from server import Scripted, certificate, nothing_listens, silent, slow_proxy, tls_proxy

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/documents")]
from blocks import problems  # noqa: E402
from command import command  # noqa: E402

CLIENTS = ROOT / "clients"
LANGUAGES = ["node", "python", "java"]
API_KEY = "csk_an-api-key-of-the-test"


class TooSlow(AssertionError):
    """A limit of a time was exceeded, which a busy machine may be the reason of: the case is run again."""


class Service:
    """The real service, which can be stopped and ended."""

    def __init__(self, binary, folder):
        # Absolute: it runs in another folder.
        self.folder, self.binary = folder, os.path.realpath(binary)
        os.mkdir(folder, 0o700)
        self.run("init")
        self.api_key = self.run("clients", "create", "backend", "--app", "web")["api_key"]
        self.run("users", "opt-out", "opted-out")
        # 600 logins at once are refused by default: the limits and the queue are not what is tested here.
        more = {"COUNTERSIGN_LIMITS__ENABLED": "false", "COUNTERSIGN_CUSTODY__MAX_WAIT": "20s"}
        arguments = [self.binary, "serve", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]
        self.log = open(os.path.join(folder, "service.log"), "wb")
        self.process = subprocess.Popen(
            arguments, cwd=folder, env={**os.environ, **more}, stdout=subprocess.PIPE, stderr=self.log
        )
        self.url = json.loads(self.process.stdout.readline())["url"]

    def run(self, *arguments):
        return command(self.binary, *arguments, folder=self.folder)

    @contextlib.contextmanager
    def stopped(self):
        self.process.send_signal(signal.SIGSTOP)
        # Until it has stopped, it answers.
        os.waitpid(self.process.pid, os.WUNTRACED)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            server.hold_port_of(self.url)


class Driver:
    """A process that uses one of the libraries."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lock = threading.Lock()
        self.waiting = {}
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            self.waiting.pop(answer["id"]).set_result(answer["results"])
        for lost in list(self.waiting.values()):
            lost.set_exception(AssertionError("the driver ended"))

    def call(self, step):
        result = Future()
        with self.lock:
            number = str(len(self.waiting)) + "-" + os.urandom(8).hex()
            self.waiting[number] = result
            self.process.stdin.write(json.dumps({"id": number, **step}) + "\n")
            self.process.stdin.flush()
        try:
            return result.result(timeout=120)
        except TimeoutError:
            raise AssertionError(f"the driver says nothing to {step['call']}") from None

    def end(self):
        self.process.kill()
        self.process.wait()


class Addresses:
    """The servers that cases name."""

    def __init__(self, service, folder):
        self.scripted = Scripted()
        self.service = service
        os.mkdir(folder)
        self.ca = certificate(folder)
        self.full = server.Full()
        real = tls_proxy(folder, int(service.url.rsplit(":", 1)[1]))
        self.named = {
            "real": service.url,
            "real_stopped": service.url,
            "real_down": service.url,
            "real_tls": f"https://localhost:{real}",
            "delayed_tls": f"https://localhost:{slow_proxy(real, 0.1, None)}",
            "slow_tls": f"https://localhost:{slow_proxy(real, 0.1, 1)}",
            "untrusted_tls": f"https://localhost:{real}",
            "silent_tls": f"https://localhost:{silent()}",
            "nothing": f"http://127.0.0.1:{nothing_listens()}",
            "full": self.full.url,
        }

    def of(self, case, script):
        """Returns the options of the case's client."""
        options = dict(case.get("client", {}))
        slash = options.pop("slash", False)
        if isinstance(case["server"], list):
            found = {"url": self.scripted.script(script, case["server"]) + ("/" if slash else ""), "api_key": API_KEY}
        else:
            found = {"url": self.named[case["server"]], "api_key": self.service.api_key}
            if case["server"].endswith("_tls") and case["server"] != "untrusted_tls":
                found["ca"] = self.ca
        return {**found, **options}


def matches(expected, actual):
    """Tells whether the actual value has what is expected; an object may have more members, a number may have limits."""
    if isinstance(expected, dict) and set(expected) == {"from", "to"}:
        return expected["from"] <= actual <= expected["to"]
    if isinstance(expected, dict):
        has = isinstance(actual, dict) and set(expected) <= set(actual)
        return has and all(matches(it, actual[name]) for name, it in expected.items())
    return expected == actual and isinstance(expected, bool) == isinstance(actual, bool)


def filled(value, saved):
    """Replaces $name and $name.member."""
    if isinstance(value, dict):
        return {name: filled(it, saved) for name, it in value.items()}
    if isinstance(value, list):
        return [filled(it, saved) for it in value]
    if isinstance(value, str) and value.startswith("$"):
        name, _, member = value[1:].partition(".")
        return saved[name][member] if member else saved[name]
    return value


def subject(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"]


def secrets(options, args, result):
    """Returns what nothing may show."""
    found = [options.get("api_key"), args.get("refresh_token")]
    ok = result.get("ok")
    for body in [ok, ok.get("body") if isinstance(ok, dict) else None, json_or_none(args.get("json"))]:
        if isinstance(body, dict):
            found += [body.get("token"), body.get("refresh_token")]
    return [it for it in found if isinstance(it, str) and len(it) > 8] + ["csk_secret"]


def json_or_none(text):
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return None


def check(step, args, options, result, took):
    expect = dict(step["expect"])
    slowest, quickest = expect.pop("less_than", None), expect.pop("at_least", 0)
    if expect.get("refused") == "*":
        assert "refused" in result, result
    else:
        assert matches(expect, result), f"expected {expect}, not {({k: v for k, v in result.items() if k != 'shown'})}"
    for secret in secrets(options, args, result):
        for text in result["shown"]:
            assert secret.strip() not in text, f"{secret.strip()} is in {text}"
    if "subject" in step:
        assert subject(result["ok"]["token"]) == step["subject"]
    assert took >= quickest, f"took {took:.2f} s, not {quickest}"
    if slowest and took > slowest:
        raise TooSlow(f"took {took:.1f} s, and {slowest} are the limit")


def run_case(case, driver, addresses, script):
    options = addresses.of(case, script)
    saved = {"user": f"user-{script}"}
    for step in case["steps"]:
        step = {**step, **{name: filled(step[name], saved) for name in ["args", "subject"] if name in step}}
        time.sleep(step.get("pause", 0))
        sent = {"call": step["call"], "args": step.get("args", {}), "parallel": step.get("parallel", 1)}
        if step["call"] != "times":
            sent["client"] = options
        begun = time.monotonic()
        results = driver.call(sent)
        took = time.monotonic() - begun
        for result in results:
            check(step, sent["args"], options, result, took)
        if case["server"] == "real" and "parallel" in step:
            assert len({it["ok"]["token"] for it in results}) == step["parallel"]
        if "save" in step:
            saved[step["save"]] = results[0]["ok"]
    if isinstance(case["server"], list):
        check_requests(case, addresses.scripted.requests[script], saved, options)


def check_requests(case, requests, saved, options):
    if "requests" in case:
        assert len(requests) == case["requests"], f"{len(requests)} requests, not {case['requests']}"
    if "connections" in case:
        assert len({it["connection"] for it in requests}) == case["connections"]
    if "gap_at_least" in case:
        gap = requests[1]["at"] - requests[0]["at"]
        assert gap >= case["gap_at_least"], f"repeated after {gap:.2f} s"
    for sent, request in zip(case.get("sent", []), requests, strict=False):
        authorization = f"Bearer {options['api_key']}" if sent["authorized"] else None
        assert request["path"] == sent["path"], request["path"]
        assert json.loads(request["body"]) == filled(sent["body"], saved), request["body"]
        headers = request["headers"]
        assert headers.get("authorization") == authorization
        assert headers["content-type"] == "application/json" and headers["user-agent"].startswith("countersign-")


def attempts(case, language, driver, addresses):
    """Runs a case, again where only the machine was too slow. Returns the reason why it fails, or nothing."""
    for _ in range(3):
        script = f"{language}-{os.urandom(6).hex()}"
        try:
            run_case(case, driver, addresses, script)
            return None
        except TooSlow as error:
            failed = str(error)
        except AssertionError as error:
            failed = str(error)
            # Short time-outs may be too short for a busy machine.
            if not case.get("again"):
                break
    return failed


def run_cases(cases, drivers, addresses):
    """Runs all cases in all languages at the same time. Returns what failed."""
    jobs = [(case, language) for case in cases for language in case.get("languages", LANGUAGES) if language in drivers]
    with ThreadPoolExecutor(max(1, len(jobs))) as pool:
        failures = list(pool.map(lambda job: attempts(*job, drivers[job[1]], addresses), jobs))
    return [f"{language}: {case['name']}: {why}" for (case, language), why in zip(jobs, failures, strict=True) if why]


def of_problems(problems_of_cases):
    """Returns a case for each code and status of the guide's table."""
    for it in problems_of_cases:
        answer = {"status": it["status"], "problem": {"code": it["code"], "retry": it["retry"]}}
        wait = it["retry"] if isinstance(it["retry"], int) else None
        given = {409: "opted_out", 502: "bad_gateway", 503: "unavailable"}[it["answer"]]
        body = {"status": it["answer"], "code": given, "retry": wait or "never"}
        args = {"app": "web", "user_id": "$user"}
        error = {"code": it["code"], "status": it["status"], "retry_after": wait}
        yield {
            "name": f"{it['code']} {it['status']}",
            "server": [answer],
            "client": {"connect_timeout": 20000, "timeout": 30000},
            "requests": 2,
            "steps": [
                {"call": "generate", "args": args, "expect": {"error": error}},
                {"call": "answer", "args": args, "expect": {"ok": {"status": it["answer"], "body": body}}},
            ],
        }


def command_of(language, source, folder):
    """Builds a library from its source. Returns the command of its driver."""
    if language == "node":
        os.symlink(CLIENTS / "node/node_modules", source / "node_modules")
        subprocess.run([CLIENTS / "node/node_modules/.bin/tsc", "-p", source], check=True)
        return ["node", HERE / "node/driver.mjs", source / "dist/index.mjs"]
    if language == "python":
        return [sys.executable, "-B", HERE / "python/driver.py", source / "src"]
    files = list((source / "src/main/java/countersign").glob("*.java"))
    compile_java(folder, *files, HERE / "java/Driver.java")
    return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", folder, "countersign.Driver"]


def compile_java(to, *files, more=()):
    subprocess.run(["javac", "-Xlint:all", "-Werror", "--release", "11", "-d", to, *more, *files], check=True)


def driver_of(language, folder, changes=()):
    """Starts the driver of a copy of a library that has these changes."""
    source = folder / "source"
    shutil.copytree(CLIENTS / language, source, ignore=shutil.ignore_patterns("node_modules", "dist"))
    for change in changes:
        path = source / change["file"]
        text = path.read_text(encoding="utf-8")
        assert text.count(change["from"]) == 1, f"{path} has not once: {change['from']}"
        path.write_text(text.replace(change["from"], change["to"]), encoding="utf-8")
    os.mkdir(folder / "built")
    return Driver([str(word) for word in command_of(language, source, folder / "built")])


def mutated(mutation, cases, addresses, folder):
    """Returns which cases do not find out a changed library."""
    language = mutation["language"]
    driver = driver_of(language, folder, mutation["changes"])
    try:
        missed = []
        for name, because in mutation["cases"].items():
            [case] = [case for case in cases if case["name"] == name]
            for _ in range(3):
                why = attempts(case, language, driver, addresses) or ""
                if because in why:
                    break
            else:
                missed.append(f"{language}: {mutation['name']}: not found by: {name}: {why}")
        print(f"{language}: {mutation['name']}: {'NOT FOUND' if missed else 'found'}")
        return missed
    finally:
        driver.end()


def main(binary, folder):
    folder = Path(folder)
    shared = json.loads((CLIENTS / "backends/cases.json").read_text(encoding="utf-8"))
    mutations = json.loads((HERE / "mutations.json").read_text(encoding="utf-8"))
    retry = lambda it: "milliseconds" if isinstance(it["retry"], int) else it["retry"]
    listed = {(it["code"], it["status"], retry(it)) for it in shared["problems"]}
    assert listed == set(problems()), "the cases have other problems than docs/backend.md"
    cases = shared["cases"] + list(of_problems(shared["problems"]))
    assert len({case["name"] for case in cases}) == len(cases)
    service = Service(binary, folder / "service")
    drivers, failed = {}, []
    try:
        addresses = Addresses(service, folder / "tls")
        for language in LANGUAGES:
            os.mkdir(folder / language)
            drivers[language] = driver_of(language, folder / language)
        late = ("real_stopped", "real_down")
        common = [case for case in cases if case["server"] not in late and not case.get("alone")]
        begun = time.monotonic()
        failed += run_cases(common, drivers, addresses)
        print(f"{len(common)} cases: {time.monotonic() - begun:.1f} s")
        for case in [case for case in cases if case.get("alone")]:
            for language in case.get("languages", LANGUAGES):
                failed += run_cases([case], {language: drivers[language]}, addresses)
        begun = time.monotonic()
        for number, mutation in enumerate(mutations):
            os.mkdir(folder / f"mutant{number}")
            failed += mutated(mutation, cases, addresses, folder / f"mutant{number}")
        print(f"{len(mutations)} mutants: {time.monotonic() - begun:.1f} s")
        with service.stopped():
            failed += run_cases([case for case in cases if case["server"] == "real_stopped"], drivers, addresses)
        service.end()
        failed += run_cases([case for case in cases if case["server"] == "real_down"], drivers, addresses)
    finally:
        for driver in drivers.values():
            driver.end()
        service.end()
    print("\n".join(failed) or f"{len(cases)} cases in {', '.join(LANGUAGES)}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main(*sys.argv[1:])
