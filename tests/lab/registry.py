# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry on the lab's network: hosts pull registry.lab:5000/<path>:<tag> from it where no public registry answers."""

from __future__ import annotations

import concurrent.futures
import json
import typing as t
import urllib.error
import urllib.request

from . import hosts, images
from .shell import CACHE, LabError, locked, run, step, wait_until

NAME = "registry.lab"
ADDRESS = "10.111.0.2"
PORT = 5000
LOOPBACK = "127.0.0.1:5055"  # how this machine's engine reaches it: loopback may speak plain HTTP
CONTAINER = hosts.PREFIX + "registry"
STORE = CACHE / "registry"  # outlives the container, so that a second run pushes nothing
PUSHED = STORE / "pushed.json"


def up(push: bool = True) -> list[str]:
    """Run the registry and bring it up to date; returns the names that hosts can pull."""
    hosts.ensure_network()
    with locked("registry"):
        if not answers():
            _start()
        return _fill() if push else []


def _fill() -> list[str]:
    try:
        built = images.build()
    except images.BuildError as error:
        publish(error.built)
        raise
    return publish(built)


def _start() -> None:
    built = images.build(["registry"])
    STORE.mkdir(parents=True, exist_ok=True)
    run("docker", "rm", "--force", "--volumes", CONTAINER, check=False)
    run(
        "docker", "run", "--detach", "--name", CONTAINER, "--label", f"{hosts.LABEL}=registry", "--network", hosts.NETWORK, "--ip", ADDRESS,
        "--network-alias", NAME, "--publish", f"{LOOPBACK}:{PORT}", "--volume", f"{STORE}:/var/lib/registry", built[-1].tag,
    )
    try:
        wait_until("the registry answers", answers, 30)
    except LabError as error:
        logs = run("docker", "logs", "--tail", "20", CONTAINER, check=False)
        raise LabError(f"{error}\n{(logs.stdout + logs.stderr).decode(errors='replace')}") from None


def answers() -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}/v2/", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def publish(built: t.Sequence[images.Image]) -> list[str]:
    """Push what the registry does not have yet."""
    pushed: dict[str, str] = json.loads(PUSHED.read_text()) if PUSHED.exists() else {}
    public = [image for image in built if image.public]
    digests = images.existing([image.tag for image in public])
    missing = [image for image in public if pushed.get(image.tag) != digests[image.tag] or not _has(image)]
    if missing:
        with step(f"push {len(missing)} images to {NAME}"), concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(_push, missing))
        pushed.update({image.tag: digests[image.tag] for image in missing})
        STORE.mkdir(parents=True, exist_ok=True)  # another checkout may have started the registry
        PUSHED.write_text(json.dumps(pushed, indent=2))
    return [f"{NAME}:{PORT}/{images.registry_path(image.public)}" for image in public if image.public]


def _has(image: images.Image) -> bool:
    repository, _colon, tag = images.registry_path(image.public or "").rpartition(":")
    request = urllib.request.Request(f"http://{LOOPBACK}/v2/{repository}/manifests/{tag}", method="HEAD")
    request.add_header("Accept", "application/vnd.docker.distribution.manifest.v2+json")
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError:
        return False


def _push(image: images.Image) -> None:
    name = f"{LOOPBACK}/{images.registry_path(image.public or '')}"
    run("docker", "tag", image.tag, name)
    run("docker", "push", "--quiet", name)
    run("docker", "rmi", "--no-prune", name)
