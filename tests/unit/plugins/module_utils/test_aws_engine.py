# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan and apply, with resources that live in a dictionary."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.covstack.selfhosted.plugins.module_utils import _aws_engine as engine
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_engine import OWNER_TAG, Found, Resource, Symbol, tags_of

Cloud = dict[str, dict[str, Any]]


class Thing(Resource):
    kind = "thing"

    def __init__(self, cloud: Cloud, name: str, size: int, needs: list[Resource] | None = None) -> None:
        super().__init__(name, tags_of("codecov", {}), needs or [])
        self.cloud, self.size = cloud, size

    def find(self) -> Found | None:
        found = self.cloud.get(self.name)
        return Found(f"id-{self.name}", dict(found["fields"]), dict(found["tags"])) if found else None

    def wanted(self) -> dict[str, Any]:
        return {"size": self.size, "parents": [parent.id for parent in self.needs]}

    def create(self) -> None:
        assert not any(isinstance(parent.id, Symbol) for parent in self.needs)
        self.cloud[self.name] = {"fields": {"size": 0, "parents": []}, "tags": dict(self.tags)}

    def change(self, fields: dict[str, Any]) -> None:
        self.cloud[self.name]["fields"].update(fields)

    def set_tags(self, tags: dict[str, str]) -> None:
        self.cloud[self.name]["tags"].update(tags)

    def delete(self) -> None:
        del self.cloud[self.name]


class Data(Thing):
    kind = "data"
    stateful = True
    fixed = frozenset({"size"})


class Slow(Thing):
    slow = True
    waited = False

    def wait(self) -> None:
        self.waited = True


def network_and_data(cloud: Cloud) -> list[Resource]:
    network = Thing(cloud, "network", 1)
    unrelated = Thing(cloud, "unrelated", 1, [network])
    data = Data(cloud, "data", 0, [network])
    return [network, unrelated, data, Thing(cloud, "door", 2, [data, network])]


def applied(resources: list[Resource]) -> list[str]:
    journal: list[str] = []
    engine.look(resources)
    engine.apply(resources, journal, pause=lambda _seconds: None)
    return journal


def test_a_plan_of_nothing_names_what_is_not_there_yet() -> None:
    cloud: Cloud = {}
    resources = network_and_data(cloud)
    engine.look(resources)
    outcome = engine.plan(resources)
    assert outcome.actions == ["create thing network", "create thing unrelated", "create data data", "create thing door"]
    assert outcome.after["thing door"]["parents"] == ["(id of data data)", "(id of thing network)"]
    assert json.loads(json.dumps(outcome.after)) == outcome.after
    assert cloud == {}


def test_a_second_run_changes_nothing() -> None:
    cloud: Cloud = {}
    applied(network_and_data(cloud))
    again = network_and_data(cloud)
    engine.look(again)
    assert not engine.plan(again).changed
    assert applied(network_and_data(cloud)) == []


@pytest.mark.parametrize("steps", range(1, 8))
def test_a_run_that_ends_anywhere_is_finished_by_the_next(steps: int) -> None:
    class Killed(Exception):
        pass

    class Journal(list[str]):
        def append(self, entry: str) -> None:
            super().append(entry)
            if len(self) == steps:
                raise Killed

    whole: Cloud = {}
    applied(network_and_data(whole))
    cloud: Cloud = {}
    resources = network_and_data(cloud)
    engine.look(resources)
    with pytest.raises(Killed):
        engine.apply(resources, Journal(), pause=lambda _seconds: None)
    applied(network_and_data(cloud))
    assert cloud == whole


def test_drift_and_tags_are_shown_and_repaired() -> None:
    cloud: Cloud = {}
    applied(network_and_data(cloud))
    cloud["door"]["fields"]["size"] = 7
    cloud["network"]["tags"].pop(engine.MANAGER_TAG)
    resources = network_and_data(cloud)
    engine.look(resources)
    outcome = engine.plan(resources)
    assert outcome.actions == [f"change thing network: tag {engine.MANAGER_TAG} -> {engine.MANAGER}", "change thing door: size 7 -> 2"]
    assert (outcome.before["thing door"], outcome.after["thing door"]) == ({"size": 7}, {"size": 2})
    assert applied(resources) == ["tag thing network", "change thing door: size"]
    assert applied(network_and_data(cloud)) == []


def test_what_belongs_to_others_is_a_problem() -> None:
    cloud: Cloud = {"network": {"fields": {"size": 1, "parents": []}, "tags": {}}, "door": {"fields": {}, "tags": {OWNER_TAG: "other"}}}
    resources = network_and_data(cloud)
    engine.look(resources)
    lines = [str(problem) for problem in engine.plan_problems(resources)]
    assert len(lines) == 2
    assert "thing network exists already and was not made by this collection" in lines[0]
    assert "belongs to the deployment 'other'" in lines[1]
    assert all(f"{OWNER_TAG}=codecov" in line for line in lines)


def test_what_cannot_be_changed_in_place_is_a_problem() -> None:
    cloud: Cloud = {}
    applied(network_and_data(cloud))
    cloud["data"]["fields"]["size"] = 9
    resources = network_and_data(cloud)
    engine.look(resources)
    problem, = engine.plan_problems(resources)
    assert "data data: size: is 9, 0 is wanted, and AWS cannot change it in place" in str(problem)


def test_data_and_what_it_needs_stay() -> None:
    cloud: Cloud = {}
    applied(network_and_data(cloud))
    resources = network_and_data(cloud)
    engine.look(resources)
    outcome, doomed, obstacles = engine.plan_absent(resources, delete_data=False)
    assert [resource.name for resource in doomed] == ["door", "unrelated"]
    assert outcome.kept == ["data data: it holds data", "thing network: what stays needs it"]
    assert obstacles == []


def test_data_goes_when_asked_for_in_the_order_of_needs() -> None:
    cloud: Cloud = {}
    applied(network_and_data(cloud))
    resources = network_and_data(cloud)
    engine.look(resources)
    _outcome, doomed, _obstacles = engine.plan_absent(resources, delete_data=True)
    assert [resource.name for resource in doomed] == ["door", "data", "unrelated", "network"]


def test_what_is_not_ours_is_never_deleted_and_keeps_what_it_needs() -> None:
    cloud: Cloud = {}
    applied(network_and_data(cloud))
    cloud["door"]["tags"][OWNER_TAG] = "other"
    resources = network_and_data(cloud)
    engine.look(resources)
    outcome, doomed, _obstacles = engine.plan_absent(resources, delete_data=True)
    assert [resource.name for resource in doomed] == ["unrelated"]
    assert outcome.kept[0] == "thing door: it was not made by this deployment"


def test_slow_resources_are_waited_for_after_all_were_ordered() -> None:
    cloud: Cloud = {}
    slow = Slow(cloud, "slow", 3)
    other = Thing(cloud, "other", 1)
    assert applied([slow, other]) == ["create thing slow", "create thing other", "change thing other: size", "change thing slow: size"]
    assert slow.waited


def test_tags_of_ours_win() -> None:
    assert tags_of("codecov", {"team": 7, OWNER_TAG: "other"}) == {"team": "7", OWNER_TAG: "codecov", engine.MANAGER_TAG: engine.MANAGER}


def test_a_resource_that_never_shows_up_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost(Thing):
        def create(self) -> None:
            pass

    monkeypatch.setattr(engine, "VISIBLE_WITHIN_S", 0)
    with pytest.raises(engine.ApplyError, match="does not show it"):
        applied([Lost({}, "lost", 1)])
