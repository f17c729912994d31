"""Fenced blocks of the documents."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document):
    """Returns (language, text) of each block of a document, in order."""
    return FENCE.findall((ROOT / document).read_text(encoding="utf-8"))


def block(document, language, words=""):
    """Returns the text of the only block of a language that has these words."""
    [text] = [text for its, text in blocks(document) if its == language and words in text]
    return text


def problems(document="docs/backend.md"):
    """Returns (code, status, retry) of each row of the table of errors."""
    for row in re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \|", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE):
        codes, statuses, retry = row
        for code in re.findall(r"`(\w+)`", codes):
            for status in re.findall(r"\d{3}", statuses):
                yield code, int(status), retry.strip("`")
