"""Dashboard and alerts, tested with faults that are caused on real nodes, which Debian's Prometheus scrapes.

Each query of the dashboard is run by `promtool query`, with the variables replaced, while the faults last: it must have a value
other than 0 for the node whose fault it is for, and none for the node without a fault. The series that were scraped are then
replayed by `promtool test rules`: exactly the alerts fire that each fault is for, and none for the node without one.

Three alarms have no cause outside the process (`panic`, `task`, `signature_faults`; tests/it and src/custody/batch test that they
are raised). Their counters are raised in the replay, in a copy of the series of the healthy node.

Usage: faults.py BINARY FOLDER LIBFAKETIME [SECONDS]    SECONDS: a healthy run of that length at the beginning
"""

import concurrent.futures
import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import panels
from nodes import Node, Postgres, environment, request, sandbox
from replay import Replay, names_in
from watching import Prometheus

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/rules.yml"
DASHBOARD = ROOT / "deploy/grafana/countersign.json"
DAY = 86400

# What fires for each node once its fault has lasted for 40 minutes; `None` is for alerts that are not of one node.
FIRED = {
    "healthy": set(),
    "evicting": set(),
    "outage": {"CountersignStore", "CountersignStoreOutage", "CountersignStoreOutageNearsLimit"},
    "disk": {"CountersignStore", "CountersignStoreOutage", "CountersignStoreOutageNearsLimit", "CountersignFewFiles"},
    "braze": {"CountersignDrift", "CountersignWebhookDropped"},
    "acts": {"CountersignReload", "CountersignAudit", "CountersignReuse"},
    "keyless": {"CountersignKey", "CountersignErrors"},
    "restored": {"CountersignStoreLostWrites"},
    "clock": {"CountersignClock", "CountersignErrors"},
    "busy": {"CountersignOverload", "CountersignErrors", "CountersignConnectionsRefused", "CountersignLogLinesLost"},
    "down": {"CountersignDown"},
    "raised": {"CountersignPanic", "CountersignTask", "CountersignSignatureFaults"},
    None: {"CountersignFailureReports", "CountersignKeyOld"},
}
# What goes on for as long as the fault does; all others are over 15 minutes after their event.
LASTING = {
    ("CountersignStore", "outage"), ("CountersignStoreOutage", "outage"), ("CountersignStoreOutageNearsLimit", "outage"),
    ("CountersignStore", "disk"), ("CountersignStoreOutage", "disk"), ("CountersignStoreOutageNearsLimit", "disk"),
    ("CountersignFewFiles", "disk"), ("CountersignDrift", "braze"), ("CountersignKey", "keyless"), ("CountersignAudit", "acts"),
    ("CountersignClock", "clock"), ("CountersignDown", "down"), ("CountersignKeyOld", None),
}


