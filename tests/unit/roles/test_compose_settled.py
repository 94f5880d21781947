# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the role compose asks neither Compose nor the registry, and when it writes to a host: the variables that decide it, as Ansible computes them."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

VARIABLES = Path(__file__).resolve().parents[3] / "roles" / "compose" / "vars" / "main.yml"
NOTHING: dict[str, Any] = {"changed": False, "changed_files": [], "removed_files": []}
SETTLED = {"platform": True, "application": True}
# From ansible-core 2.19 on a text is a template only when its source is trusted.
TRUSTED = {"trusted_as_template": True} if "trusted_as_template" in inspect.signature(DataLoader.load_from_file).parameters else {}


def decide(name: str, files: dict[str, Any] | None = None, settled: dict[str, bool] | None = None, images: dict[str, Any] | None = None,
           plan: dict[str, Any] | None = None, **more: Any) -> Any:
    """One internal variable of the role."""
    loader = DataLoader()
    variables = dict(loader.load_from_file(str(VARIABLES), **TRUSTED))
    application = {"images": {"api": "a:1", "worker": "w:1"}}
    variables["codecov_plan"] = {"settled": settled or SETTLED, "application": application, "host": {"images": images or {}}, **(plan or {})}
    variables["__compose_files"] = {**NOTHING, **(files or {})}
    return Templar(loader=loader, variables={**variables, **more}).template(variables[name])


def written(*paths: str) -> dict[str, Any]:
    return {"changed": True, "changed_files": list(paths)}


@pytest.mark.parametrize(
    ("files", "platform", "application"),
    [
        (NOTHING, True, True),
        (written("slots/blue.env"), True, False),
        (written("slots/blue.env", "releases/8c1f0a/compose.yml"), True, False),
        (written("platform/compose.yml"), False, False),
        (written("edge/dynamic/routes.yml", "slots/blue.env"), False, False),
        ({"changed": True, "removed_files": ["redis.conf"]}, False, False),
    ],
)
def test_what_was_written_in_this_run_unsettles(files: dict[str, Any], platform: bool, application: bool) -> None:
    assert decide("__compose_platform_settled", files) is platform
    assert decide("__compose_application_settled", files) is application


@pytest.mark.parametrize("what", ["platform", "application"])
def test_the_plan_is_believed(what: str) -> None:
    assert decide(f"__compose_{what}_settled", settled={**SETTLED, what: False}) is False


@pytest.mark.parametrize("what", ["platform", "application"])
def test_an_engine_with_new_options_is_a_new_engine(what: str) -> None:
    changed, skipped = {"changed": True, "restart_needed": True}, {"changed": False, "skipped": True}
    assert decide(f"__compose_{what}_settled", __docker_engine_options=changed) is False
    assert decide(f"__compose_{what}_settled", __docker_engine_options=skipped) is True
    assert decide(f"__compose_{what}_settled", __docker_engine_options=changed, __compose_engine_turned=True) is True, "made well again in its turn"


@pytest.mark.parametrize(
    ("pull", "images", "pulled"),
    [
        ("missing", {"a:1": True, "w:1": True}, []),
        ("missing", {"a:1": True, "w:1": False}, ["w:1"]),
        ("missing", {"a:1": None, "w:1": True}, ["a:1"]),
        ("missing", {}, ["a:1", "w:1"]),
        ("always", {"a:1": True, "w:1": True}, ["a:1", "w:1"]),
        ("never", {"a:1": False, "w:1": None}, []),
    ],
)
def test_images_are_pulled_unless_they_are_known_to_be_there(pull: str, images: dict[str, Any], pulled: list[str]) -> None:
    assert decide("__compose_pulls", images=images, plan={"settings": {"pull": pull}}) == pulled


def test_the_leader_of_storage_hosts_is_changed_last_and_those_that_stay_as_they_are_not_at_all() -> None:
    answers = {"st1": {"rc": 0}, "st2": {"rc": 1}, "st3": {"skipped": True}, "st4": {"rc": 1}}
    known = {name: {"inventory_hostname": name, "__compose_leads": answer} for name, answer in answers.items()}
    assert decide("__compose_storage_turns", ansible_play_hosts=list(known), hostvars=known) == ["st2", "st4", "st1"]


def turns(**hosts: dict[str, Any]) -> Any:
    """Order in which engines change; of each host what differs from one of the application that serves."""
    known = {
        name: {
            "inventory_hostname": name,
            "__compose_leads": {"rc": host.get("rc", 1)} if "storage" in host.get("kinds", []) else {"skipped": True},
            "codecov_plan": {
                "placement": {"kinds": host.get("kinds", ["web"]), "application": "web" in host.get("kinds", ["web"])},
                "host": {"deployment": {"changing": host.get("changing", False)}},
            },
        }
        for name, host in hosts.items()
    }
    return decide("__compose_engine_turns", ansible_play_hosts=list(known), hostvars=known)


