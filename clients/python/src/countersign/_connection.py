"""HTTP connections that keep to a deadline, and a pool of them."""

from __future__ import annotations

import http.client
import io
import os
import queue
import selectors
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import SplitResult

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

IDLE = 30.0
"""Connections that are idle for longer are closed: the service closes them after 75 s, proxies often after 60 s."""
MOST_IDLE = 64
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


def remaining(deadline: float) -> float:
    """Returns the seconds until the deadline; never 0, which would mean a socket that does not block."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Reader(io.RawIOBase):
    """Reads a socket until a deadline. A time-out of the socket alone begins again with each byte."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        self._sock.settimeout(remaining(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class Connection(http.client.HTTPConnection):
    """A connection whose `deadline` holds for whatever it does."""

    def __init__(self, address: SplitResult, tls: ssl.SSLContext | None) -> None:
        super().__init__(address.hostname or "", address.port or (443 if tls else 80))
        self._tls = tls
        self.default_port = 443 if tls else 80
        self.deadline = 0.0
        self.connect_deadline = 0.0
        self.idle_since = 0.0

    def connect(self) -> None:
        error: OSError = TimeoutError()
        for family, kind, protocol, _, address in resolve(self.host, self.port, self.connect_deadline):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(remaining(self.connect_deadline))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sock = self._secured(sock) if self._tls else sock
                return
            except OSError as failed:
                sock.close()
                error = failed
        raise error

    def _secured(self, sock: socket.socket) -> ssl.SSLSocket:
        assert self._tls is not None
        secured = self._tls.wrap_socket(sock, server_hostname=self.host, do_handshake_on_connect=False)
        try:
            secured.settimeout(remaining(self.connect_deadline))
            secured.do_handshake()
        except BaseException:
            secured.close()
            raise
        return secured

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> http.client.HTTPResponse:
        self.sock.settimeout(remaining(self.deadline))
        self.request("POST", path, body, headers)
        return self.getresponse()

    def response_class(  # type: ignore[override]
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None
    ) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, debuglevel, method)
        response.fp.close()
        response.fp = io.BufferedReader(_Reader(sock, self.deadline))
        return response

    def usable(self) -> bool:
        """Tells whether the idle connection is still open: one that is readable was closed by the peer."""
        if self.sock is None or time.monotonic() - self.idle_since > IDLE:
            return False
        with _Selector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            return not selector.select(0)


def resolve(host: str, port: int, deadline: float) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    """Resolves in a thread of its own: the resolver of the system has no time-out that can be set."""
    found: queue.SimpleQueue[list[object] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except OSError as error:
            found.put(error)
        except UnicodeError:
            found.put(OSError("no host name"))

    threading.Thread(target=ask, daemon=True).start()
    try:
        addresses = found.get(timeout=remaining(deadline))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(addresses, OSError):
        raise addresses
    return addresses  # type: ignore[return-value]


class Pool:
    """Idle connections, for all threads of one process. A process that was forked begins with none."""

    def __init__(self, address: SplitResult, tls: ssl.SSLContext | None) -> None:
        self._address, self._tls = address, tls
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._process = os.getpid()

    def take(self) -> tuple[Connection, bool]:
        """Returns a connection, and whether it was used before."""
        if self._process != os.getpid():
            # The parent may have held the lock.
            self._lock, self._idle, self._process = threading.Lock(), [], os.getpid()
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return Connection(self._address, self._tls), False
            if connection.usable():
                return connection, True
            connection.close()

    def give_back(self, connection: Connection) -> None:
        connection.idle_since = time.monotonic()
        with self._lock:
            if len(self._idle) < MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
