# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a deployment leaves on a host, to be compared with another run's: files, containers, volumes, networks."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import typing as t

from lab import hosts
from lab.shell import run

# What honestly differs between two runs. Times and random numbers of files, containers and networks are not looked at in the first place.
GROWS = "opt/codecov/audit.log"  # one line a change, and killed runs changed things too
RANDOM_CONTENT = re.compile(r"opt/codecov/releases/[0-9a-f]+/proved")  # names the commit of the upload that proved the release
ANONYMOUS = re.compile(r"[0-9a-f]{64}")  # volumes without a name have a random number for one
# Which container a recreated one came from.
HISTORY_LABELS = {"com.docker.compose.replace"}
CONFIGURATION = ("Image", "User", "Cmd", "Entrypoint", "WorkingDir", "Healthcheck", "StopSignal", "StopTimeout", "Volumes")

Picture = t.Dict[str, t.Dict[str, t.Any]]


def picture(host: str) -> Picture:
    return {
        "files": _files(_on_host(host, "tar --create --directory / opt/codecov etc/docker")),
        "containers": {entry["Name"].lstrip("/"): _container(entry) for entry in _inspect(host, "container ls --all --quiet", "container")},
        "volumes": _volumes(_inspect(host, "volume ls --quiet", "volume")),
        "networks": {entry["Name"]: _network(entry) for entry in _inspect(host, "network ls --quiet", "network")},
    }


def differences(expected: Picture, found: Picture) -> list[str]:
    """One line for each thing that is missing, too much, or other."""
    lines: list[str] = []
    for kind in expected:
        for name in sorted(expected[kind].keys() | found[kind].keys()):
            one, other = expected[kind].get(name), found[kind].get(name)
            if one != other:
                lines.append(f"{kind}: {name}: expected {_other_parts(one, other)}, found {_other_parts(other, one)}")
    return lines


def _other_parts(one: t.Any, other: t.Any) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        return "{" + ", ".join(f"{key}: {_other_parts(value, other.get(key))}" for key, value in one.items() if other.get(key) != value) + "}"
    return "nothing" if one is None else str(one)


def _on_host(host: str, script: str) -> bytes:
    return run("docker", "exec", hosts.container(host), "sh", "-euc", script).stdout


def _inspect(host: str, listing: str, kind: str) -> list[dict[str, t.Any]]:
    script = f'names=$(docker {listing}); test -z "$names" || docker {kind} inspect $names'
    return t.cast("list[dict[str, t.Any]]", json.loads(_on_host(host, script) or b"[]"))


def _files(archive: bytes) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            entry = {"kind": member.type, "mode": oct(member.mode), "owner": (member.uid, member.gid), "link": member.linkname}
            file = tar.extractfile(member)
            if file and member.name != GROWS and not RANDOM_CONTENT.fullmatch(member.name):
                entry["content"] = hashlib.sha256(file.read()).hexdigest()  # not the content itself: there are secrets in it
            found[member.name] = entry
    return found


def _container(entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    state = entry["State"]
    return {
        **{name: entry["Config"].get(name) for name in CONFIGURATION},
        "labels": {name: _label(name, value) for name, value in entry["Config"]["Labels"].items() if name not in HISTORY_LABELS},
        "image": entry["Image"],
        "environment": sorted(entry["Config"]["Env"] or []),
        "host": {name: _sorted(value) for name, value in entry["HostConfig"].items() if name != "NetworkMode"},  # that is a network's random number
        "mounts": sorted((mount["Type"], ANONYMOUS.sub("anonymous", mount.get("Name") or mount["Source"]), mount["Destination"], mount["RW"])
                         for mount in entry["Mounts"]),
        "networks": {name: sorted(network["Aliases"] or []) for name, network in entry["NetworkSettings"]["Networks"].items()},
        "state": state.get("Health", {}).get("Status", "running") if state["Running"] else "stopped",
    }  # fmt: skip


# Compose writes these in no particular order, which changes from run to run.
def _label(name: str, value: str) -> str:
    return ",".join(sorted(value.split(","))) if name == "com.docker.compose.depends_on" else value


def _sorted(value: t.Any) -> t.Any:
    return sorted(value, key=json.dumps) if isinstance(value, list) else value


def _volumes(entries: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Those without a name are at least counted: a killed run must not leave any."""
    found = {entry["Name"]: {"driver": entry["Driver"], "labels": entry["Labels"], "options": entry["Options"]} for entry in entries}
    named = {name: entry for name, entry in found.items() if not ANONYMOUS.fullmatch(name)}
    return {**named, "anonymous": len(found) - len(named)}


def _network(entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Without its addresses: they go by what was free when it was made."""
    return {name: entry[name] for name in ("Driver", "Scope", "Internal", "Attachable", "EnableIPv6", "Options", "Labels")}
