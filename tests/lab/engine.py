# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Docker engine on this machine: the one that answers, or one that the lab installs, starts and ends."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import types

from .shell import ROOT, LabError, run, say, step, wait_until

STATE = pathlib.Path("/run/covstack-lab")
WATCHDOG_PID = STATE / "watchdog.pid"
LAST_USE = STATE / "last-use"
LOG = pathlib.Path("/var/log/covstack-lab-dockerd.log")
IDLE_MINUTES = float(os.environ.get("COVSTACK_ENGINE_IDLE_MINUTES", "90"))
WATCH_SECONDS = 5
# Debian 13 has the client in a package of its own, Debian 12 in docker.io.
PACKAGES = {"dockerd": ["docker.io"], "docker": ["docker-cli", "docker.io"], "debootstrap": ["debootstrap"], "ssh-keygen": ["openssh-client"]}


def answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return run("docker", "info", "--format", "{{.ServerVersion}}", check=False).returncode == 0


def touch() -> None:
    """Tell the watchdog that the lab is in use."""
    if STATE.is_dir() and os.access(STATE, os.W_OK):
        LAST_USE.touch()


def install(*programs: str) -> None:
    """Install the Debian packages of the programs that are missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return
    names = sorted({PACKAGES[program][-1] for program in missing})
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise LabError(f"not found: {', '.join(missing)}. Install {' and '.join(names)} (Debian: sudo apt-get install {' '.join(names)}).")
    with step(f"install {' '.join(names)}"):
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        run("apt-get", "update")
        packages = sorted({next(name for name in PACKAGES[program] if _packaged(name)) for program in missing})
        # Where there is no systemd the package's start script may fail; the engine is started below.
        run("apt-get", "install", "-y", "--no-install-recommends", *(["iptables"] if "dockerd" in missing else []), *packages)


def _packaged(name: str) -> bool:
    return run("apt-cache", "show", name, check=False).returncode == 0


def up() -> None:
    if answers():
        touch()
        return
    if os.geteuid() != 0:
        raise LabError(
            "no Docker engine answers and this is not root, so none can be installed or started.\n"
            "Either install Docker (Debian: sudo apt-get install docker.io), start it (sudo systemctl start docker) and add yourself to its\n"
            "group (sudo usermod -aG docker $USER, then log in again), or run the same command as root."
        )
    install("dockerd", "docker")
    if answers():  # the package's installation started it
        return
    with step("start the Docker engine"):
        if pathlib.Path("/run/systemd/system").is_dir():
            run("systemctl", "start", "docker")
        else:
            _start_watchdog()
        wait_until(f"the Docker engine answers (its log: {LOG})", answers, 60)


def down() -> None:
    """End the engine if the lab started it; another one is left alone."""
    pid = _watchdog_pid()
    if pid is None:
        say("lab: the lab started no engine")
        return
    with step("stop the Docker engine"):
        os.kill(pid, signal.SIGTERM)
        wait_until("the Docker engine ends", lambda: _watchdog_pid() is None, 60)


def started_by_lab() -> bool:
    return _watchdog_pid() is not None


def _watchdog_pid() -> int | None:
    """The running watchdog; a number left over from a killed one does not count."""
    try:
        pid = int(WATCHDOG_PID.read_text())
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if b"engine\0watch" in command else None


def _start_watchdog() -> None:
    STATE.mkdir(parents=True, exist_ok=True)
    LAST_USE.touch()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    with LOG.open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "lab", "engine", "watch"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, close_fds=True, cwd="/", env=environment,
        )


def _forget_killed_engine() -> None:
    """A killed engine leaves its numbers behind; when other programs have them by now, a new engine would wait for those."""
    for file, program in (("/var/run/docker.pid", "dockerd"), ("/var/run/docker/containerd/containerd.pid", "containerd")):
        try:
            number = pathlib.Path(file).read_text().strip()
        except OSError:
            continue
        command = pathlib.Path(f"/proc/{number}/comm")
        if not command.exists() or command.read_text().strip() != program:
            pathlib.Path(file).unlink(missing_ok=True)


def watch() -> None:
    """Be the parent of dockerd; end it when the lab was not used for a while. Runs in the background."""
    _forget_killed_engine()
    WATCHDOG_PID.write_text(str(os.getpid()))
    dockerd = subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL)

    def end(_signal: int, _frame: types.FrameType | None) -> None:
        dockerd.terminate()

    signal.signal(signal.SIGTERM, end)
    while True:
        try:
            dockerd.wait(timeout=WATCH_SECONDS)
            break
        except subprocess.TimeoutExpired:
            if time.time() - LAST_USE.stat().st_mtime > IDLE_MINUTES * 60:
                print(f"not used for {IDLE_MINUTES:g} minutes: ending", flush=True)
                dockerd.terminate()
    WATCHDOG_PID.unlink(missing_ok=True)
