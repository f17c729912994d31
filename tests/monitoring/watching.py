"""Debian's Prometheus, which scrapes the nodes, and promtool."""

import contextlib
import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path


class Prometheus:
    def __init__(self, folder, rules):
        self.folder = Path(folder)
        self.folder.mkdir()
        self.process = None
        self.targets = self.folder / "targets.json"
        configuration = {
            "global": {"scrape_interval": "4s", "scrape_timeout": "4s", "evaluation_interval": "2s"},
            "rule_files": [str(rules)],
            "scrape_configs": [{
                "job_name": "countersign",
                "file_sd_configs": [{"files": [str(self.targets)], "refresh_interval": "1s"}],
            }],
        }
        # JSON is YAML.
        (self.folder / "prometheus.yml").write_text(json.dumps(configuration))

    def scrape(self, nodes):
        """Names what is scraped from now on."""
        listed = [{"targets": [node.ops.removeprefix("http://")], "labels": {"instance": node.name}} for node in nodes]
        new = self.targets.with_suffix(".new")
        new.write_text(json.dumps(listed))
        new.rename(self.targets)

    def start(self):
        arguments = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"]
        log = open(self.folder / "log", "w+")
        self.process = subprocess.Popen(arguments, cwd=self.folder, stderr=log, stdout=log)
        self.url = self.wait_for("its port", self.port)
        self.wait_for("its answers", self.is_ready)

    def port(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        found = re.search(r'msg="Listening on" address=(\S+)', (self.folder / "log").read_text())
        return found and f"http://{found[1]}"

    def is_ready(self):
        with contextlib.suppress(urllib.error.HTTPError):
            return urllib.request.urlopen(f"{self.url}/-/ready").status == 200

    def end(self):
        if self.process:
            self.process.terminate()
            self.process.wait()

    def get(self, path, **parameters):
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}") as response:
            return json.load(response)["data"]["result"]

    def value(self, expression):
        """The sum of the values of an expression now."""
        return sum(float(it["value"][1]) for it in self.get("query", query=expression))

    def wait_for(self, what, reached, limit=60):
        end = time.monotonic() + limit
        while True:
            found = reached()
            if found:
                return found
            assert time.monotonic() < end, f"{limit} s passed, and not yet: {what}"
            time.sleep(0.2)

    def wait_until(self, expression, limit=300):
        """Waits until an expression has a value above 0: some seconds, or minutes where the machine has other work."""
        self.wait_for(expression, lambda: self.value(expression) > 0, limit)

    def wait_for_scrapes(self, number, limit=300):
        """Waits until the last scrape of so many nodes was answered, and returns the time."""
        def answered():
            now = time.time()
            found = self.get("query", query="up", time=now)
            return now if sum(float(it["value"][1]) for it in found) == number else None

        return self.wait_for(f"a scrape of {number} nodes", answered, limit)

    def query(self, expression):
        """Runs a query by `promtool query`; returns the values that it prints."""
        done = subprocess.run(["promtool", "query", "instant", self.url, expression], capture_output=True, text=True)
        assert done.returncode == 0, (expression, done.stderr)
        return [float(value) for value in re.findall(r" => (\S+) @\[", done.stdout)]

    def series(self, names, since, until):
        """All values of these metrics, one a second: a list of (labels with the name, {second: value}), and the seconds."""
        found = self.get("query_range", query=f'{{__name__=~"{"|".join(names)}"}}', start=since, end=until, step=1)
        return [(it["metric"], {round(at - since): value for at, value in it["values"]}) for it in found], int(until - since) + 1