class Installation:
    """All nodes, and what is around them. `ends` gets what ends each of them, as soon as it has begun."""

    def __init__(self, binary, folder, faketime, ends):
        self.binary, self.folder, self.faketime = binary, folder, faketime
        self.postgres = Postgres(folder / "postgres")
        ends.callback(self.postgres.crash)
        local_braze, self.braze = sandbox(binary)
        ends.callback(local_braze.kill)
        self.small = folder / "disk"
        self.small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", self.small], check=True)
        ends.callback(subprocess.run, ["umount", "-l", self.small], check=True)
        self.connections = []
        self.nodes = {node.name: node for node in self.made()}
        for node in self.nodes.values():
            ends.callback(node.end)

    def made(self):
        """The nodes, which do not run yet. Each has what its fault needs."""
        def node(name, settings=None, **more):
            # A busy machine is no fault of a node, and an idle connection none of the test.
            patient = {
                "COUNTERSIGN_LIMITS__ENABLED": "false",
                "COUNTERSIGN_CUSTODY__MAX_WAIT": "10s",
                "COUNTERSIGN_SERVER__KEEP_ALIVE": "1h",
                "COUNTERSIGN_STORE__TIMEOUT": "30s",
            }
            return Node(self.binary, self.folder, name, settings={**patient, **(settings or {})}, **more)

        yield node("healthy")
        yield node("evicting", settings={"COUNTERSIGN_STORE__MAX_SESSIONS_PER_USER": "2"})
        yield node("outage", init=["--store-url", self.postgres.url])
        yield node("disk", files=256)
        app = self.braze["apps"][0]
        sections = {
            "apps.web": f'workspace = "main"\nbraze_app_id = "{app["app_id"]}"',
            "failures": "threshold = 1",
            "failures.webhook": 'url_file = "hook"\nsecret_file = "secret"\nallow_private_addresses = true',
        }
        more = f'''
[[apps.web.sign_in]]
kind = "oidc"
issuer = "{self.braze["issuer"]}"
audience = ["web"]
[braze.main]
rest_url = "{self.braze["url"]}"
api_key_file = "braze.key"
[rings.main.rotation]
check_every = "1s"
soak = "0s"
'''
        yield node("braze", sections=sections, more=more)
        yield node("acts")
        yield node("keyless")
        yield node("restored")
        self.offset = self.folder / "offset"
        self.set_clock(101 * DAY)
        faked = {"LD_PRELOAD": self.faketime, "FAKETIME_TIMESTAMP_FILE": str(self.offset), "FAKETIME_NO_CACHE": "1",
                 "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        yield node("clock", settings=faked)
        busy = {"COUNTERSIGN_CUSTODY__THREADS": "1", "COUNTERSIGN_CUSTODY__MAX_WAIT": "1ms",
                "COUNTERSIGN_SERVER__MAX_CONNECTIONS_PER_ADDRESS": "40"}
        yield node("busy", settings=busy, lines_lost=True)
        yield node("down")

    def set_clock(self, seconds):
        new = self.offset.with_suffix(".new")
        new.write_text(f"{seconds:+d}s\n")
        new.rename(self.offset)

    def start(self):
        for name, text in (("hook", "http://127.0.0.1:9/hook\n"), ("secret", "a secret that is long enough\n"),
                           ("braze.key", self.braze["rest_api_key"])):
            folder = self.folder / "braze"
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        # The key of this node is made in true time, 101 days before.
        clock = self.nodes["clock"]
        faked, clock.environment = clock.environment, environment(COUNTERSIGN_LIMITS__ENABLED="false")
        clock.set_up()
        clock.stop()
        clock.environment = faked
        clock.start()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(Node.set_up, [node for node in self.nodes.values() if node is not clock]))
        braze, app = self.nodes["braze"], self.braze["apps"][0]["name"]
        status, answer = request(f"{self.braze['url']}/sandbox/v1/apps/{app}/keys", {"public_key": braze.public_key})
        assert status in (200, 201), answer
        self.key_at_braze = answer
        for name, node in self.nodes.items():
            node.repeat(node.ordinary_traffic, 0.5)
        braze.repeat(self.sign_in_and_out, 0.5)

    def sign_in_and_out(self):
        """An exchange that is accepted, one that is refused, and a logout token that is."""
        node, (_, token) = self.nodes["braze"], request(self.braze["issuer"] + "/id-token?sub=somebody")
        for credential in (token, "no.such.token"):
            request(node.url + "/v1/token/exchange", {"app": "web"}, credential)
        request(node.url + "/v1/sign-out/backchannel/web", "logout_token=no.such.token", kind="application/x-www-form-urlencoded")


