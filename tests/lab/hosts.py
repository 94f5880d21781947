# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disposable Debian 13 hosts: containers with systemd, SSH and a Docker engine of their own on one fixed network."""

from __future__ import annotations

import hashlib
import json
import pathlib
import socket
import time
import typing as t

import yaml

from . import engine, images, license
from .shell import CACHE, LabError, locked, output, run, say, wait_until

NETWORK = "covstack-lab"
# Outside of Docker's own address pools, so that the engines inside the hosts never pick it.
SUBNET, GATEWAY, AUTOMATIC_RANGE = "10.111.0.0/24", "10.111.0.1", "10.111.0.128/25"
LABEL = "covstack.lab"
PREFIX = "covstack-lab-"
KEY = CACHE / "id_ed25519"
KNOWN_HOSTS = CACHE / "known_hosts"
DISKS = CACHE / "disks"
# Where a host with a disk of its own keeps it: everything that is written while it serves.
ON_DISK = {"opt": 0o755, "root": 0o700, "root/.ssh": 0o700, "tmp": 0o1777, "var/lib/docker": 0o710, "var/log": 0o755, "var/tmp": 0o1777}
# docker run --privileged fails where CAP_SYS_RESOURCE is not to be had; this is what systemd and a nested engine really need.
PRIVILEGES = (
    "--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
    "--security-opt", "systempaths=unconfined", "--device-cgroup-rule", "a *:* rwm", "--cgroupns", "private",
    "--tmpfs", "/run:exec", "--tmpfs", "/run/lock",
)  # fmt: skip


def ensure_network() -> None:
    if run("docker", "network", "inspect", NETWORK, check=False).returncode != 0:
        created = run(
            "docker", "network", "create", "--label", f"{LABEL}=network", "--subnet", SUBNET, "--gateway", GATEWAY, "--ip-range", AUTOMATIC_RANGE,
            NETWORK, check=False,
        )
        # Two lab commands may start at once: the network that the other one made is as good.
        if created.returncode != 0 and b"already exists" not in created.stderr:
            raise LabError(created.stderr.decode().strip())


def ensure_key() -> None:
    engine.install("ssh-keygen")  # and the client, which Ansible needs too
    with locked("ssh"):
        if not KEY.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "covstack lab", "-f", str(KEY))


def _key_id() -> str:
    """Which checkout made a host: one made by another checkout has a key that this one lacks."""
    return hashlib.sha256(KEY.with_suffix(".pub").read_bytes()).hexdigest()[:16]


def container(name: str) -> str:
    return PREFIX + name


def create(name: str, bare: bool = False, ip: str | None = None, publish: t.Sequence[str] = (), disk_gb: int = 0) -> str:
    """Make a host and wait until it can be used; returns its address. A host of that name that runs already is kept."""
    started = time.monotonic()
    ensure_key()
    license.ensure()
    ensure_network()
    existing = addresses().get(name)
    if existing and output("docker", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}.key"}}}}', container(name)) == _key_id():
        return existing
    image = "covstack-lab/host-bare:13" if bare else "covstack-lab/host:13"
    if run("docker", "image", "inspect", image, check=False).returncode != 0:
        images.build([image])
    run("docker", "rm", "--force", "--volumes", container(name), check=False)
    _remove_disk(name)
    run(
        "docker", "run", "--detach", "--name", container(name), "--hostname", name, "--label", f"{LABEL}=host", "--label", f"{LABEL}.name={name}",
        "--label", f"{LABEL}.key={_key_id()}",
        "--network", NETWORK, "--network-alias", name, *(("--ip", ip) if ip else ()), *PRIVILEGES,
        *(argument for port in publish for argument in ("--publish", port)), *(_make_disk(name, disk_gb) if disk_gb else ()),
        "--env", f"LAB_PUBLIC_KEY={KEY.with_suffix('.pub').read_text().strip()}", image,
    )
    address = addresses()[name]
    wait_ready(name, address, docker=not bare)
    _trust(name, address)
    say(f"lab: host {name} at {address}{' (without Docker)' if bare else ''}: ready in {time.monotonic() - started:.1f} s")
    return address


def _make_disk(name: str, gigabytes: int) -> list[str]:
    """A disk that can be filled without filling this machine's (needs root); what docker run is told of it."""
    DISKS.mkdir(parents=True, exist_ok=True)
    image, disk = DISKS / f"{name}.img", DISKS / name
    with image.open("wb") as file:
        file.truncate(gigabytes * 10**9)
    run("mkfs.ext4", "-q", "-m", "0", str(image))  # nothing is kept for root: full is full
    disk.mkdir()
    run("mount", "-o", "loop", str(image), str(disk))
    for path, mode in ON_DISK.items():
        (disk / path).mkdir(parents=True)
        (disk / path).chmod(mode)
    return [argument for path in ON_DISK if path != "root/.ssh" for argument in ("--volume", f"{disk / path}:/{path}")]


