"""What Kubernetes makes of a pod template, on one machine: network, volumes, variables, probes, an orderly end.

It follows the documented behaviour: service links of every Service of the namespace; projected files behind `..data` links;
`fsGroup` on volumes; endpoints that change some time after readiness does (PROPAGATION); `preStop`, SIGTERM, and SIGKILL after
the grace period. What it cannot show: the runtime's seccomp filter, network policies, memory limits, the scheduler.
"""

import ipaddress
import os
import re
import shlex
import subprocess
import threading
import time
from pathlib import Path

from container import BINARY_IN_IMAGE, ROOT, Container, Mount, status_of, wait_until
from network import attach, ip

# Time until each proxy of the cluster knows of a change, and sends no more connections to a pod.
PROPAGATION = 2.0


def image_environment():
    """The variables that the image sets."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "deploy/Containerfile").read_text().split("\nFROM ")[-1])
    [words] = re.findall(r"^ENV (.*)$", text, re.MULTILINE)
    return dict(word.split("=", 1) for word in shlex.split(words))


def service_links(services):
    """The variables that each pod gets for each Service that has an address
    (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables)."""
    links = {}
    for number, service in enumerate(services, start=10):
        if service["spec"].get("clusterIP") == "None":
            continue
        name, host = service["metadata"]["name"].upper().replace("-", "_"), f"10.96.0.{number}"
        ports = service["spec"]["ports"]
        links[f"{name}_SERVICE_HOST"] = host
        links[f"{name}_SERVICE_PORT"] = str(ports[0]["port"])
        links[f"{name}_PORT"] = f"tcp://{host}:{ports[0]['port']}"
        for port in ports:
            links[f"{name}_SERVICE_PORT_{port['name'].upper()}"] = str(port["port"])
            of_port = f"{name}_PORT_{port['port']}_TCP"
            links |= {of_port: f"tcp://{host}:{port['port']}", f"{of_port}_PROTO": "tcp"}
            links |= {f"{of_port}_PORT": str(port["port"]), f"{of_port}_ADDR": host}
    return links


class Cluster:
    """Objects of one overlay, rendered, and the pods that run."""

    def __init__(self, folder, root, documents, secret, settings=None):
        self.folder, self.root, self.secret = folder, root, secret
        self.maps = {it["metadata"]["name"]: it["data"] for it in documents if it["kind"] == "ConfigMap"}
        for name, data in self.maps.items():
            if "-settings-" in name:
                data.update(settings or {})
        self.services = [it for it in documents if it["kind"] == "Service"]
        self.claims = {}
        self.endpoints = []
        self.made = 0

    def pod(self, template, name):
        self.made += 1
        return Pod(self, template, f"{name}-{self.made}")

    def claim(self, name):
        """The folder of a volume, which outlives its pods."""
        if name not in self.claims:
            self.claims[name] = self._folder(f"claim-{name}", 0o2775)
        return self.claims[name]

    def _folder(self, name, mode):
        folder = self.folder / name
        folder.mkdir(parents=True)
        return owned(folder, mode)

    def empty_folder(self, pod, name):
        return self._folder(f"{pod}-{name}", 0o2777)

    def projected(self, pod, volume):
        """A projected volume as the kubelet writes it: the files in a folder of a time, `..data` to it, links to that."""
        folder = self._folder(f"{pod}-{volume['name']}", 0o3777)
        files = {}
        for source in volume["projected"]["sources"]:
            files |= self.maps[source["configMap"]["name"]] if "configMap" in source else self.secret
        write_projected(folder, files, volume["projected"]["defaultMode"], "..2026_11_27_00_00_00.1")
        return folder


def owned(path, mode, group=65532):
    os.chown(path, 0, group, follow_symlinks=False)
    os.chmod(path, mode)
    return path


def write_projected(folder, files, mode, version):
    """Writes a version of the files, and puts it in the place of the one before in one step."""
    data = folder / version
    data.mkdir()
    for name, text in files.items():
        (data / name).write_text(text)
        owned(data / name, mode)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    owned(data, 0o2755)
    (folder / "..data_tmp").symlink_to(version)
    os.rename(folder / "..data_tmp", folder / "..data")


class Pod:
    """One pod of one container."""

    def __init__(self, cluster, template, name):
        self.cluster, self.name, self.spec = cluster, name, template["spec"]
        [self.container] = self.spec["containers"]
        self.address = str(ipaddress.ip_address("10.244.0.10") + cluster.made)
        self.log = cluster.folder / f"{name}.log"
        self.network = attach(self.address)
        context = self.spec["securityContext"]
        assert context["fsGroup"] == 65532
        self.inside = Container(
            cluster.root, self._environment(), context["runAsUser"], context["runAsGroup"], (context["fsGroup"],),
            folder="/var/lib/countersign", mounts=list(self._mounts()), network=self.network,
        )
        self.process = None

    def _environment(self):
        variables = {"PATH": "/usr/local/bin", "HOSTNAME": self.name, "HOME": "/"} | image_environment()
        variables |= service_links(self.cluster.services)
        for source in self.container.get("envFrom", []):
            variables |= self.cluster.maps[source["configMapRef"]["name"]]
        return variables | {it["name"]: it["value"] for it in self.container.get("env", [])}

    def _mounts(self):
        volumes = {volume["name"]: volume for volume in self.spec["volumes"]}
        for it in self.container["volumeMounts"]:
            volume = volumes[it["name"]]
            if "projected" in volume:
                source = self.cluster.projected(self.name, volume)
            elif "emptyDir" in volume:
                source = self.cluster.empty_folder(self.name, it["name"])
            else:
                source = self.cluster.claim(volume["persistentVolumeClaim"]["claimName"])
            yield Mount(source, it["mountPath"], it.get("readOnly", False) or "projected" in volume)

    def arguments(self):
        return [BINARY_IN_IMAGE, *self.container["args"]]

    def execute(self, *arguments, check=True):
        """Runs a command as `kubectl exec` does."""
        return self.inside.run([BINARY_IN_IMAGE, *arguments], check)

    def run(self):
        """Runs the pod of a job to its end. Returns its log."""
        output = self.inside.run(self.arguments())[1]
        ip("netns", "delete", self.network)
        return output

    def start(self):
        with open(self.log, "wb") as log:
            self.process = self.inside.command(self.arguments(), stdout=log, stderr=log)

    def probe(self, name):
        """Asks a probe once, by the pod's address."""
        asked = self.container[f"{name}Probe"]["httpGet"]
        [port] = [it["containerPort"] for it in self.container["ports"] if it["name"] == asked["port"]]
        return status_of(f"http://{self.address}:{port}{asked['path']}") == 200

    def serve(self):
        """Starts the pod, and waits until the cluster sends connections to it."""
        self.start()
        for probe in ("startup", "readiness"):
            wait_until(lambda probe=probe: self.probe(probe) or self._ended(), f"{self.name}: {probe} succeeds")
        wait_until(lambda: self.probe("liveness"), f"{self.name}: liveness succeeds")
        time.sleep(PROPAGATION)
        self.cluster.endpoints.append(self.address)

    def _ended(self):
        assert self.process.poll() is None, f"{self.name} ended with {self.process.poll()}:\n{self.log.read_text()[-3000:]}"
        return False

    def stop(self):
        """Ends the pod as the kubelet does, while the cluster learns of it."""
        begun = time.monotonic()
        gone = threading.Timer(PROPAGATION, lambda: self.cluster.endpoints.remove(self.address))
        gone.start()
        time.sleep(self.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0))
        self.process.terminate()
        try:
            left = self.spec["terminationGracePeriodSeconds"] - (time.monotonic() - begun)
            code = self.process.wait(timeout=max(left, 0))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"{self.name} did not end in its grace period") from None
        gone.join()
        assert code == 0, f"{self.name} ended with {code}:\n{self.log.read_text()[-3000:]}"
        ip("netns", "delete", self.network)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
