"""Commands of the program beside a live service."""

import json
import subprocess

# An end is on record, and a live node did not say within 3 s that it knows it: the machine is busy.
PENDING = 5


def command(binary, *arguments, folder):
    """Returns the answer of a command that must succeed. What it ends may be pending."""
    done = subprocess.run(
        [binary, *arguments, "--json"], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    answer = json.loads(done.stdout or "null")
    expected = PENDING if isinstance(answer, dict) and "pending" in answer else 0
    assert done.returncode == expected, (arguments, done.returncode, done.stdout, done.stderr)
    return answer
