# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""make demo: Strategy I on a disposable host without anything, proved by an upload with the real codecov-cli."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import time
import typing as t
import urllib.error
import urllib.request

import yaml

from . import engine, hosts, images, license, registry
from .shell import CACHE, ROOT, LabError, output, say, step, wait_until

HOST = "demo"
INVENTORY = CACHE / "demo"
LOG = INVENTORY / "deploy.log"
CODECOV_CLI = ROOT / ".cache" / "codecov-cli" / "bin" / "codecovcli"
OWNER, REPOSITORY = "covstack", "demo"
PROCESSED_WITHIN = 120
# The report is a real one: of a part of this collection's own tests.
MEASURED, TESTS = "plugins/module_utils/_config_merge.py", "tests/unit/plugins/module_utils/test_config_merge.py"
# What an administrator types into the application's shell; the models are those of the public images.
CREATE_REPOSITORY = f"""
from shared.django_apps.codecov_auth.models import Owner
from shared.django_apps.core.models import Repository
owner, _ = Owner.objects.get_or_create(service="github", username="{OWNER}", defaults={{"service_id": "1001"}})
repository, _ = Repository.objects.get_or_create(author=owner, name="{REPOSITORY}", defaults=dict(
    service_id="2001", private=False, branch="main", active=True, activated=True))
print(repository.upload_token)
"""


