# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Blue and green: two copies of the application that share the data services, and how the requests are shared between them.

What there is, is a mapping: colour -> its share of the requests, in percent. One colour: nothing is under way. Two: a change is, until one of
them is cleaned up. C(production) is the colour with the larger share, C(stage) the other one. Pure, and the same for one host, split hosts and clusters.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
from urllib.parse import urlsplit

from ansible_collections.covstack.selfhosted.plugins.module_utils._deployment import SLOTS
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, error

SETTING = "codecov_blue_green"
# What a run is for. Only these two change which release serves, and each refuses what the other has begun.
DEPLOY, BLUE_GREEN = "deploy", "blue_green"
ALL = 100
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.IGNORECASE)

Shares = t.Mapping[str, int]
Problems = t.Iterator[Problem]


@dataclasses.dataclass(frozen=True)
class Change:
    """What the setting asks for: `slot` is the colour that it is about; `before` and `after` are the shares."""

    action: str
    slot: str
    host: str
    before: Shares
    after: Shares

    @property
    def production(self) -> str:
        return production_of(self.after)

    @property
    def stage(self) -> str:
        return other(self.production)

    @property
    def idle(self) -> t.List[str]:
        """Colours that get no requests. Their workers do not run: all workers take tasks from the same queue, those of users."""
        return [slot for slot, share in self.after.items() if not share]

    @property
    def serving(self) -> t.List[str]:
        return [slot for slot, share in self.after.items() if share]

    def url(self, url: str) -> str:
        """The public URL with stage's host name in the place of production's."""
        parts = urlsplit(url)
        return parts._replace(netloc=self.host + (f":{parts.port}" if parts.port else "")).geturl() if self.host else ""

    def report(self, url: str) -> t.Dict[str, t.Any]:
        """For tasks."""
        plain = {"action": self.action, "slot": self.slot, "host": self.host, "before": dict(self.before), "after": dict(self.after)}
        return {**plain, "url": self.url(url), "production": self.production, "stage": self.stage, "idle": self.idle, "serving": self.serving}


def other(slot: str) -> str:
    return SLOTS[1] if slot == SLOTS[0] else SLOTS[0]


def production_of(shares: Shares) -> str:
    return max(SLOTS, key=lambda slot: shares.get(slot, -1))


def _named(wanted: t.Mapping[str, t.Any], shares: Shares) -> str:
    production = production_of(shares)
    return {"production": production, "stage": other(production)}.get(wanted["slot"], wanted["slot"])


def change_of(wanted: t.Mapping[str, t.Any], shares: Shares) -> Change:
    """The change that the setting asks for, where nothing speaks against it (see problems)."""
    slot, action = _named(wanted, shares), wanted["action"]
    after = dict(shares)
    if action == "deploy":
        after.setdefault(slot, 0)
    elif action == "switch":
        after = {slot: wanted["weight"], other(slot): ALL - wanted["weight"]}
    elif action == "clean_up":
        after.pop(slot, None)
    return Change(action, slot, wanted["host"], dict(shares), {name: after[name] for name in SLOTS if name in after})


def said(shares: Shares) -> str:
    return " and ".join(f"{slot} gets {share} % of the requests" for slot, share in shares.items())


def problems(wanted: t.Mapping[str, t.Any], shares: Shares, hostname: str) -> Problems:
    """What speaks against a change of colours."""
    yield from _host(wanted["host"], hostname)
    if wanted["action"] == "look":
        return
    if not shares:
        yield error(f"{SETTING}.action", "nothing is deployed yet, so there is nothing to stand beside", "run the playbook deploy first")
        return
    yield from {"deploy": _deploy, "switch": _switch, "clean_up": _clean_up}[wanted["action"]](wanted, shares)


def _deploy(wanted: t.Mapping[str, t.Any], shares: Shares) -> Problems:
    slot = _named(wanted, shares)
    if all(shares.get(colour) for colour in SLOTS):
        yield error(f"{SETTING}.action", f"{said(shares)}, so neither is free for another release", "give all of them to one colour first (action: switch)")
    elif shares.get(slot):
        yield error(f"{SETTING}.slot", f"{slot} serves, and a release is deployed beside it", "leave the slot out, or say stage")


def _switch(wanted: t.Mapping[str, t.Any], shares: Shares) -> Problems:
    weight, production = wanted["weight"], production_of(shares)
    if not 0 <= weight <= ALL:
        yield error(f"{SETTING}.weight", f"{weight} is no share of the requests in percent", "choose a number from 0 to 100")
    if len(shares) < len(SLOTS):
        yield error(f"{SETTING}.action", f"there is no {other(production)} to switch to or from, {production} serves alone", "deploy it first (action: deploy)")
    elif wanted["slot"] not in SLOTS:
        message = f"{wanted['slot']} is another colour after the switch, so the same run once more would switch back"
        yield error(f"{SETTING}.slot", message, f"say which colour gets the weight; {production} is production now, and {other(production)} stage")


def _clean_up(wanted: t.Mapping[str, t.Any], shares: Shares) -> Problems:
    slot = _named(wanted, shares)
    if shares.get(slot):
        yield error(f"{SETTING}.slot", f"{slot} gets {shares[slot]} % of the requests", "give all of them to the other colour first (action: switch)")


def _host(host: str, hostname: str) -> Problems:
    if host and not _HOST_NAME.fullmatch(host):
        yield error(f"{SETTING}.host", "is no host name", "give the name alone, for example stage.codecov.example.com")
    elif host and host.lower() == hostname.lower():
        yield error(f"{SETTING}.host", f"{host} is the name of codecov_url, which leads to production", "give stage a name of its own")


def under_way(shares: Shares) -> Problems:
    """Why an ordinary deployment must wait: it would take the place of one colour, or all requests at once."""
    if len(shares) == len(SLOTS):
        way_out = "go on with the playbook blue_green: switch, then clean_up, which ends the change"
        yield error(SETTING, f"a change of colours is under way ({said(shares)})", way_out)
