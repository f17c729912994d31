from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Session:
    """A token and what it takes to get the next one.

    `repr`, `str` and `json.dumps` show none of the tokens: `for_app()` is what to send to the app. Times are by the
    server's clock.
    """

    __slots__ = ("_body", "_refresh_expires", "_refresh_from", "_server_time", "_token_expires")

    def __init__(self, body: dict[str, Any]) -> None:
        """Raises `ValueError`, which quotes nothing, for what is no answer with a token."""
        if not _is_session(body):
            raise ValueError("this is no answer with a token")
        self._body = dict(body)
        self._token_expires = _time(body["token_expires"])
        self._server_time = _time(body["server_time"])
        refreshing = "refresh_token" in body
        self._refresh_from = _time(body["refresh_from"]) if refreshing else None
        self._refresh_expires = _time(body["refresh_expires"]) if refreshing else None

    @classmethod
    def parse(cls, text: str | bytes) -> Session:
        """Reads an answer of the server, e.g. one that was stored."""
        return cls(parse_object(text))

    @property
    def token(self) -> str:
        """The JWT for Braze's SDK."""
        return str(self._body["token"])

    @property
    def token_expires(self) -> datetime:
        return self._token_expires

    @property
    def refresh_token(self) -> str | None:
        """`None` where the app's policy has no refreshing."""
        token: str | None = self._body.get("refresh_token")
        return token

    @property
    def refresh_from(self) -> datetime | None:
        return self._refresh_from

    @property
    def refresh_expires(self) -> datetime | None:
        return self._refresh_expires

    @property
    def server_time(self) -> datetime:
        """The time of the answer."""
        return self._server_time

    @property
    def degraded(self) -> bool:
        """The server answered without its store: the token lives at most 15 minutes."""
        return self._body.get("degraded") is True

    def is_refreshable(self, now: datetime | None = None) -> bool:
        """Tells whether there is a refresh token that is not past its life. `now` has a time zone."""
        time = _aware(now)
        return self._refresh_expires is not None and time <= self._refresh_expires

    def is_due_for_refresh(self, now: datetime | None = None) -> bool:
        """Tells whether it is time to refresh, or the token has expired. `now` has a time zone."""
        time = _aware(now)
        return time > self._token_expires or (self._refresh_from is not None and time > self._refresh_from)

    def for_app(self) -> dict[str, Any]:
        """Returns the server's answer, tokens included: the JSON to send to the app."""
        return dict(self._body)

    def __repr__(self) -> str:
        expires = getattr(self, "_token_expires", None)  # None while `__init__` runs, which debuggers may show
        refreshable = "refreshable" if getattr(self, "_refresh_expires", None) else "not refreshable"
        return f"Session(token expires {expires}, {refreshable})"


@dataclass(frozen=True)
class Revocation:
    """The end of a session."""

    status: str
    """`success`, or `pending`: the end is on record and is not undone, but some nodes may not know it yet."""
    pending_nodes: int | None
    pending_until: datetime | None


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Returns the object that the text is. Raises `ValueError`, which quotes nothing of it."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError("this is no JSON object")
    return value


def revocation(body: dict[str, Any]) -> Revocation:
    status, nodes, until = body.get("status"), body.get("pending_nodes"), body.get("pending_until")
    if status not in ("success", "pending"):
        raise ValueError("this is no answer to a revocation")
    time = _time(until) if isinstance(until, int) and _is_count(until) else None
    return Revocation(status, nodes if _is_count(nodes) else None, time)


def _refuse(_: str) -> Any:
    raise ValueError


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= 2**53


def _is_session(body: dict[str, Any]) -> bool:
    texts, times = ["token"], ["token_expires", "server_time"]
    if "refresh_token" in body:
        texts.append("refresh_token")
        times += ["refresh_from", "refresh_expires"]
    is_text = all(isinstance(body.get(name), str) and body[name] for name in texts)
    return is_text and all(_is_count(body.get(name)) for name in times)


def _time(milliseconds: int) -> datetime:
    """Returns the time of Unix milliseconds, exactly: division by 1000 would round."""
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=timezone.utc)


def _aware(now: datetime | None) -> datetime:
    if now is None:
        return datetime.now(timezone.utc)
    if not isinstance(now, datetime):
        raise TypeError("now must be a datetime: a number would leave open whether it has seconds or milliseconds")
    if now.tzinfo is None:
        raise ValueError("now must have a time zone: datetime.now(timezone.utc)")
    return now
