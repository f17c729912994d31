from __future__ import annotations

import http.client
import time
from dataclasses import dataclass, field

from ._connection import Pool, remaining

LARGEST_ANSWER = 65_536
"""Answers are below 4 kB."""


@dataclass(frozen=True)
class Call:
    """A request that is sent as often as there are attempts."""

    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    request_id: str
    deadline: float
    connect_timeout: float


@dataclass(frozen=True)
class Response:
    status: int
    content_type: str
    retry_after: str
    text: bytes = field(repr=False)


def attempt(pool: Pool, call: Call) -> Response | str:
    """Sends once. Returns the code of the error where no answer came."""
    connection, used = pool.take()
    connection.deadline = call.deadline
    whole = False
    try:
        if not used:
            connection.connect_deadline = min(call.deadline, time.monotonic() + call.connect_timeout)
            try:
                connection.connect()
            except (OSError, ValueError):
                return "not_reached"
        try:
            remaining(call.deadline)
            answer = connection.post(call.path, call.body, call.headers)
            text = answer.read(LARGEST_ANSWER + 1)
            whole = answer.isclosed() and not answer.will_close
        except (OSError, http.client.HTTPException, ValueError):
            return "no_answer"
        if len(text) > LARGEST_ANSWER:
            text = b""
        elif answer.length:
            return "no_answer"
        headers = answer.headers
        return Response(answer.status, headers.get("Content-Type", ""), headers.get("Retry-After", ""), text)
    finally:
        if whole:
            pool.give_back(connection)
        else:
            connection.close()