class Timings:
    """What was measured, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def measure(self, what: str) -> t.Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[what] = time.monotonic() - started


def up() -> None:
    timings = Timings()
    with timings.measure("everything"):
        with timings.measure("images"):
            public = public_images_answer()
            say(f"lab: images: {'public ones, from their registries' if public else 'test images from packages: no public registry answers here'}")
            if not public:
                registry.up()
        with timings.measure("fresh Debian 13 host"):
            address = hosts.create(HOST, bare=True)
        url = f"http://{address}"
        write_inventory(url, public)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            report = pool.submit(coverage_report)
            with timings.measure("deployed (Docker, images, database, health, first upload)"):
                deploy()
            commit, coverage = upload(url, report.result(), timings)
    print(summary(url, address, public, commit, coverage, timings))


def down() -> None:
    """Remove the demo; when nothing else of the lab runs, also its network and the engine that it started."""
    if not engine.answers():
        say("lab: no engine runs, so there is nothing to remove")
        return
    hosts.destroy(HOST)
    shutil.rmtree(INVENTORY, ignore_errors=True)
    others = hosts.addresses()
    if others:
        say(f"lab: the demo is gone; the engine stays for the lab's other hosts: {', '.join(others)}")
        return
    hosts.down()
    if engine.started_by_lab():
        engine.down()


def public_images_answer() -> bool:
    """Whether the registries have the application itself: a mirror of a part of them is of no use."""
    api = next(public for public in images.catalogue_images() if "self-hosted-api" in public)
    return images.registry_has(api)


def write_inventory(url: str, public: bool) -> None:
    """What a user writes by hand: the host, and the few settings that have no default."""
    settings: dict[str, t.Any] = {
        "codecov_url": url,
        "codecov_tls": {"mode": "disabled"},
        "codecov_secrets": {"enterprise_license": os.environ.get("CODECOV_LICENSE") or license.ensure()},
        # An engine inside a container has no cgroup controllers here.
        "codecov_resources": {"limits": False},
    }
    if not public:
        settings["codecov_images"] = {"registry": f"{registry.NAME}:{registry.PORT}"}
        settings["docker_engine_source"] = "distribution"
        settings["docker_engine_daemon_options"] = {"insecure-registries": [f"{registry.NAME}:{registry.PORT}"]}
    variables = INVENTORY / "group_vars" / "codecov"
    variables.mkdir(parents=True, exist_ok=True)
    (INVENTORY / "hosts.yml").write_text(hosts.inventory({"codecov": [HOST]}))
    settings_file = variables / "settings.yml"
    settings_file.touch(mode=0o600)
    settings_file.write_text(yaml.safe_dump(settings, sort_keys=False))


def deploy() -> None:
    """Run the playbook as a user does; its tasks show as they start, its whole output is in the log."""
    started = time.monotonic()
    say("lab: ansible-playbook covstack.selfhosted.deploy ...")
    command = [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), "covstack.selfhosted.deploy", "-i", str(INVENTORY)]
    pipes: dict[str, t.Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with LOG.open("w", buffering=1) as log, subprocess.Popen(command, cwd=ROOT, **pipes) as playbook:
        assert playbook.stdout
        for line in map(bytes.decode, playbook.stdout):
            log.write(line)
            if line.startswith(("PLAY [", "TASK [")):
                say(f"     {time.monotonic() - started:5.1f} s  {line.split('[', 1)[1].split(']')[0]}")
    if playbook.returncode != 0:
        raise LabError("the deployment failed:\n" + "\n".join(LOG.read_text().splitlines()[-60:]) + f"\nwhole output: {LOG}")


def coverage_report() -> pathlib.Path:
    """Measure a part of this collection's own tests."""
    INVENTORY.mkdir(parents=True, exist_ok=True)
    data, report = INVENTORY / "coverage.db", INVENTORY / "coverage.lcov"
    environment = {**os.environ, "COVERAGE_FILE": str(data)}
    for arguments in (["run", f"--include={MEASURED}", "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS], ["lcov", "-o", str(report)]):
        done = subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, env=environment, capture_output=True, check=False)
        if done.returncode != 0:
            raise LabError(f"no coverage report:\n{(done.stdout + done.stderr).decode()[-2000:]}")
    return report


def upload(url: str, report: pathlib.Path, timings: Timings) -> tuple[str, float]:
    """Upload as CI does, and follow the commit until it is processed."""
    token = create_repository()
    commit = secrets.token_hex(20)
    with timings.measure("uploaded by codecov-cli"), step(f"codecovcli upload-process (commit {commit[:8]})"):
        # The token goes through the environment: arguments can be read by every user of the machine.
        environment = {**os.environ, "CODECOV_TOKEN": token}
        done = subprocess.run(
            [
                str(CODECOV_CLI), "--disable-telem", "-u", url, "upload-process", "--fail-on-error", "--git-service", "github", "-r", f"{OWNER}/{REPOSITORY}",
                "-C", commit, "-B", "main", "-f", str(report), "--disable-search",
            ],
            cwd=ROOT, env=environment, capture_output=True, check=False,
        )
        if done.returncode != 0:
            raise LabError("codecovcli failed:\n" + (done.stdout + done.stderr).decode()[-3000:])
    with timings.measure("processed by the worker"), step("wait until the worker has processed it"):
        wait_until("the upload is processed", lambda: commit_details(url, commit).get("state") in ("complete", "error"), PROCESSED_WITHIN, 0.2)
    details = commit_details(url, commit)
    if details["state"] != "complete":
        raise LabError(f"the upload was not processed: {details}")
    return commit, float(details["totals"]["coverage"])


def create_repository() -> str:
    container = output(*on_host("docker", "ps", "--quiet", "--filter", "label=covstack.service=api")).splitlines()[0]
    return output(*on_host("docker", "exec", container, "python", "manage.py", "shell", "--command", CREATE_REPOSITORY)).splitlines()[-1]


def on_host(*command: str) -> tuple[str, ...]:
    return ("docker", "exec", hosts.container(HOST), *command)


def commit_details(url: str, commit: str) -> dict[str, t.Any]:
    try:
        with urllib.request.urlopen(f"{url}/api/v2/github/{OWNER}/repos/{REPOSITORY}/commits/{commit}/", timeout=10) as response:
            details: dict[str, t.Any] = json.load(response)
            return details
    except urllib.error.HTTPError as error:
        if error.code == 404:  # not yet known
            return {}
        raise


def summary(url: str, address: str, public: bool, commit: str, coverage: float, timings: Timings) -> str:
    measured = "\n".join(f"  {seconds:6.1f} s  {what}" for what, seconds in timings.seconds.items())
    inventory = INVENTORY.relative_to(ROOT)
    return f"""
Codecov answers at {url}  ({"public images" if public else "a stand-in for Codecov on real services, built from packages: no public registry answers here"})
The upload was processed: {coverage:g} % of {MEASURED} is covered by {pathlib.Path(TESTS).name}.

{measured}

Look around:
  {url}/github/{OWNER}/{REPOSITORY}/commit/{commit}
  curl {url}/api_health/
  curl {url}/api/v2/github/{OWNER}/repos/{REPOSITORY}/commits/{commit}/
  ssh -i {hosts.KEY.relative_to(ROOT)} -o UserKnownHostsFile={hosts.KNOWN_HOSTS.relative_to(ROOT)} root@{address} docker ps
  .venv/bin/ansible-playbook covstack.selfhosted.health -i {inventory}
  settings: {inventory}/group_vars/codecov/settings.yml; output of the playbook: {LOG.relative_to(ROOT)}
make demo-down removes it."""