def test_engines_change_on_a_host_of_the_application_first_then_where_the_data_are_and_the_leader_of_storage_hosts_last() -> None:
    data, follows, leads = {"kinds": ["data"]}, {"kinds": ["storage"]}, {"kinds": ["storage"], "rc": 0}
    assert turns(st1=leads, st2=follows, db=data, app1={}, app2={}) == ["app1", "db", "st2", "app2", "st1"]
    assert turns(db={"kinds": ["data", "storage"], "rc": 0}, app1={}, st2=follows) == ["app1", "st2", "db"], "data that leads"
    assert turns(one={"kinds": ["web", "storage"], "rc": 0}, two={"kinds": ["web", "storage"]}) == ["two", "one"]
    assert turns(one={"kinds": ["web", "storage"], "rc": 0}, db=data) == ["one", "db"], "no other one may go before the data"
    assert turns(db={"kinds": ["web", "data"]}, st2=follows) == ["db", "st2"]


def test_engines_change_first_where_a_run_was_interrupted() -> None:
    data, interrupted = {"kinds": ["data"]}, {"changing": True}
    assert turns(db=data, app1={}, app2=interrupted, app3=interrupted) == ["app2", "app3", "app1", "db"]
    assert turns(db=data, app1={"kinds": ["web", "storage"], "rc": 0, "changing": True}) == ["app1", "db"]


def test_a_data_host_waits_for_other_hosts_that_serve_and_were_not_out_of_service() -> None:
    deployments = {"db": {}, "app1": {}, "app2": {"changing": True}, "app3": {"active": None}}
    known = {
        name: {"inventory_hostname": name, "codecov_plan": {"host": {"deployment": {"active": {"slot": "blue"}, "changing": False, **of}}}}
        for name, of in deployments.items()
    }
    placement = {"kinds": ["data", "web"], "web": [{"name": name} for name in (*known, "left_out")]}
    common = {"groups": {"codecov_to_change": [*known]}, "hostvars": known, "inventory_hostname": "db"}
    assert decide("__compose_depend_on_data", plan={"placement": placement}, **common) == ["app1"]
    assert decide("__compose_depend_on_data", plan={"placement": {**placement, "kinds": ["web"]}}, **common) == []


def test_replicated_storage_is_told_apart_by_whether_it_runs_on_a_host() -> None:
    def host(*services: str, later: tuple[str, ...] = ("storage",)) -> dict[str, Any]:
        return {"codecov_plan": {"platform": {"later": [*later]}, "host": {"deployment": {"containers": [{"service": name} for name in services]}}}}

    known = {"st1": host("storage"), "st2": host(), "app1": host("api", later=())}
    assert decide("__compose_storage_hosts", groups={"codecov_to_change": [*known]}, hostvars=known) == {"there": ["st1"], "new": ["st2"]}


def test_what_serves_is_proved_as_it_was_where_the_plan_wants_more() -> None:
    api = {"service": "api", "slot": "blue", "state": "exited", "one_off": False}
    plan = {"health": {"services": {"api": {"replicas": 3, "tier": "web"}, "added": {"replicas": 1, "tier": "web"}}}}
    there = [api, api, {**api, "slot": "green"}, {**api, "one_off": True}]
    assert decide("__compose_served", plan=plan, __compose_containers=there, __compose_active={"slot": "blue"}) == {"api": {"replicas": 2, "tier": "web"}}


def test_all_hosts_name_the_release_after_the_configuration_of_the_one_that_keeps_the_secrets() -> None:
    own, kept = {"digest": "own"}, {"digest": "kept"}
    plan = {"placement": {"keeper_name": "app1"}}
    assert decide("__compose_config_digest", plan=plan, hostvars={"app1": {"__compose_config": kept}}, __compose_config=own) == "kept"
    # Where a run leaves that host out, and where there is but one.
    assert decide("__compose_config_digest", plan=plan, hostvars={"app1": {}}, __compose_config=own) == "own"
    alone = {"hostvars": {"one": {}}, "inventory_hostname": "one"}
    assert decide("__compose_config_digest", plan={"placement": {"split": False}}, __compose_config=own, **alone) == "own"


def test_a_refusal_names_the_hosts_that_run_the_release_already() -> None:
    """By what this run made of them, or by what they ran before it."""
    release = "8c1f0a"
    serves = {"app1": {"__compose_switched_to": {"release": release}}, "app2": {}, "app3": {}, "app4": {}}
    before = {"app1": "0c1a77", "app2": release, "app3": "0c1a77", "app4": None}
    plans = {name: {"host": {"deployment": {"active": {"release": known} if known else None}}} for name, known in before.items()}
    hosts = {name: {**facts, "codecov_plan": plans[name]} for name, facts in serves.items()}
    known = {"hostvars": hosts, "ansible_play_hosts_all": [*hosts], "inventory_hostname": "app3"}
    assert decide("__compose_run_it", **known, __compose_release=release) == ["app1", "app2"]
    assert decide("__compose_run_it", **known, __compose_release="0c1a77") == []
