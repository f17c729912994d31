"""Behind Debian's nginx: idle gaps around its keep-alive time, and rolling restarts of two nodes under load.

Usage: proxy.py BINARY FOLDER

1. IDLE POSTs open as many connections to the service, which then stay idle. As many POSTs reuse them 59 to 61 seconds
   later, while nginx (keepalive_timeout 60) closes its own. None is answered 502.
2. Meanwhile two nodes of one store are stopped and started ROUNDS times each, with POSTs on their way all the time.
   None fails.
"""

import asyncio
import collections
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time

IDLE = 500
GAPS = (59.0, 61.0)
ROUNDS = 10
CLIENTS = 4

BINARY, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])

CONFIG = """
[server]
shutdown_delay = "300ms"
trusted_proxies = ["127.0.0.1"]
[limits]
enabled = false
[custody]
max_wait = "60s"
[apps.web]
"""

NGINX = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_timeout 60;
  keepalive_requests 1000000;
  upstream one {{ server 127.0.0.1:{one}; keepalive 1000; keepalive_timeout 60s; }}
  # The connection to the service is made before the body is there: so many requests use as many connections.
  server {{ listen 127.0.0.1:{idle}; location / {{
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_pass http://one; proxy_request_buffering off;
  }} }}
  {guide}
}}
"""


def guide(one, other, listen):
    """The block of docs/deploy.md, with these ports in place of its addresses."""
    text = pathlib.Path("docs/deploy.md").read_text()
    block = text.split("```nginx\n", 1)[1].split("```", 1)[0]
    for address, here in (("192.0.2.10:8080", f"127.0.0.1:{one}"), ("192.0.2.10:8081", f"127.0.0.1:{other}")):
        assert address in block
        block = block.replace(address, here)
    return block.replace("server {", f"server {{\n    listen 127.0.0.1:{listen};", 1)


def free_ports(count):
    """Ports that no connection gets by itself: while a node restarts, one could get the node's."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = list(range(max(1024, lowest - 12000), lowest))
    random.shuffle(candidates)
    found = []
    while len(found) < count:
        port = candidates.pop()
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        found.append(port)
    return found


def command(*arguments):
    done = subprocess.run([BINARY, *arguments, "--json"], cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{arguments}: {done.stderr}")
    return json.loads(done.stdout)


class Node:
    """A process of the service, on the same port each time."""

    def __init__(self, port):
        self.port = port
        self.start()

    def start(self):
        arguments = [BINARY, "serve", "--json", "--listen", f"127.0.0.1:{self.port}", "--ops-listen", "127.0.0.1:0"]
        log = open(FOLDER / f"node-{self.port}.log", "ab")
        self.process = subprocess.Popen(arguments, cwd=FOLDER, stdout=subprocess.PIPE, stderr=log)
        if not self.process.stdout.readline():
            sys.exit(f"the service did not start: {FOLDER}/node-{self.port}.log")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=60)
        if status != 0:
            sys.exit(f"a node ended with {status}")


async def post_in_two_parts(port, may_finish, counts):
    """Sends the head, so that nginx connects, and the body once all may finish."""
    body = b'{"refresh_token":"x"}'
    head = (
        f"POST /v1/token/revoke HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body[:1])
    await writer.drain()
    await may_finish.wait()
    writer.write(body[1:])
    answer = await reader.read()
    writer.close()
    counts[answer[9:12].decode() or "nothing"] += 1


async def posts(port, spread, counts):
    """IDLE requests that begin within `spread` seconds and end together."""
    may_finish = asyncio.Event()
    sent = []
    begun = time.monotonic()
    for number in range(IDLE):
        await asyncio.sleep(max(0, begun + spread * number / IDLE - time.monotonic()))
        sent.append(asyncio.create_task(post_in_two_parts(port, may_finish, counts)))
    await asyncio.sleep(0.5)
    may_finish.set()
    await asyncio.gather(*sent)


async def idle_gaps(port):
    counts = collections.Counter()
    await posts(port, 2.0, counts)
    rested = time.monotonic()
    await asyncio.sleep(rested + GAPS[0] - time.monotonic())
    await posts(port, GAPS[1] - GAPS[0], counts)
    return counts


def load(port, api_key, stop, counts):
    """One client that mints all the time, on one connection to nginx."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {api_key}"}
    while not stop.is_set():
        try:
            connection.request("POST", "/v1/token/generate", json.dumps({"app": "web", "user_id": "u-1"}), headers)
            answer = connection.getresponse()
            answer.read()
            counts[str(answer.status)] += 1
        except (OSError, http.client.HTTPException) as why:
            counts[type(why).__name__] += 1
            connection.close()
        time.sleep(0.005)


def rolling(port, nodes, api_key):
    counts, stop = collections.Counter(), threading.Event()
    clients = [threading.Thread(target=load, args=(port, api_key, stop, counts)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    begun = time.monotonic()
    for _ in range(ROUNDS):
        for node in nodes:
            node.stop()
            node.start()
    took = time.monotonic() - begun
    stop.set()
    for client in clients:
        client.join()
    return counts, took


def main():
    command("init")
    (FOLDER / "countersign.toml").write_text(CONFIG)
    api_key = command("clients", "create", "backend", "--app", "web")["api_key"]
    one, other, third, idle_port, rolling_port = free_ports(5)
    # The node of the idle connections is not restarted.
    idle_node, nodes = Node(one), [Node(other), Node(third)]
    nginx_file = FOLDER / "nginx.conf"
    user = "user root;" if os.getuid() == 0 else ""
    blocks = guide(third, other, rolling_port)
    text = NGINX.format(user=user, folder=FOLDER, one=one, idle=idle_port, guide=blocks)
    nginx_file.write_text(text)
    nginx = subprocess.Popen(["nginx", "-p", str(FOLDER), "-c", str(nginx_file)])
    try:
        while socket.socket().connect_ex(("127.0.0.1", rolling_port)) != 0:
            if nginx.poll() is not None:
                sys.exit("nginx did not start")
            time.sleep(0.05)
        results = []
        restarts = threading.Thread(target=lambda: results.append(rolling(rolling_port, nodes, api_key)))
        restarts.start()
        gaps = asyncio.run(idle_gaps(idle_port))
        restarts.join()
    finally:
        nginx.terminate()
        for node in [idle_node, *nodes]:
            node.process.kill()
    print(f"{sum(gaps.values())} POSTs with idle gaps of {GAPS[0]:.0f} to {GAPS[1]:.0f} s: {dict(gaps)}")
    if not results:
        sys.exit("the rolling restart did not end")
    counts, took = results[0]
    print(f"{2 * ROUNDS} restarts in {took:.0f} s, {sum(counts.values())} POSTs: {dict(counts)}")
    if set(gaps) != {"200"} or set(counts) != {"200"}:
        log = FOLDER / "nginx.log"
        print(log.read_text()[-3000:])
        sys.exit(1)


main()
