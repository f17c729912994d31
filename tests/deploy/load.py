"""Load on a service: clients that mint all the time, and refresh."""

import collections
import http.client
import json
import select
import threading
import time

CLIENTS = 4


class Load:
    """Clients of which half keep their connection, and half make a new one for each request, to the host that `host` returns.
    A client that keeps its connection makes a new one where it was closed meanwhile, as HTTP clients do."""

    def __init__(self, host, api_key, refreshes=True):
        self.refreshes = refreshes
        self.host, self.headers = host, {"Content-Type": "application/json", "Authorization": f"Bearer {api_key}"}
        self.counts, self.stop = collections.Counter(), threading.Event()
        self.threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def assert_all_answered(self):
        expected = {"/v1/token/generate 200", "/v1/token/refresh 200"} if self.refreshes else {"/v1/token/generate 200"}
        assert set(self.counts) == expected, self.counts

    def _client(self, number):
        connection, token = None, None
        while not self.stop.is_set():
            if connection and select.select([connection.sock], [], [], 0)[0]:
                connection.close()
                connection = None
            connection = connection or http.client.HTTPConnection(self.host(), 8080, timeout=120)
            path, body = "/v1/token/refresh", {"refresh_token": token}
            if token is None:
                path, body = "/v1/token/generate", {"app": "web", "user_id": f"u-{number}"}
            try:
                connection.request("POST", path, json.dumps(body), self.headers)
                answer = connection.getresponse()
                text = answer.read()
                self.counts[f"{path} {answer.status}"] += 1
                # Every tenth request begins another session.
                token = json.loads(text).get("refresh_token") if self.refreshes and self.counts.total() % 10 else None
                gone = answer.will_close or number % 2
            except (OSError, http.client.HTTPException) as why:
                self.counts[f"{path} {type(why).__name__} {connection.host}"] += 1
                gone = True
            if gone:
                connection.close()
                connection = None
            time.sleep(0.01)
