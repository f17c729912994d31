"""Runs deploy/kubernetes on this machine (cluster.py): the job `init`, nodes on PostgreSQL, a token from each, a rolling restart
ROUNDS times under load without a failure; then the overlay `single` on a volume.

Usage: unshare --mount --net python3 pods.py PROGRAM FOLDER KUBECTL ROUNDS
"""

import json
import os
import random
import sys
import time
import urllib.request
from pathlib import Path

from cluster import Cluster, write_projected
from container import api_key_in, assert_confined, lay_out, mint, takes, wait_until
from load import Load
from manifests import only, render
from network import make_network, postgres

PROGRAM, FOLDER, KUBECTL, ROUNDS = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
NODE = "10.244.0.1"
# A machine with other work may be slow: a request that waits is no failure here.
PATIENT = {"COUNTERSIGN_CUSTODY__MAX_WAIT": "60s"}
PASSWORD = "a password of PostgreSQL"


def initialise(cluster, documents):
    """The job makes the tables and the first key; repeated, it finds them."""
    template = only(documents, "Job")["spec"]["template"]
    logs = [cluster.pod(template, "init").run() for _ in range(2)]
    keys = [log.split("-----BEGIN PUBLIC KEY-----")[1].split("-----END")[0] for log in logs]
    assert keys[0] == keys[1], logs


def rolling(cluster, template, pods):
    """One rolling restart with maxSurge 1 and maxUnavailable 0."""
    replaced = []
    for old in pods:
        new = cluster.pod(template, "countersign")
        new.serve()
        old.stop()
        replaced.append(new)
    return replaced


def several(folder, root):
    """The overlay `postgres`."""
    secret = {"sealing.secret": f"1:{os.urandom(32).hex()}\n", "postgres.password": f"{PASSWORD}\n"}
    documents, job = render(KUBECTL, "overlays/postgres"), render(KUBECTL, "overlays/postgres/init")
    [given] = [it["data"] for it in job if it["kind"] == "ConfigMap"]
    # The name of the database's machine is an example's; TLS to it is tested by tests/it/postgres_connect.rs.
    url = given["COUNTERSIGN_STORE__URL"].replace("postgres.example.com", NODE) + "?sslmode=disable"
    settings = PATIENT | {"COUNTERSIGN_STORE__URL": url}
    with postgres(folder / "postgres", NODE, PASSWORD):
        # The cluster has the objects of both overlays, and the Services of the first.
        cluster = Cluster(folder, root, [*documents, *job], secret, settings)
        initialise(cluster, job)
        template = only(documents, "Deployment")["spec"]["template"]
        pods = []
        try:
            for _ in range(only(documents, "HorizontalPodAutoscaler")["spec"]["minReplicas"]):
                pods.append(cluster.pod(template, "countersign"))
                pods[-1].serve()
            assert {"COUNTERSIGN_PORT", "COUNTERSIGN_METRICS_PORT"} <= set(pods[0].inside.environment)
            api_key = api_key_in(pods[0].execute("clients", "create", "backend", "--app", "web")[1])
            for pod in pods:
                assert_confined(pod.process, 65532)
                wait_until(lambda pod=pod: takes(f"http://{pod.address}:8080", api_key), "the API key is known")
            code, doctor = pods[0].execute("doctor", check=False)
            assert code in (0, 3), doctor
            change_secret(cluster, pods[0], secret)
            begun = time.monotonic()
            # No refreshes: only one of the nodes has read the changed secret.
            with Load(lambda: random.choice(cluster.endpoints), api_key, refreshes=False) as load:
                for _ in range(ROUNDS):
                    pods = rolling(cluster, template, pods)
            print(f"postgres: {2 * ROUNDS} pods replaced in {time.monotonic() - begun:.0f} s, answers {dict(load.counts)}")
            load.assert_all_answered()
            pods[0].stop()
            return
        finally:
            for pod in pods:
                pod.kill()


def change_secret(cluster, pod, secret):
    """A secret that changes is read at SIGHUP: the kubelet replaces the target of `..data`."""
    more = secret | {"sealing.secret": secret["sealing.secret"] + f"2:{os.urandom(32).hex()}\n"}
    [volume] = [it.source for it in pod.inside.mounts if it.target == "/etc/countersign"]
    configuration = {name: text for data in cluster.maps.values() for name, text in data.items() if name.endswith(".toml")}
    write_projected(volume, configuration | more, 0o440, "..2026_11_27_00_00_00.2")
    pod.process.send_signal(1)
    wait_until(lambda: "reload" in pod.log.read_text(), "the reload is logged")
    lines = [line for line in pod.log.read_text().splitlines() if "reload" in line]
    assert not [line for line in lines if '"level":"ERROR"' in line], lines
    cluster.secret = more


def refresh(address, answer):
    body = json.dumps({"refresh_token": json.loads(answer)["refresh_token"]}).encode()
    request = urllib.request.Request(f"{address}/v1/token/refresh", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as refreshed:
        assert refreshed.status == 200


def single(folder, root):
    """The overlay `single`: one pod ends, then the next one begins, on the same volume."""
    secret = {"sealing.secret": f"1:{os.urandom(32).hex()}\n"}
    documents, job = render(KUBECTL, "overlays/single"), render(KUBECTL, "overlays/single/init")
    cluster = Cluster(folder, root, [*documents, *job], secret, PATIENT)
    initialise(cluster, job)
    template = only(documents, "Deployment")["spec"]["template"]
    pod = cluster.pod(template, "countersign")
    try:
        pod.serve()
        assert_confined(pod.process, 65532)
        api_key = api_key_in(pod.execute("clients", "create", "backend", "--app", "web")[1])
        wait_until(lambda: takes(f"http://{pod.address}:8080", api_key), "the API key is known")
        answer = mint(f"http://{pod.address}:8080", api_key)
        pod.stop()
        pod = cluster.pod(template, "countersign")
        pod.serve()
        refresh(f"http://{pod.address}:8080", answer)
        pod.stop()
    finally:
        pod.kill()
    print("single: init, a token, a refresh after a restart on the same volume")


def main():
    make_network(NODE)
    root = FOLDER / "root"
    lay_out(PROGRAM, root)
    (root / "var/lib/countersign").mkdir(parents=True)
    single(FOLDER / "single", root)
    several(FOLDER / "several", root)


main()
