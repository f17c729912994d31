"""Follows the commands of docs/deploy.md for containers as a new user would, as root. The namespaces that tests/run.sh starts it in
keep its mounts and ports to itself.

No container engine runs here: the image's command is started on a read-only root folder, as the image's user.

Usage: unshare --mount --net --propagation private python3 deploy.py BINARY
"""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from blocks import ROOT, blocks

GUIDE = "docs/deploy.md"


def commands(word):
    """Returns the commands of the console block that contains a word, without comments."""
    [text] = [text for language, text in blocks(GUIDE) if language == "console" and word in text]
    return [line.removeprefix("$ ") for line in text.replace("\\\n", " ").splitlines() if line.startswith("$ ")]


def values(text, name):
    """Returns the values of a directive of a unit (`Name=`) or of a container file (`NAME `)."""
    return re.findall(rf"^{name}(.*)$", re.sub(r"\\\n\s*", " ", text), re.MULTILINE)


def bash(script, **options):
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], text=True, stdout=subprocess.PIPE, **options)
    assert done.returncode == 0, f"exit code {done.returncode}:\n{script}\n{done.stdout}"
    return done.stdout


@contextlib.contextmanager
def running(script, api_key, **options):
    """Runs a service, which must answer with a token, and end in order."""
    service = subprocess.Popen(["bash", "-c", script], **options)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen("http://127.0.0.1:9090/readyz").close()
                break
            time.sleep(0.1)
        headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        body = b'{"app": "web", "user_id": "u-1"}'
        with urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8080/v1/token/generate", body, headers)) as answer:
            assert json.load(answer)["refresh_token"]
        yield
    finally:
        service.terminate()
        code = service.wait(timeout=120)
    assert code == 0, f"the service ended with {code}"


def api_key_in(output):
    return re.search(r"csk1_\S+", output).group(0)


def lay_out(binary, root):
    """Makes a root folder with what the image holds: the program, and the libraries that its base has."""
    needed = re.findall(r"(/\S+) \(0x", bash(f"ldd {binary}"))
    for source, target in [(binary, "/usr/local/bin/countersign"), *((library, library) for library in needed)]:
        Path(f"{root}{target}").parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, f"{root}{target}")


def container(binary):
    image = (ROOT / "deploy/Containerfile").read_text().split("\nFROM ")[-1]
    assert "\nUSER 65532:65532\n" in image
    [where], [environment], [entry], [command] = (values(image, f"{it} ") for it in ("WORKDIR", "ENV", "ENTRYPOINT", "CMD"))
    [probe] = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", re.sub(r"\\\n\s*", " ", image), re.MULTILINE)
    entry, command, probe = json.loads(entry), json.loads(command), json.loads(probe)
    environment = ["env", "-i", "PATH=/usr/local/bin:/usr/bin", *shlex.split(environment)]
    with tempfile.TemporaryDirectory() as folder:
        root = f"{folder}/root"
        lay_out(binary, root)
        Path(f"{root}{where}").mkdir(parents=True)

        def inside(arguments):
            """Returns the script that runs a command in the container. Its mounts end with it."""
            mounts = f"mount --bind {root} {root}; mount --bind {folder}/site {root}{where}; mount -o remount,bind,ro {root}"
            enter = ["unshare", f"--root={root}", f"--wd={where}", "--setgid=65532", "--setuid=65532"]
            script = f"set -e; {mounts}; exec {shlex.join([*environment, *enter, *arguments])}"
            return f"exec unshare --mount --propagation private bash -c {shlex.quote(script)}"

        build, make_folder, *steps = commands("podman run")
        assert build == "podman build --format docker -f deploy/Containerfile -t countersign .", build
        bash(make_folder, cwd=folder)
        api_key = None
        with contextlib.ExitStack() as service:
            for step in steps:
                # The image's or the container's name ends the options; `--name` has the same word.
                options, _, arguments = step.replace("--name countersign ", "").partition(" countersign")
                arguments = shlex.split(arguments)
                assert options == "podman exec" or f"-v ./site:{where}:Z" in options, step
                if "-d" in options.split():
                    service.enter_context(running(inside(entry + (arguments or command)), api_key))
                    bash(inside(probe))
                    continue
                output = bash(inside(arguments if options == "podman exec" else entry + arguments))
                api_key = api_key_in(output) if "clients" in arguments else api_key
        assert bash(f"find {folder}/site ! -uid 65532") == ""
    print("container: the guide's commands, the image's environment, user, entry point and health check")


if __name__ == "__main__":
    container(sys.argv[1])
