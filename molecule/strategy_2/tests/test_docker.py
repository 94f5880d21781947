# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of Docker itself in a split deployment, while clients ask and upload. Each test ends with the options that were there before; numbers are printed."""

from __future__ import annotations

import json
import ssl
import subprocess
import typing as t

import pytest
from lab import hosts
from lab.load import Load
from lab.shell import ROOT, run, wait_until
from scenarios.interruption import PER_SECOND, Interruption
from scenarios.playbooks import kill_all_of
from scenarios.split import (
    ADDRESS,
    AUTHORITY,
    BALANCERS,
    DATA,
    RATE,
    STORAGE,
    URL,
    WEB,
    active,
    changed,
    clients,
    command,
    containers,
    environment,
    holder,
    on,
    playbook,
    receives,
)
from scenarios.uploads import Uploads

# The only PostgreSQL has a test of its own: without it nothing answers.
ENGINES = (*WEB, *STORAGE[:2])
WITHOUT_DATA = f"all:!{DATA}"
# What the inventory says, as a template for all hosts.
AS_BEFORE = "{'insecure-registries': ['registry.lab:5000']} | combine({'live-restore': true} if 'data' in group_names else {})"


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Uploads:
    return Uploads(WEB[0], URL, tmp_path_factory.mktemp("uploads"), AUTHORITY)


@pytest.fixture(scope="module")
def release() -> dict[str, t.Any]:
    """What the tests before left, which stays."""
    version = on(WEB[0], "docker ps --filter label=covstack.service=api --format '{{.Image}}'").strip().rpartition(":")[2]
    return {"codecov_versions": {"api": version, "worker": version}}


@pytest.fixture(autouse=True)
def everything_serves(uploads: Uploads) -> t.Iterator[None]:
    wait_until("all receive", all_receive, 60, 0.5)
    yield
    wait_until("all receive again", all_receive, 60, 0.5)
    wait_until("every accepted upload is processed", lambda: not uploads.unprocessed(), 90, 1)


def all_receive() -> bool:
    servers = [*((server, "web") for server in WEB), *((server, "storage") for server in STORAGE)]
    return holder() is not None and all(receives(balancer, *server) for balancer in BALANCERS for server in servers)


def options(**more: t.Any) -> dict[str, t.Any]:
    return {"docker_engine_daemon_options": f"{{{{ {AS_BEFORE} | combine({json.dumps(more)}) }}}}"}


def started() -> dict[str, int]:
    """When each engine was started."""
    return {host: int(on(host, 'date +%s --date "$(systemctl show --property=ExecMainStartTimestamp --value docker)"')) for host in ENGINES}


def served_since(host: str) -> tuple[int, int]:
    """When the first and the last container of the application was started."""
    moments = sorted(int(on(host, f"date +%s --date {described.split()[1]}")) for described in containers(host).values())
    return moments[0], moments[-1]


def labels() -> list[t.Any]:
    """An option that engines say of themselves."""
    return [json.loads(on(host, "docker info --format '{{json .Labels}}'")) for host in ENGINES]


def test_another_option_goes_from_host_to_host_without_a_failed_request(uploads: Uploads, release: dict[str, t.Any]) -> None:
    another, before = options(labels=["tested=yes"]), started()
    forecast = playbook("deploy", check=True, limit=WITHOUT_DATA, **release, **another)
    assert forecast.count("Would take this host out of service") == len(ENGINES) and started() == before
    with clients("another option of Docker", uploads, at_least=2400):
        playbook("deploy", limit=WITHOUT_DATA, **release, **another)
    after = started()
    order = sorted(ENGINES, key=lambda host: after[host])
    print(f"\norder: {', '.join(f'{host} +{after[host] - after[order[0]]} s' for host in order)}")
    assert order[0] == WEB[0] and all(after[host] > before[host] for host in ENGINES)
    for host, next_one in zip(order, order[1:]):
        if host in WEB:
            first, last = served_since(host)
            assert after[host] <= first and last < after[next_one], "no engine is touched while another host is out of service"
    assert labels() == [["tested=yes"]] * len(ENGINES)
    assert changed(playbook("deploy", limit=WITHOUT_DATA, **release, **another)) == 0 and started() == after


def test_a_controller_killed_in_the_middle_and_options_that_go_back(uploads: Uploads, release: dict[str, t.Any]) -> None:
    """The host that is out of service is not the one that would be the first: it is to be put back before that one is taken out."""
    slot, pipes = active(WEB[1])["slot"], {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    stopped = f'test -e /opt/codecov/slots/changing && running="$(docker ps --quiet --filter label=covstack.slot={slot})" && test -z "$running"'
    with clients("options of Docker, killed in the middle, then back", uploads):
        with subprocess.Popen(
            command("deploy", limit=WITHOUT_DATA, **release, **options(labels=["tested=killed"])), cwd=ROOT, env=environment(), start_new_session=True, **pipes
        ) as process:
            inside = ("docker", "exec", hosts.container(WEB[1]), "sh", "-c", stopped)
            wait_until("the second web host has stopped what served", lambda: run(*inside, check=False).returncode == 0, 600, 0.2)
            kill_all_of(process)
        assert not any(receives(balancer, WEB[1]) for balancer in BALANCERS)
        playbook("deploy", limit=WITHOUT_DATA, **release)
    assert labels() == [[]] * len(ENGINES)
    after = started()
    assert after[WEB[1]] < after[WEB[0]]


def test_options_that_an_engine_refuses_touch_no_host(release: dict[str, t.Any]) -> None:
    before = started(), {host: containers(host) for host in WEB}
    assert "no-such-option" in playbook("deploy", fails=True, limit=WITHOUT_DATA, **release, **options(**{"no-such-option": True}))
    assert (started(), {host: containers(host) for host in WEB}) == before


def test_options_that_an_engine_does_not_start_with_touch_the_first_host_only(uploads: Uploads, release: dict[str, t.Any]) -> None:
    """Its unit says where it listens, too, which is noticed when it starts. The next run repairs it."""
    before = started()
    with clients("an engine that does not start, then corrected", uploads):
        said = playbook("deploy", fails=True, limit=WITHOUT_DATA, **release, **options(hosts=["tcp://127.0.0.1:2375"]))
        assert "The Docker engine does not start" in said and "No further host was touched" in said, said[-3000:]
        assert not any(receives(balancer, WEB[0]) for balancer in BALANCERS)
        playbook("deploy", limit=WITHOUT_DATA, **release)
    after = started()
    assert after[WEB[0]] > before[WEB[0]] and {host: after[host] for host in ENGINES[1:]} == {host: before[host] for host in ENGINES[1:]}


def test_the_only_data_host_keeps_its_containers_where_they_outlive_their_engine(release: dict[str, t.Any]) -> None:
    """Its ports are closed while the new engine looks at them, so web hosts may find themselves not ready."""
    service = "docker inspect --format '{{.State.StartedAt}}' codecov-postgres-1 codecov-redis-1"
    before = on(DATA, service)
    for what, chosen in (("another option", options(labels=["tested=yes"])), ("back", {})):
        with Load(URL, RATE) as load, Interruption(ADDRESS, "/api_health/", "is live!", ssl.create_default_context(cafile=AUTHORITY)) as interruption:
            playbook("deploy", limit=DATA, **release, **chosen)
            interruption.goes_on(3 * PER_SECOND)
        print(
            f"\nengine of the data host, {what}: {interruption.seconds:.1f} s without an answer; {load.result.failed} of {load.result.requests} requests failed"
        )
        assert interruption.seconds < 10
    assert on(DATA, service) == before
