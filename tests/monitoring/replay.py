"""Saved series, replayed in virtual time by `promtool test rules`.

Before the first scrape everything is taken to have been as it was then for 20 minutes, and after the last one to stay as it is
for 40 minutes: counters rise no more, and what counts the seconds of an outage goes on counting. So alerts that wait, or that
look back, are tested with what real faults do, in a second or two.
"""

import json
import re
import subprocess

BEFORE, AFTER, EVALUATION = 20 * 60, 40 * 60, 15
COUNT_SECONDS = ("countersign_store_outage_seconds", "countersign_revocation_staleness_seconds")


def names_in(rules):
    """The metrics that the rules use."""
    found = set(re.findall(r"\b(?:countersign|process)_[a-z_]+\b|\bup\b", rules.read_text()))
    return sorted(found)


def selector(labels):
    inner = ",".join(f'{name}="{value}"' for name, value in labels.items() if name != "__name__")
    return f"{labels['__name__']}{{{inner}}}"


def notation(labels, values, length):
    """The values in promtool's notation; `_` where there is none."""
    def held(value, count, slope=0):
        return f"_x{count}" if value is None else f"{value}+{slope}x{count - 1}"

    parts = [held(values.get(0), BEFORE)]
    parts += [values.get(second, "_") for second in range(length)]
    last = values.get(length - 1)
    counts = labels["__name__"] in COUNT_SECONDS and last and float(last) > 5
    parts.append(held(last, AFTER, 1 if counts else 0))
    return " ".join(parts)


class Replay:
    """Series in virtual time, and the rules that judge them."""

    def __init__(self, rules, series, length, folder):
        self.rules, self.folder = rules, folder
        self.end = BEFORE + length + AFTER - 60
        self.series = [{"series": selector(labels), "values": notation(labels, values, length)} for labels, values in series]

    def ask(self, expressions):
        """The values of each expression at the end: its lines as promtool prints them, (labels, value)."""
        # A wrong expectation: promtool prints what it got instead.
        wrong = [{"labels": "nothing", "value": -1}]
        test = {
            "rule_files": [str(self.rules)],
            "evaluation_interval": f"{EVALUATION}s",
            "tests": [{
                "interval": "1s",
                "input_series": self.series,
                "promql_expr_test": [{"expr": it, "eval_time": f"{self.end}s", "exp_samples": wrong} for it in expressions],
            }],
        }
        path = self.folder / "replay.yml"
        path.write_text(json.dumps(test))
        done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True)
        got = re.findall(r"got:(.*)", done.stdout + done.stderr)
        assert len(got) == len(expressions), done.stdout + done.stderr
        # Samples are `{labels} value`; without labels there are no braces.
        return [re.findall(r"(?:\{([^}]*)\} )?(-?[0-9][0-9.E+-]*)", line) for line in got]

    def judge(self, more=()):
        """The alerts that fired at any time, and those that fire at the end, each as (alert, instance or None); and the values of
        more expressions."""
        firing = 'ALERTS{alertstate="firing"}'
        ever = f"count by (alertname, instance) (max_over_time({firing}[{self.end}s]))"
        fired, fires, *others = self.ask([ever, f"count by (alertname, instance) ({firing})", *more])
        return alerts(fired), alerts(fires), [[float(value) for _, value in lines] for lines in others]


def alerts(lines):
    found = [dict(re.findall(r'(\w+)="([^"]*)"', labels)) for labels, _ in lines]
    return {(labels["alertname"], labels.get("instance")) for labels in found if labels}
