from __future__ import annotations

import json
import re
import ssl
import time
import uuid
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from urllib.parse import SplitResult, urlsplit

from ._answer import Answer, failure as failed, success
from ._attempt import Call, Response, attempt
from ._connection import Pool
from ._error import CountersignError
from ._session import Revocation, Session, parse_object, revocation

_LEAST_TIME_LEFT = 0.5
"""Time that a repetition is worth, in seconds."""
_LONGEST_WAIT = 86_400_000
_USER_AGENT = "countersign-python/0.1.0"
_MILLISECOND = timedelta(milliseconds=1)


class _Secret:
    """Text that no `repr` shows, nor `vars` of what has it."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value


class Countersign:
    """A Countersign server, for any number of threads; make one for the process."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        connect_timeout: timedelta = timedelta(seconds=2),
        timeout: timedelta = timedelta(seconds=5),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`connect_timeout` is the longest time until a connection stands, TLS included; `timeout` that of a call, a
        repetition included. `tls` is for a private authority."""
        address = _address(url)
        self._url, self._prefix = address.geturl(), address.path
        self._api_key = _Secret(_printable("api_key", api_key))
        self.connect_timeout = _positive("connect_timeout", connect_timeout)
        self.timeout = _positive("timeout", timeout)
        secure = address.scheme == "https"
        self._pool = Pool(address, (tls or ssl.create_default_context()) if secure else None)

    def generate(self, app: str, user_id: str, *, ttl: timedelta | None = None) -> Session:
        """Mints the first token of a user whom you have just logged in.

        `user_id` is the string that the app gives to `changeUser`; `ttl` a lifetime shorter than the app's.
        """
        body: dict[str, object] = {"app": _text("app", app), "user_id": _text("user_id", user_id)}
        if ttl is not None:
            body["ttl"] = _seconds("ttl", ttl)
        return self._session(self._request("/v1/token/generate", body, with_key=True))

    def refresh(
        self, refresh_token: str, *, user_id: str | None = None, failure: Mapping[str, object] | None = None
    ) -> Session:
        """Exchanges a refresh token for the next token.

        `user_id` is a guard: if the session is another user's, the error is `user_mismatch`, and nothing changes.
        `failure` is what the SDK reported, as it came.
        """
        body: dict[str, object] = {"refresh_token": _text("refresh_token", refresh_token)}
        if user_id is not None:
            body["user_id"] = _text("user_id", user_id)
        if failure is not None:
            body["failure"] = dict(failure)
        call = self._request("/v1/token/refresh", body)
        # Tools that report errors record the variables of each frame.
        del refresh_token, failure, body
        return self._session(call)

    def revoke(self, refresh_token: str) -> Revocation:
        """Ends a session, whether or not it is known."""
        call = self._request("/v1/token/revoke", {"refresh_token": _text("refresh_token", refresh_token)})
        del refresh_token
        answer = self._send(call)
        try:
            return revocation(parse_object(answer.text))
        except ValueError:
            raise CountersignError("not_understood", answer.status, None, call.request_id) from None

    def report_failure(self, refresh_token: str, failure: Mapping[str, object]) -> None:
        """Reports a failure for which no refresh is sent. `failure` is what the SDK reported, as it came."""
        body = {"refresh_token": _text("refresh_token", refresh_token), "failure": dict(failure)}
        call = self._request("/v1/failures", body)
        del refresh_token, failure, body
        self._send(call)

    def answer(self, app: str, user_id: str, *, ttl: timedelta | None = None) -> Answer:
        """`generate`, as the answer that a route gives to its app. Raises nothing."""
        try:
            return success(self.generate(app, user_id, ttl=ttl))
        except Exception as error:
            return failed(error)

    def close(self) -> None:
        """Closes idle connections."""
        self._pool.close()

    def __enter__(self) -> Countersign:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Countersign({getattr(self, '_url', None)})"

    def _request(self, path: str, body: Mapping[str, object], with_key: bool = False) -> Call:
        request_id = str(uuid.uuid4())
        headers = {"Content-Type": "application/json", "User-Agent": _USER_AGENT, "X-Request-Id": request_id}
        if with_key:
            headers["Authorization"] = f"Bearer {self._api_key.value}"
        text = json.dumps(body, allow_nan=False).encode()
        deadline = time.monotonic() + self.timeout.total_seconds()
        return Call(self._prefix + path, headers, text, request_id, deadline, self.connect_timeout.total_seconds())

    def _session(self, call: Call) -> Session:
        answer = self._send(call)
        try:
            return Session.parse(answer.text)
        except ValueError:
            raise CountersignError("not_understood", answer.status, None, call.request_id) from None

    def _send(self, call: Call) -> Response:
        """Sends, once again after a 503 if the wait fits, and returns a success."""
        repeated = False
        while True:
            answer = attempt(self._pool, call)
            if isinstance(answer, str):
                # Only an answer is repeated: after a time-out the session may exist.
                raise CountersignError(answer, None, None, call.request_id)
            if 200 <= answer.status < 300:
                return answer
            code, wait = _refusal(answer)
            fits = wait is not None and wait.total_seconds() + _LEAST_TIME_LEFT <= call.deadline - time.monotonic()
            if repeated or answer.status != 503 or wait is None or not fits:
                raise CountersignError(code, answer.status, wait, call.request_id)
            time.sleep(wait.total_seconds())
            repeated = True


def _refusal(answer: Response) -> tuple[str, timedelta | None]:
    """Returns code and wait of what is no success."""
    code, retry = None, None
    if re.match(r"application/problem\+json\b", answer.content_type, re.IGNORECASE):
        try:
            problem = parse_object(answer.text)
            code, retry = problem.get("code"), problem.get("retry")
        except ValueError:
            pass
    known = isinstance(code, str) and re.fullmatch(r"[a-z][a-z_]{0,39}", code)
    waits = []
    if known and isinstance(retry, (int, float)) and not isinstance(retry, bool) and retry >= 0:
        waits.append(min(retry, _LONGEST_WAIT))
    if re.fullmatch(r"[0-9]{1,9}", answer.retry_after):
        waits.append(min(int(answer.retry_after) * 1000, _LONGEST_WAIT))
    return str(code) if known else "not_understood", max(waits) * _MILLISECOND if waits else None


def _text(name: str, value: str) -> str:
    """A number is no user id: 007 and 7 would be one."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}: str(id) makes one")
    return value


def _seconds(name: str, value: timedelta) -> int:
    if not isinstance(value, timedelta):
        raise TypeError(f"{name} must be a timedelta")
    if value % timedelta(seconds=1):
        raise ValueError(f"{name} must have whole seconds")
    return value // timedelta(seconds=1)


def _positive(name: str, value: timedelta) -> timedelta:
    if not isinstance(value, timedelta):
        raise TypeError(f"{name} must be a timedelta")
    if value <= timedelta(0):
        raise ValueError(f"{name} must be above 0")
    return value


def _printable(name: str, value: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]+", _text(name, value)):
        raise ValueError(f"{name} is empty, or has a blank, a line break or a character outside of ASCII")
    return value


def _address(url: str) -> SplitResult:
    split = urlsplit(_text("url", url))
    try:
        has_port = split.port is not None or not split.netloc.endswith(":")
    except ValueError:
        has_port = False
    plain = re.fullmatch(r"[\x21-\x7e]+", url) and not (split.query or split.fragment or "@" in split.netloc)
    if split.scheme not in ("http", "https") or not split.hostname or not plain or not has_port:
        raise ValueError("url must be https://host[:port][/path], without credentials, query or fragment")
    return split._replace(path=split.path.rstrip("/"))
