"""Makes the calls that it is told on stdin, one JSON object a line, all at the same time: driver.py SOURCE_FOLDER.
Prints one line for each result."""

import json
import os
import ssl
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

sys.path.insert(0, sys.argv[1])
from countersign import Answer, Countersign, CountersignError, Revocation, Session  # noqa: E402

CLIENTS = {}
LOCK = threading.Lock()
MILLISECOND = timedelta(milliseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def client_of(url, api_key, connect_timeout=None, timeout=None, ca=None):
    key = (url, api_key, connect_timeout, timeout, ca)
    options = {"tls": ssl.create_default_context(cafile=ca)} if ca else {}
    if connect_timeout:
        options["connect_timeout"] = connect_timeout * MILLISECOND
    if timeout:
        options["timeout"] = timeout * MILLISECOND
    with LOCK:
        if key not in CLIENTS:
            CLIENTS[key] = Countersign(url, api_key, **options)
        return CLIENTS[key]


def shown(value):
    """Returns every way in which a log or a debugger may show a value."""
    texts = [repr(value), str(value), f"{value}", json.dumps(value, default=repr), repr(getattr(value, "__dict__", ""))]
    if isinstance(value, BaseException):
        texts += traceback.format_exception(value)
    if isinstance(value, CountersignError):
        # What tools that report errors record: the variables of our frames.
        frames = [frame for frame, _ in traceback.walk_tb(value.__traceback__) if "/countersign/_" in frame.f_code.co_filename]
        texts += [repr(frame.f_locals) for frame in frames]
        texts += [repr(value.args), repr(value.__cause__), repr(value.__context__) if not value.__suppress_context__ else ""]
    return texts


def generate(client, app, user_id, ttl=None):
    return client.generate(app, user_id, ttl=ttl and timedelta(seconds=ttl))


def answer(client, app, user_id, ttl=None):
    return client.answer(app, user_id, ttl=ttl and timedelta(seconds=ttl))


def forked(client, app, user_id):
    """A login before a fork, one in the child, and one after it."""
    client.generate(app, user_id)
    child = os.fork()
    if child == 0:
        os._exit(0 if client.generate(app, user_id).token else 1)
    assert os.waitpid(child, 0)[1] == 0
    return client.generate(app, user_id)


def defaults(client):
    return {"connect_timeout": client.connect_timeout // MILLISECOND, "timeout": client.timeout // MILLISECOND}


CALLS = {
    "generate": generate,
    "refresh": Countersign.refresh,
    "revoke": Countersign.revoke,
    "report_failure": Countersign.report_failure,
    "answer": answer,
    "defaults": defaults,
    "forked": forked,
}


def times(json, now, raw=False):
    session = Session.parse(json)
    time = now if raw else EPOCH + now * MILLISECOND
    expires = session.refresh_expires
    return {
        "refreshable": session.is_refreshable(time),
        "due": session.is_due_for_refresh(time),
        "token_expires": (session.token_expires - EPOCH) // MILLISECOND,
        "refresh_expires": expires and (expires - EPOCH) // MILLISECOND,
    }


def plain(value):
    if isinstance(value, Session):
        return value.for_app()
    if isinstance(value, Answer):
        return {"status": value.status, "headers": value.headers, "body": value.body, "error": value.error and str(value.error)}
    if isinstance(value, Revocation):
        until = value.pending_until and (value.pending_until - EPOCH) // MILLISECOND
        return {"status": value.status, "pending_nodes": value.pending_nodes, "pending_until": until}
    return value


def result(call, client=None, args=None):
    made = None
    try:
        made = client and client_of(**client)
        value = times(**args) if call == "times" else CALLS[call](made, **(args or {}))
        return {"ok": plain(value), "shown": shown(made) + shown(value) + shown(getattr(value, "error", None))}
    except CountersignError as error:
        wait = error.retry_after and error.retry_after / MILLISECOND
        known = {"code": error.code, "status": error.status, "retry_after": wait, "request_id": error.request_id}
        return {"error": known, "shown": shown(made) + shown(error)}
    except Exception as error:
        return {"refused": type(error).__name__, "shown": shown(made) + shown(error)}


def run(step):
    number, parallel = step.pop("id"), step.pop("parallel", 1)
    with ThreadPoolExecutor(parallel) as pool:
        results = list(pool.map(lambda _: result(**step), range(parallel)))
    with LOCK:
        print(json.dumps({"id": number, "results": results}), flush=True)


for line in sys.stdin:
    threading.Thread(target=run, args=(json.loads(line),)).start()
