"""A server on loopback that does wrong whatever a server can do wrong, as the cases say (clients/backends/cases.json)."""

import itertools
import json
import os
import select
import socket
import ssl
import struct
import subprocess
import threading
import time

HELD = 60  # seconds: longer than any time-out of the cases


def listener():
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    return sock


def port(sock):
    return sock.getsockname()[1]


def serve(sock, handle):
    """Handles each connection in a thread of its own."""

    def guarded(connection):
        try:
            handle(connection)
        except OSError:
            pass
        finally:
            connection.close()

    def accept():
        while True:
            connection, _ = sock.accept()
            threading.Thread(target=guarded, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


class Scripted:
    """Answers by the script whose name is the first part of the path: its answers in turn, the last one again and again."""

    def __init__(self):
        self.lock = threading.Lock()
        self.numbers = itertools.count()
        self.scripts, self.requests = {}, {}
        sock = listener()
        self.url = f"http://127.0.0.1:{port(sock)}"
        serve(sock, self.handle)

    def script(self, name, answers):
        self.scripts[name], self.requests[name] = list(answers), []
        return f"{self.url}/{name}"

    def handle(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = connection.makefile("rb")
        number = next(self.numbers)
        while line := reader.readline():
            headers = {}
            while (header := reader.readline().strip()):
                name, _, value = header.decode().partition(":")
                headers[name.lower()] = value.strip()
            body = reader.read(int(headers.get("content-length", 0)))
            _, name, path = line.decode().split(" ")[1].split("/", 2)
            with self.lock:
                self.requests[name].append(
                    {"path": f"/{path}", "headers": headers, "body": body, "at": time.monotonic(), "connection": number}
                )
                answers = self.scripts[name]
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
            secret = headers.get("authorization", "").removeprefix("Bearer ")
            if not respond(connection, answer, secret):
                return


def respond(connection, answer, secret):
    """Gives an answer of the cases. Returns whether the connection goes on."""
    kind = answer.get("do", "answer")
    if kind == "hang":
        held(connection)
        return False
    if kind == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    if kind == "close":
        return False
    data = whole(answer, secret)
    head, _, body = data.partition(b"\r\n\r\n")
    if kind == "drip":
        for byte in data[:-1]:
            time.sleep(0.05)
            connection.sendall(bytes([byte]))
        held(connection)
        return False
    if kind == "drip_body":
        connection.sendall(head + b"\r\n\r\n")
        for byte in body[:-1]:
            time.sleep(0.05)
            connection.sendall(bytes([byte]))
        held(connection)
        return False
    if kind == "cut":
        connection.sendall(data[:-10])
        return False
    connection.sendall(data)
    return kind != "close_after"


def whole(answer, secret):
    if "problem" in answer:
        document = {"type": "about:blank", "title": "t", "status": answer["status"], "request_id": "r", **answer["problem"]}
        body, mime = json.dumps(document), "application/problem+json"
    elif "json" in answer:
        body, mime = json.dumps(answer["json"]), "application/json"
    elif "bytes" in answer:
        body, mime = "x" * answer["bytes"], "application/json"
    else:
        body, mime = answer.get("text", ""), answer.get("type", "text/html")
    body = body.replace("SECRET", secret).encode()
    lines = [f"HTTP/1.1 {answer['status']} Said", f"Content-Type: {mime}", f"Content-Length: {len(body)}"]
    if answer["status"] == 204:
        lines.pop()
    lines += [f"{name}: {value}" for name, value in answer.get("headers", {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def held(connection):
    """Waits until the client goes away."""
    connection.settimeout(HELD)
    while connection.recv(4096):
        pass


class Full:
    """An address to which no connection comes about: its queue is full."""

    def __init__(self):
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(0)
        self.waiting = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port(self.sock)))
            self.waiting.append(one)
        self.url = f"http://127.0.0.1:{port(self.sock)}"


def certificate(folder):
    """Makes an authority and a certificate for localhost."""
    run = lambda *arguments: subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test", "-days", "2")
    run("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    with open(os.path.join(folder, "names"), "w", encoding="utf-8") as names:
        names.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", "names", "-out", "server.pem")
    return os.path.join(folder, "ca.pem")


def tls_proxy(folder, target):
    """Terminates TLS in front of a port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "server.pem"), os.path.join(folder, "server.key"))
    sock = listener()

    def handle(connection):
        with context.wrap_socket(connection, server_side=True) as secured, socket.create_connection(("127.0.0.1", target)) as to:
            pass_on(secured, to, 0, None)

    serve(sock, handle)
    return port(sock)


def slow_proxy(target, delay, size):
    """Passes bytes on: what the server says only after a delay, in parts of a size."""
    sock = listener()

    def handle(connection):
        with socket.create_connection(("127.0.0.1", target)) as to:
            pass_on(connection, to, delay, size)

    serve(sock, handle)
    return port(sock)


def pass_on(client, server, delay, size):
    ends = {client: server, server: client}
    while True:
        pending = [it for it in ends if isinstance(it, ssl.SSLSocket) and it.pending()]
        for source in pending or select.select(list(ends), [], [], HELD)[0] or [None]:
            data = source.recv(size if source is server and size else 65536) if source else b""
            if not data:
                return
            if source is server:
                time.sleep(delay)
            ends[source].sendall(data)


def silent():
    """Accepts, and says nothing."""
    sock = listener()
    serve(sock, held)
    return port(sock)


# Sockets that are bound and do not listen: as long as they are, no other process gets their ports.
HELD_PORTS = []


def nothing_listens():
    """Returns a port at which every connection is refused."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    HELD_PORTS.append(bound)
    return port(bound)


def hold_port_of(url):
    """Holds the port of a service that has ended. Where its last connections still hold it, that suffices for a minute."""
    bound = socket.socket()
    try:
        bound.bind(("127.0.0.1", int(url.rsplit(":", 1)[1])))
    except OSError:
        return
    HELD_PORTS.append(bound)
