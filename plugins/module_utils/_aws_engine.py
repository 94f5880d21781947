# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Plan and apply cloud resources: describe, compare the fields that we own, create or repair.

Private to this collection. Knows no cloud: a resource says how it is found, made and changed.

What makes interrupted runs harmless: `create` makes a resource with the least it needs, and everything else is a difference that is
repaired, right after or in the next run. Nothing is remembered outside of the cloud itself.
"""

from __future__ import annotations

import abc
import time
import typing as t
from dataclasses import dataclass, field

from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, error

OWNER_TAG = "covstack:deployment"
MANAGER_TAG = "covstack:managed-by"
MANAGER = "covstack.selfhosted"
VISIBLE_WITHIN_S = 120


class Symbol(str):
    """Stands for a value that only the cloud gives, of a resource that is not there yet."""


class ApplyError(Exception):
    """A resource that did not become what it should."""


@dataclass
class Found:
    """A resource as it is. `fields` has the keys of `Resource.wanted()`; `more` is what else its class wants to know."""

    id: str
    fields: t.Dict[str, t.Any]
    tags: t.Dict[str, str] = field(default_factory=dict)
    more: t.Dict[str, t.Any] = field(default_factory=dict)


class Resource(abc.ABC):
    """One thing in the cloud. Subclasses say how; the functions below say when."""

    kind = "resource"
    # Holds data that nothing can bring back: deleted only when asked for by name.
    stateful = False
    # Takes minutes to become usable: waited for after everything else was ordered, so that such resources grow side by side.
    slow = False
    # Fields that the cloud cannot change in place.
    fixed: t.FrozenSet[str] = frozenset()
    # Resources of a kind that has no tags belong to whom their parent belongs.
    tagged = True
    # Somebody else's, which we only look at.
    foreign = False

    def __init__(self, name: str, tags: t.Mapping[str, str], needs: t.Iterable[t.Optional[Resource]] = ()) -> None:
        self.name = name
        self.tags = dict(tags)
        self.needs = [resource for resource in needs if resource is not None]
        self.found: t.Optional[Found] = None
        self.kept = False

    # --- what subclasses say; of the four changes those that their kind knows (somebody else's resource knows none, and none is planned for it)
    @abc.abstractmethod
    def find(self) -> t.Optional[Found]:
        """What is there, or None."""

    def wanted(self) -> t.Dict[str, t.Any]:
        """The fields that we own. No secrets."""
        return {}

    def create(self) -> None:
        raise self._unplanned("created")

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        """Set the fields given (of those of `wanted`)."""
        raise self._unplanned("changed")

    def set_tags(self, tags: t.Dict[str, str]) -> None:
        raise self._unplanned("tagged")

    def delete(self) -> None:
        raise self._unplanned("deleted")

    def _unplanned(self, done: str) -> TypeError:
        return TypeError(f"a {self.kind} is never {done}: the plan is wrong")

    def wait(self) -> None:
        """Until it can be used. `slow` ones say how."""
        if self.slow:
            raise self._unplanned("waited for")

    def same(self, name: str, current: t.Any, wanted: t.Any) -> bool:
        return bool(current == wanted)

    def problems(self) -> t.List[Problem]:
        """Why it cannot become what is wanted, although the settings alone are right."""
        return []

    def obstacles(self) -> t.List[Problem]:
        """Why it cannot be deleted."""
        return []

    # --- what they have
    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def id(self) -> str:
        return self.found.id if self.found else Symbol(f"(id of {self.title})")

    @property
    def missing(self) -> bool:
        return self.found is None

    def differences(self) -> t.Dict[str, t.Tuple[t.Any, t.Any]]:
        """{field: (current, wanted)} of what differs; without what is missing altogether."""
        if self.found is None:
            return {}
        current = self.found.fields
        return {name: (current.get(name), value) for name, value in self.wanted().items() if not self.same(name, current.get(name), value)}

    def tag_differences(self) -> t.Dict[str, str]:
        if self.found is None or not self.tagged:
            return {}
        return {key: value for key, value in self.tags.items() if self.found.tags.get(key) != value}

    def owned(self) -> bool:
        return self.found is None or not self.tagged or self.found.tags.get(OWNER_TAG) == self.tags.get(OWNER_TAG)


@dataclass
class Outcome:
    """What a run did, or would do."""

    actions: t.List[str] = field(default_factory=list)
    kept: t.List[str] = field(default_factory=list)
    before: t.Dict[str, t.Any] = field(default_factory=dict)
    after: t.Dict[str, t.Any] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return bool(self.actions)


def plain(value: t.Any) -> t.Any:
    """The value without classes of our own, for the result."""
    if isinstance(value, Symbol):
        return str.__str__(value)[:]
    if isinstance(value, dict):
        return {str(key): plain(element) for key, element in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(element) for element in value]
    return value


def shown(value: t.Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(shown(element) for element in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(element)}" for key, element in value.items()) + "}"
    return "nothing" if value in (None, "") else str(value)


def tags_of(name: str, further: t.Mapping[str, t.Any]) -> t.Dict[str, str]:
    """The tags of every resource of a deployment; ours are not negotiable."""
    return {**{str(key): str(value) for key, value in further.items()}, OWNER_TAG: name, MANAGER_TAG: MANAGER}


def look(resources: t.Iterable[Resource]) -> None:
    """Find everything. A resource whose parent is missing cannot be there."""
    for resource in resources:
        resource.found = resource.find()


def plan_problems(resources: t.Iterable[Resource], setting: str = "name") -> t.List[Problem]:
    """Why the resources cannot become what is wanted. Asked before anything is changed."""
    found: t.List[Problem] = []
    for resource in resources:
        if not resource.owned():
            owner = resource.found.tags.get(OWNER_TAG) if resource.found else None
            whose = f"belongs to the deployment '{owner}'" if owner else "was not made by this collection"
            found.append(error(
                setting, f"{resource.title} exists already and {whose}",
                f"choose another {setting}, or hand the resource over by its tag {OWNER_TAG}={resource.tags.get(OWNER_TAG)}",
            ))
            continue
        for name, (current, wanted) in resource.differences().items():
            if name in resource.fixed:
                found.append(error(
                    f"{resource.title}: {name}", f"is {shown(current)}, {shown(wanted)} is wanted, and AWS cannot change it in place",
                    f"set it to {shown(current)}, or move the data to a new one under another {setting}",
                ))
        found += resource.problems()
    return found


def plan(resources: t.Iterable[Resource]) -> Outcome:
    """What `apply` would do, from what `look` found."""
    outcome = Outcome()
    for resource in resources:
        title = resource.title
        if resource.missing:
            outcome.actions.append(f"create {title}")
            outcome.before[title] = {}
            outcome.after[title] = plain({**resource.wanted(), **({"tags": resource.tags} if resource.tagged else {})})
            continue
        differences = resource.differences()
        tags = resource.tag_differences()
        if not differences and not tags:
            continue
        changes = [f"{name} {shown(current)} -> {shown(wanted)}" for name, (current, wanted) in differences.items()]
        changes += [f"tag {key} -> {value}" for key, value in tags.items()]
        outcome.actions.append(f"change {title}: {', '.join(changes)}")
        outcome.before[title] = plain({name: current for name, (current, _wanted) in differences.items()})
        outcome.after[title] = plain({name: wanted for name, (_current, wanted) in differences.items()})
        if tags:
            present = resource.found.tags if resource.found else {}
            outcome.before[title]["tags"] = {key: present.get(key) for key in tags}
            outcome.after[title]["tags"] = tags
    return outcome


def apply(resources: t.Sequence[Resource], journal: t.List[str], pause: t.Callable[[float], None] = time.sleep, wait: bool = True) -> None:
    """Make everything what is wanted, in order; each step is written to the journal when it is done."""
    for resource in resources:
        if resource.missing:
            resource.create()
            journal.append(f"create {resource.title}")
            _until_visible(resource, pause)
            if resource.slow:
                # While it grows it may report values it does not have yet.
                continue
        repair(resource, journal)
    for resource in resources:
        if resource.slow and wait:
            resource.wait()
            resource.found = resource.find()
            repair(resource, journal)


def repair(resource: Resource, journal: t.List[str]) -> None:
    """Set what differs."""
    differences = resource.differences()
    if differences:
        resource.change({name: wanted for name, (_current, wanted) in differences.items()})
        journal.append(f"change {resource.title}: {', '.join(differences)}")
    tags = resource.tag_differences()
    if tags:
        resource.set_tags(tags)
        journal.append(f"tag {resource.title}")
    if differences or tags:
        resource.found = resource.find()


def _until_visible(resource: Resource, pause: t.Callable[[float], None]) -> None:
    """AWS may need a moment until it shows what it has made."""
    deadline = time.monotonic() + VISIBLE_WITHIN_S
    while True:
        resource.found = resource.find()
        if resource.found is not None:
            return
        if time.monotonic() > deadline:
            raise ApplyError(f"{resource.title} was created, but AWS does not show it after {VISIBLE_WITHIN_S} s. Run again.")
        pause(1.0)


def plan_absent(resources: t.Sequence[Resource], delete_data: bool) -> t.Tuple[Outcome, t.List[Resource], t.List[Problem]]:
    """What goes, in which order, and what stays: data, what data needs, and what is not ours."""
    outcome = Outcome()
    doomed: t.List[Resource] = []
    obstacles: t.List[Problem] = []
    for resource in reversed(resources):
        if resource.missing or resource.foreign:
            continue
        reason = ""
        if not resource.owned():
            reason = "it was not made by this deployment"
        elif resource.stateful and not delete_data:
            reason = "it holds data"
        elif resource.kept:
            reason = "what stays needs it"
        if reason:
            _keep(resource.needs)
            outcome.kept.append(f"{resource.title}: {reason}")
            continue
        obstacles += resource.obstacles()
        doomed.append(resource)
        outcome.actions.append(f"delete {resource.title}")
        outcome.before[resource.title] = plain(resource.found.fields if resource.found else {})
        outcome.after[resource.title] = {}
    return outcome, doomed, obstacles


def _keep(resources: t.Iterable[Resource]) -> None:
    for resource in resources:
        if not resource.kept:
            resource.kept = True
            _keep(resource.needs)
