"""Renders deploy/kubernetes, and checks the result: schemas of the oldest and newest supported Kubernetes, the operator's CRD,
the policy "restricted" of Pod Security Standards, and that what refers to a thing finds it.

Usage: manifests.py KUBECTL (with the Python of a venv that has kubernetes-validate)
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
OVERLAYS = ["overlays/postgres", "overlays/postgres/init", "overlays/single", "overlays/single/init"]
# preStop's `sleep` came with 1.30.
VERSIONS = ["1.30.0", "1.37.0"]
# Kinds that are no part of Kubernetes, and the schemas of their CRDs.
CRDS = {"ServiceMonitor": ROOT / "tests/deploy/servicemonitor.json"}


def render(kubectl, overlay):
    done = subprocess.run([kubectl, "kustomize", KUBERNETES / overlay], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, f"{overlay}: {done.stderr}"
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def name_of(document):
    return f"{document['kind']} {document['metadata']['name']}"


def closed(schema):
    """The schema of a CRD, which refuses properties that it does not name, as the API server's strict validation does."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: closed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and schema["properties"]:
        result.setdefault("additionalProperties", False)
    return result


def validate_schemas(documents):
    """Fails on every error, and on every kind that has no schema."""
    validator = Path(sys.executable).parent / "kubernetes-validate"
    for version in VERSIONS:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump_all([it for it in documents if it["kind"] not in CRDS], file)
            file.flush()
            done = subprocess.run([validator, "--strict", "-k", version, file.name], capture_output=True, text=True)
            said = done.stdout + done.stderr
            assert done.returncode == 0 and "WARN" not in said and "ERROR" not in said, f"{version}:\n{said}"
    for document in documents:
        if document["kind"] in CRDS:
            schema = closed(json.loads(CRDS[document["kind"]].read_text()))
            # The metadata are Kubernetes' own; a CRD says nothing of them.
            schema["properties"]["metadata"] = {"type": "object"}
            jsonschema.validate(document, schema)


def templates(documents):
    return [it["spec"]["template"] for it in documents if it["kind"] in ("Deployment", "Job")]


def assert_restricted(pod):
    """The policy "restricted" (https://kubernetes.io/docs/concepts/security/pod-security-standards/), and a root that nobody
    writes to."""
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True and context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == 65532
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        assert not pod.get(name), name
    allowed = {"projected", "emptyDir", "persistentVolumeClaim"}
    for volume in pod["volumes"]:
        assert set(volume) - {"name"} <= allowed, volume
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"] and container["resources"]["requests"]
        # Secrets are files: a process shows its environment to whoever may debug it.
        assert all("valueFrom" not in variable for variable in container.get("env", []))


def assert_references(documents):
    """Each name that a template, a Service or an autoscaler refers to is there."""
    named = {(it["kind"], it["metadata"]["name"]) for it in documents}
    for template in templates(documents):
        pod = template["spec"]
        for container in pod["containers"]:
            for source in container.get("envFrom", []):
                assert ("ConfigMap", source["configMapRef"]["name"]) in named, source
            volumes = {volume["name"] for volume in pod["volumes"]}
            assert {it["name"] for it in container["volumeMounts"]} == volumes
        for volume in pod["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in named
            for source in volume.get("projected", {}).get("sources", []):
                # The Secret is made by hand: docs/kubernetes.md.
                assert "secret" in source or ("ConfigMap", source["configMap"]["name"]) in named, source
        if "serviceAccountName" in pod:
            assert ("ServiceAccount", pod["serviceAccountName"]) in named
    servers = [it["spec"]["template"] for it in documents if it["kind"] == "Deployment"]
    ports = {port["name"] for it in servers for container in it["spec"]["containers"] for port in container["ports"]}
    labels = {pair for it in servers for pair in it["metadata"]["labels"].items()}
    for it in documents:
        if it["kind"] == "Service":
            assert {port["targetPort"] for port in it["spec"]["ports"]} <= ports, name_of(it)
            assert set(it["spec"]["selector"].items()) <= labels, name_of(it)
        if it["kind"] == "PodDisruptionBudget":
            assert set(it["spec"]["selector"]["matchLabels"].items()) <= labels
        if it["kind"] == "HorizontalPodAutoscaler":
            assert ("Deployment", it["spec"]["scaleTargetRef"]["name"]) in named
        if it["kind"] == "ServiceMonitor":
            [service] = [
                other for other in documents if other["kind"] == "Service"
                and it["spec"]["selector"]["matchLabels"].items() <= other["metadata"]["labels"].items()
            ]
            assert {end["port"] for end in it["spec"]["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}


def only(documents, kind):
    [found] = [it for it in documents if it["kind"] == kind]
    return found


def assert_probes(documents):
    """Only readiness asks for the store, and a pod has the time that it needs to end."""
    pod = only(documents, "Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}, paths
    files = [it for it in documents if it["kind"] == "ConfigMap" and "countersign.toml" in it["data"]]
    server = tomllib.loads(files[0]["data"]["countersign.toml"]).get("server", {})
    assert "drain" not in server and "shutdown_delay" not in server, "reckon with them here"
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause >= 5 and pod["terminationGracePeriodSeconds"] >= pause + 20 + 5, "drain is 20 s by default"


def assert_shape(rendered):
    postgres, single = rendered["overlays/postgres"], rendered["overlays/single"]
    budget, scaler = only(postgres, "PodDisruptionBudget"), only(postgres, "HorizontalPodAutoscaler")
    assert budget["spec"]["maxUnavailable"] == 1 and scaler["spec"]["minReplicas"] >= 2
    assert "replicas" not in only(postgres, "Deployment")["spec"], "an apply would undo what the autoscaler did"
    assert only(postgres, "Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    alone = only(single, "Deployment")["spec"]
    assert alone["replicas"] == 1 and alone["strategy"] == {"type": "Recreate"}
    assert not {"HorizontalPodAutoscaler", "PodDisruptionBudget"} & {it["kind"] for it in single}
    for name, documents in rendered.items():
        services = {it["metadata"]["name"] for it in documents if it["kind"] == "Service"}
        assert name.endswith("/init") or services == {"countersign", "countersign-metrics"}, services
        assert {it["metadata"]["namespace"] for it in documents} == {"countersign"}, name
        assert not [it for it in documents if it["kind"] == "Secret"], "secrets are in no manifest"
    # Nodes and job have the same settings, by the same name; and the same image.
    for overlay in ("overlays/postgres", "overlays/single"):
        of = [{name_of(it): it["data"] for it in rendered[which] if "-settings-" in it["metadata"]["name"]}
              for which in (overlay, f"{overlay}/init")]
        assert of[0] == of[1] != {}, overlay
        images = {container["image"] for which in (overlay, f"{overlay}/init") for it in templates(rendered[which])
                  for container in it["spec"]["containers"]}
        assert len(images) == 1, images


def main():
    rendered = {overlay: render(sys.argv[1], overlay) for overlay in OVERLAYS}
    for overlay, documents in rendered.items():
        validate_schemas(documents)
        assert_references(documents)
        for template in templates(documents):
            assert_restricted(template["spec"])
        if not overlay.endswith("/init"):
            assert_probes(documents)
    assert_shape(rendered)
    print(f"manifests: {sum(map(len, rendered.values()))} objects of {len(OVERLAYS)} overlays, Kubernetes {' and '.join(VERSIONS)}")


if __name__ == "__main__":
    main()
