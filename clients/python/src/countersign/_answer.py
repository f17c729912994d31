from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from ._error import CountersignError
from ._session import Session

_DEFAULT_WAIT = timedelta(seconds=5)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a route to its app."""

    status: int
    """200, 409, 502 or 503."""
    headers: dict[str, str]
    body: dict[str, Any] = field(repr=False)
    """For the app alone: with the status 200 it has the tokens."""
    error: Exception | None
    """For your log; `None` where all is well."""


def success(session: Session) -> Answer:
    return Answer(200, _headers(), session.for_app(), None)


def failure(error: Exception) -> Answer:
    """Maps our own 401 and 403 to 502: an app would take them for its user's, and log the user out."""
    if not isinstance(error, CountersignError):
        return _problem(502, "bad_gateway", None, error)
    if error.code == "opted_out":
        return _problem(409, "opted_out", None, error)
    if error.retry_after is None and error.status is not None and error.status < 500:
        return _problem(502, "bad_gateway", None, error)
    wait = _DEFAULT_WAIT if error.retry_after is None else error.retry_after
    return _problem(503, "unavailable", wait, error)


def _problem(status: int, code: str, wait: timedelta | None, error: Exception) -> Answer:
    retry = "never" if wait is None else wait // _MILLISECOND
    return Answer(status, _headers(wait), {"status": status, "code": code, "retry": retry}, error)


def _headers(wait: timedelta | None = None) -> dict[str, str]:
    headers = {"Cache-Control": "no-store", "Content-Type": "application/json"}
    if wait is not None:
        headers["Retry-After"] = str(-(-wait // timedelta(seconds=1)))
    return headers