def _remove_disk(name: str) -> None:
    image, disk = DISKS / f"{name}.img", DISKS / name
    if disk.is_mount():
        run("umount", str(disk))
    if disk.exists():
        disk.rmdir()
    image.unlink(missing_ok=True)


def wait_ready(name: str, address: str, docker: bool) -> None:
    """systemd has finished booting, SSH answers and, where there is one, the Docker engine too."""
    try:
        wait_until(f"{name}: systemd is up", lambda: booted(name), 60)
        wait_until(f"{name}: SSH answers", lambda: _ssh_answers(address), 30)
        if docker:
            wait_until(f"{name}: Docker answers", lambda: run("docker", "exec", container(name), "docker", "info", check=False).returncode == 0, 60)
    except LabError as error:
        logs = run("docker", "logs", "--tail", "30", container(name), check=False)
        failed = run("docker", "exec", container(name), "systemctl", "--failed", "--no-pager", check=False)
        raise LabError(f"{error}\n{(logs.stdout + logs.stderr + failed.stdout).decode(errors='replace')}") from None


def booted(name: str) -> bool:
    state = run("docker", "exec", container(name), "systemctl", "is-system-running", "--wait", check=False).stdout.decode().strip()
    return state in ("running", "degraded")


def _ssh_answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _trust(name: str, address: str) -> None:
    """Host keys are known, so that nothing needs to switch their check off."""
    key = " ".join(output("docker", "exec", container(name), "cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2])
    with locked("ssh"):
        lines = KNOWN_HOSTS.read_text().splitlines() if KNOWN_HOSTS.exists() else []
        kept = [line for line in lines if not {name, address} & set(line.split(" ", 1)[0].split(","))]
        KNOWN_HOSTS.write_text("\n".join([*kept, f"{name},{address} {key}"]) + "\n")


def addresses() -> dict[str, str]:
    """Name -> address of every host that runs."""
    ids = output("docker", "ps", "--quiet", "--filter", f"label={LABEL}=host").split()
    if not ids:
        return {}
    found: dict[str, str] = {}
    for details in json.loads(output("docker", "inspect", *ids)):
        networks = details["NetworkSettings"]["Networks"]
        if NETWORK in networks:
            found[details["Config"]["Labels"][f"{LABEL}.name"]] = networks[NETWORK]["IPAddress"]
    return dict(sorted(found.items()))


def destroy(*names: str) -> None:
    for name in names:
        run("docker", "rm", "--force", "--volumes", container(name), check=False)
        if run("docker", "inspect", container(name), check=False).returncode == 0:
            raise LabError(f"host {name} could not be removed")
        _remove_disk(name)


def restart(*names: str) -> None:
    """Power off and on again: what a reboot is to the programs on the host. Its address and disk stay."""
    for name in names:
        run("docker", "restart", container(name))
        address = addresses()[name]
        docker = run("docker", "exec", container(name), "test", "-x", "/usr/bin/dockerd", check=False).returncode == 0
        wait_ready(name, address, docker)


def connection(address: str, user: str = "root") -> dict[str, str]:
    """Ansible's variables to reach a host."""
    return {
        "ansible_host": address,
        "ansible_user": user,
        "ansible_ssh_private_key_file": str(KEY),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={KNOWN_HOSTS} -o ControlMaster=auto -o ControlPersist=120s",
    }


def inventory(groups: t.Mapping[str, t.Sequence[str]] | None = None, user: str = "root") -> str:
    """An Ansible inventory (YAML) of the hosts that run, in the groups asked for."""
    known = addresses()
    members = {name for names in (groups or {}).values() for name in names} or set(known)
    unknown = sorted(members - set(known))
    if unknown:
        raise LabError(f"no such host: {', '.join(unknown)} (there are: {', '.join(known) or 'none'})")
    tree: dict[str, t.Any] = {"all": {"hosts": {name: connection(known[name], user) for name in sorted(members)}, "vars": {"lab_directory": str(CACHE)}}}
    if groups:
        tree["all"]["children"] = {group: {"hosts": {name: {} for name in names}} for group, names in groups.items()}
    return yaml.safe_dump(tree, sort_keys=False)


def down() -> None:
    """Remove every container, volume and network that the lab made. Images stay."""
    containers = output("docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}").split()
    if containers:
        run("docker", "rm", "--force", "--volumes", *containers)
    volumes = output("docker", "volume", "ls", "--quiet", "--filter", f"label={LABEL}").split()
    if volumes:
        run("docker", "volume", "rm", *volumes)
    for image in DISKS.glob("*.img"):
        _remove_disk(image.stem)
    if run("docker", "network", "inspect", NETWORK, check=False).returncode == 0:
        run("docker", "network", "rm", NETWORK)
    pathlib.Path(KNOWN_HOSTS).unlink(missing_ok=True)
    say(f"lab: removed {len(containers)} containers")
