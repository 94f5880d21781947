# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""The catalogue (catalogue/*.yml) as typed values. Runs on the controller only."""

from __future__ import annotations

import dataclasses
import os
import typing as t

try:
    import yaml
except ImportError:  # pragma: no cover - ansible-core itself needs PyYAML on the controller
    yaml = None  # type: ignore[assignment]

# libyaml's loader, ten times as fast, where PyYAML was built with it.
LOADER: t.Any = getattr(yaml, "CSafeLoader", None) or getattr(yaml, "SafeLoader", None)
CATALOGUE_DIRECTORY = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))), "catalogue")


class CatalogueError(ValueError):
    """A catalogue file says something that no renderer understands."""


@dataclasses.dataclass(frozen=True)
class Service:
    """One service of the catalogue. Seconds for times, MB for memory, absolute paths inside the container."""

    name: str
    title: str
    image: str
    version: str
    tier: str = "platform"
    kind: t.Optional[str] = None
    entry: bool = False
    port: t.Optional[int] = None
    published_port: t.Optional[int] = None
    # Of `port`: tcp, or udp. And where Prometheus finds metrics.
    protocol: str = "tcp"
    metrics_port: t.Optional[int] = None
    entrypoint: t.Optional[t.List[str]] = None
    command: t.Optional[t.List[str]] = None
    environment: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    upstreams: t.Mapping[str, t.Mapping[str, str]] = dataclasses.field(default_factory=dict)
    networks: t.Sequence[str] = ()
    mounts: t.Sequence[t.Mapping[str, t.Any]] = ()
    volumes: t.Sequence[t.Mapping[str, str]] = ()
    secret_files: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    writable: t.Sequence[str] = ()
    user: t.Optional[str] = None
    # What differs where no container may run as root: user (uid:gid), environment.
    unprivileged: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    read_only: bool = False
    capabilities: t.Sequence[str] = ()
    probe: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    stop_signal: t.Optional[str] = None
    stop_grace: int = 10
    shm_mb: t.Optional[int] = None
    resources: t.Mapping[str, float] = dataclasses.field(default_factory=dict)
    scaling: t.Mapping[str, int] = dataclasses.field(default_factory=dict)
    needs: t.Sequence[str] = ()
    config: bool = False
    optional: bool = False
    region: t.Optional[str] = None
    create_bucket: t.Optional[t.List[str]] = None
    # Whether there is a variant of it that runs on several hosts as one, and whether this is it. What that takes: ports among them, services that
    # may stand on another host and must be up before, secrets, questions whether the other hosts take part and whether this one leads them, what a load
    # balancer asks, and files whose content is said here.
    replicable: bool = False
    replicated: bool = False
    peer_ports: t.Sequence[int] = ()
    needs_elsewhere: t.Sequence[str] = ()
    secrets: t.Sequence[t.Mapping[str, t.Any]] = ()
    others_joined: t.Optional[t.List[str]] = None
    leads: t.Optional[t.List[str]] = None
    balancer_check: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    files: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    sysctls: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    # A volume with data that this service does not read, and the file that says that there are some.
    other_data: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    minimum_version: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    # The file of the first volume that says which version its data are of, and the pattern of that version in an image's tag.
    data_version: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    # Bounds of what this catalogue can run: minimum, maximum, and why.
    versions: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Line:
    """One application line: its services and the facts that all of them share."""

    name: str
    title: str
    services: t.Mapping[str, Service]
    config_path: str
    config_owner: int
    python: str
    versions_must_match: t.Sequence[t.Sequence[str]]
    needs: t.Sequence[str]
    optional: t.Sequence[str]
    queues: t.Sequence[str]
    jobs: t.Mapping[str, t.Mapping[str, t.Any]]
    probes: t.Sequence[t.Mapping[str, t.Any]]
    config: t.Mapping[str, t.Any]
    config_endpoints: t.Mapping[str, t.Any]
    secrets: t.Sequence[t.Mapping[str, t.Any]]

    @property
    def entry(self) -> Service:
        """The service that the edge sends public requests to."""
        return next(service for service in self.services.values() if service.entry)

    def tier(self, name: str) -> t.List[Service]:
        """The services of a tier, in the order of the catalogue."""
        return [service for service in self.services.values() if service.tier == name]


_Record = t.TypeVar("_Record")


def _record(cls: t.Type[_Record], where: str, values: t.Mapping[str, t.Any]) -> _Record:
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise CatalogueError(f"{where}: unknown key {unknown[0]!r}")
    missing = [field.name for field in dataclasses.fields(cls) if _is_required(field) and field.name not in values]  # type: ignore[arg-type]
    if missing:
        raise CatalogueError(f"{where}: {missing[0]!r} is missing")
    return cls(**values)


def _is_required(field: dataclasses.Field[t.Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _service(name: str, values: t.Mapping[str, t.Any]) -> Service:
    plain = {**values, "version": str(values["version"])} if "version" in values else values
    return _record(Service, name, {"name": name, **plain})


def _read(name: str, directory: str) -> t.Dict[str, t.Any]:
    with open(os.path.join(directory, f"{name}.yml"), encoding="utf-8") as stream:
        return yaml.load(stream, Loader=LOADER)


def load_line(name: str, directory: str = CATALOGUE_DIRECTORY) -> Line:
    """Read an application line, for example C(codecov)."""
    values = _read(name, directory)
    services = {key: _service(key, value) for key, value in values.pop("services").items()}
    return _record(Line, name, {"name": name, "services": services, **values})


def load_platform(variants: t.Mapping[str, t.Union[str, t.Sequence[str]]], directory: str = CATALOGUE_DIRECTORY) -> t.Dict[str, Service]:
    """Read the platform services. `variants` chooses among the variants of a service, {service: variant, or the first that exists of several}."""
    services = {}
    for name, values in _read("platform", directory)["services"].items():
        values = dict(values)
        alternatives = values.pop("variants", None)
        if alternatives:
            wanted = variants.get(name, ())
            names = (wanted,) if isinstance(wanted, str) else wanted
            values.update(alternatives[next((variant for variant in names if variant in alternatives), next(iter(alternatives)))])
        services[name] = _service(name, values)
    return services


def lines(directory: str = CATALOGUE_DIRECTORY) -> t.List[str]:
    """Names of the application lines."""
    return sorted(name[:-4] for name in os.listdir(directory) if name.endswith(".yml") and name != "platform.yml")