class Faults:
    """Causes every fault; each method returns what is true in Prometheus as soon as it is seen."""

    def __init__(self, installation):
        self.all, self.nodes = installation, installation.nodes
        node = self.nodes["restored"]
        self.kept_token = node.session("kept")
        node = self.nodes["acts"]
        self.reused = node.session("copied")
        newer = node.refresh(self.reused)[1]["refresh_token"]
        assert node.refresh(newer)[0] == 200
        self.reported = 0

    @staticmethod
    def alarm(node, kind):
        return f'countersign_alarms_total{{instance="{node}",kind="{kind}"}}'

    def store_is_away(self):
        self.all.postgres.crash()
        return ['countersign_store_outage_seconds{instance="outage"} > 6', 'countersign_revocation_staleness_seconds{instance="outage"} > 6',
                'countersign_degraded_answers_total{instance="outage"}']

    def disk_is_full(self):
        with open(self.all.small / "filler", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        return ['countersign_store_outage_seconds{instance="disk"} > 6', 'rate(countersign_degraded_answers_total{instance="disk"}[1m])']

    def files_run_out(self):
        address = self.nodes["disk"].url.removeprefix("http://").split(":")
        self.all.connections += [socket.create_connection((address[0], int(address[1]))) for _ in range(215)]
        for connection in self.all.connections:
            # A connection without a request would be closed after some seconds.
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return ['process_open_fds{instance="disk"} / process_max_fds{instance="disk"} > 0.8']

    def braze_rejects(self):
        """Braze has another key in place of ours: it refuses every token, and apps report it. A new key waits for Braze."""
        braze, node = self.all.braze, self.nodes["braze"]
        node.command("keys", "generate")
        keys = request(braze["url"] + "/sandbox/v1/state")[1]["apps"][0]["keys"]
        request(f"{braze['url']}/sandbox/v1/apps/web/keys/{keys[0]['id']}", method="DELETE")
        request(f"{braze['url']}/sandbox/v1/apps/web/keys", {"public_key": self.nodes["healthy"].public_key})
        node.repeat(self.report, 0.05)
        return ['countersign_braze_drift{instance="braze"}', self.alarm("braze", "drift"),
                'max(sum by (cause) (increase(countersign_reported_failures_total{instance="braze"}[15m]))) > 25',
                'increase(countersign_webhook_events_total{instance="braze",result="dropped"}[15m])']

    def report(self):
        """A failure as an app reports it; now and then of another code, which is another event."""
        node = self.nodes["braze"]
        self.reported += 1
        codes = (27, 27, 27, 27, 27, 27, 27, 20 + self.reported // 40 % 7)
        status, answer = node.mint(f"u-{self.reported}")
        if status == 200:
            failure = {"error_code": codes[self.reported % len(codes)], "reason": "refused"}
            request(node.url + "/v1/failures", {"refresh_token": answer["refresh_token"], "failure": failure})

    def acts_go_wrong(self, prometheus):
        """The audit log loses two records, a copied token comes back (which is one record), the only key is compromised."""
        node = self.nodes["acts"]
        # What is deleted must have been seen before: a new key is in a checkpoint within seconds.
        node.command("keys", "generate")
        store = sqlite3.connect(node.folder / "countersign.db", timeout=30)
        behind = "SELECT (SELECT size FROM audit_head) - coalesce(max(size), 0) FROM audit_checkpoints"
        prometheus.wait_for("a checkpoint of the new key", lambda: store.execute(behind).fetchone() == (0,), 300)
        store.executescript("DROP TRIGGER IF EXISTS audit_leaves_are_not_changed; DROP TRIGGER IF EXISTS audit_leaves_are_not_deleted; "
                            "DELETE FROM audit_leaves WHERE number > (SELECT max(number) FROM audit_leaves) - 2; "
                            "UPDATE audit_head SET size = size - 2")
        store.close()
        node.repeat(lambda: node.refresh(self.reused), 1)
        keyless = self.nodes["keyless"]
        [key] = keyless.command("keys", "list")
        keyless.command("keys", "compromise", key["kid"], "--yes")
        return [self.alarm("keyless", "key"), self.alarm("acts", "audit"), self.alarm("acts", "reuse")]

    def configuration_is_broken(self):
        node = self.nodes["acts"]
        with open(node.folder / "countersign.toml", "a") as file:
            file.write("\n[no_such_section]\n")
        node.service.send_signal(signal.SIGHUP)
        return [self.alarm("acts", "reload")]

    def old_store_is_put_back(self, prometheus):
        node = self.nodes["restored"]
        path = node.folder / "countersign.db"
        source, copy = sqlite3.connect(path, timeout=30), sqlite3.connect(node.folder / "copy")
        source.backup(copy)
        source.close()
        copy.close()
        token = self.kept_token
        for _ in range(3):
            token = node.refresh(token)[1]["refresh_token"]
        node.stop()
        for ending in ("-wal", "-shm"):
            Path(f"{path}{ending}").unlink(missing_ok=True)
        shutil.copyfile(node.folder / "copy", path)
        node.start()
        prometheus.scrape(self.nodes.values())
        node.repeat(lambda: node.refresh(token), 1)
        return [self.alarm("restored", "store_lost_writes")]

    def clock_is_set(self):
        self.all.set_clock(0)
        return [self.alarm("clock", "clock"), 'countersign_condition_failed{instance="clock",condition="clock"}']

    def load_is_too_high(self):
        node = self.nodes["busy"]
        for _ in range(10):
            node.repeat(lambda: node.mint("somebody"), 0.01)
        address = node.url.removeprefix("http://").split(":")

        def too_many():
            held = [socket.create_connection((address[0], int(address[1]))) for _ in range(60)]
            time.sleep(0.2)
            for connection in held:
                connection.close()

        node.repeat(too_many, 1)
        return [f'rate({metric}{{instance="busy"}}[1m])' for metric in
                ("countersign_shed_total", "countersign_connections_refused_total", "countersign_log_lines_dropped_total")]

    def node_is_killed(self):
        self.nodes["down"].service.kill()
        return ['up{instance="down"} == bool 0']

    def cause(self, prometheus):
        seen = [self.store_is_away(), self.disk_is_full(), self.files_run_out(), self.braze_rejects(), self.acts_go_wrong(prometheus),
                self.old_store_is_put_back(prometheus), self.clock_is_set(), self.load_is_too_high(), self.node_is_killed()]
        for expression in sum(seen, []):
            prometheus.wait_until(expression)
        for expression in self.configuration_is_broken():
            prometheus.wait_until(expression)


def shown_panels():
    """The panels that have queries; panels.py names each of them."""
    shown = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
    titles = [panel["title"] for panel in shown]
    known = [*panels.ORDINARY, *panels.FAULTS, *panels.OF_ALL, *panels.REPLAYED]
    assert sorted(titles) == sorted(known), set(titles) ^ set(known)
    return shown


def filled_in(query, node, seconds):
    """The query with the variables replaced as Grafana replaces them."""
    text = query["expr"]
    for name, value in (("$__rate_interval", f"{seconds}s"), ("$__range", f"{seconds}s"), ("$instance", node), ("$app", ".*"), ("$ring", ".*")):
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


def ask_every_panel(prometheus, since):
    """Runs each query for the node whose fault it is for, and those of faults for the healthy node, too."""
    nodes = {**panels.ORDINARY, **panels.FAULTS, **dict.fromkeys(panels.OF_ALL, ".*")}
    shown = [(panel["title"], query) for panel in shown_panels() for query in panel["targets"] if panel["title"] in nodes]

    def fault(title, query):
        """What is wrong with a query now; a scrape that a busy node did not answer in time is over at the next one."""
        def values(node):
            # Not a number is no value.
            found = prometheus.query(filled_in(query, node, int(time.time() - since) + 5))
            return [value for value in found if value == value]

        if not any(values(nodes[title])):
            return f"{title}: nothing, or 0, while its fault lasts: {query['expr']}"
        if title in panels.FAULTS and any(values("healthy")):
            return f"{title}: {values('healthy')} without its fault: {query['expr']}"
        return None

    found = [fault(*it) for it in shown]
    # Only what is wrong is asked again, for a time that begins now: a busy machine may have needed minutes.
    end = time.monotonic() + 120
    while any(found):
        assert time.monotonic() < end, "\n".join(filter(None, found))
        time.sleep(1)
        found = [again and fault(*it) for it, again in zip(shown, found)]
    print(f"{len(shown)} queries: each shows the fault or the traffic that it is for", flush=True)


def replayed_queries(end):
    """The queries of the panels that are asked in the replay, for the node whose counters rise there, and for the healthy one."""
    shown = [query for panel in shown_panels() if panel["title"] in panels.REPLAYED for query in panel["targets"]]
    return [filled_in(query, node, end) for query in shown for node in ("raised", "healthy")]


def raised(series, second):
    """The series of the healthy node once more, in which the alarms rise that nothing outside the process can cause."""
    for labels, values in series:
        if labels.get("instance") != "healthy":
            continue
        values = dict(values)
        if labels.get("kind") in ("panic", "task", "signature_faults"):
            values = {at: str(int(value) + (at >= second)) for at, value in values.items()}
        if labels["__name__"] == "countersign_signature_faults_total":
            values = {at: str(int(value) + 3 * (at >= second)) for at, value in values.items()}
        yield {**labels, "instance": "raised"}, values


def judge(fired, expected, what):
    assert fired == expected, f"{what}: missing {expected - fired}, too many {fired - expected}"
    print(f"{what}: {len(expected)} alerts, as expected")


def main(binary, folder, faketime, healthy_seconds=3):
    begun = time.monotonic()
    with contextlib.ExitStack() as ends:
        installation = Installation(binary, Path(folder), faketime, ends)
        prometheus = Prometheus(Path(folder) / "prometheus", RULES)
        ends.callback(prometheus.end)
        installation.start()
        prometheus.scrape(installation.nodes.values())
        prometheus.start()
        since = prometheus.wait_for_scrapes(len(installation.nodes))
        print(f"{time.monotonic() - begun:.0f} s: {len(installation.nodes)} nodes run", flush=True)
        faults = Faults(installation)
        # A node that has just started answers without its store only when others could read its first report; and a token
        # counts as a lost answer for 10 s.
        prometheus.wait_for("the healthy time", lambda: time.time() > since + max(12, healthy_seconds), healthy_seconds + 60)
        caused = time.time()
        faults.cause(prometheus)
        print(f"{time.monotonic() - begun:.0f} s: every fault is seen by Prometheus", flush=True)
        ask_every_panel(prometheus, since)
        names = [*names_in(RULES), "countersign_signature_faults_total"]
        # All but the one that was killed.
        series, length = prometheus.series(names, since, prometheus.wait_for_scrapes(len(installation.nodes) - 1))
    series += list(raised(series, int(caused - since)))
    # Kept for whoever wants to replay them.
    (Path(folder) / "series.json").write_text(json.dumps([series, length]))
    expected = {(alert, node) for node, alerts in FIRED.items() for alert in alerts}
    everything = Replay(RULES, series, length, Path(folder))
    ever, at_the_end, values = everything.judge(replayed_queries(everything.end))
    judge(ever, expected, "fired")
    judge(at_the_end, LASTING, "still fire after 40 minutes")
    assert [any(each) for each in values] == [True, False] * len(panels.REPLAYED), values
    alone = [(labels, values) for labels, values in series if labels.get("instance") in ("healthy", "evicting")]
    ever, _, _ = Replay(RULES, alone, length, Path(folder)).judge()
    judge(ever, set(), "fired without a fault")
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
