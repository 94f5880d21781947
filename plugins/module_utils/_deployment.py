# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""A deployment: checked settings and the catalogue, joined. Every renderer reads this; none reads settings on its own."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t
from urllib.parse import SplitResult, urlsplit

from ansible_collections.covstack.selfhosted.plugins.module_utils._catalogue import Line, Service, load_line, load_platform
from ansible_collections.covstack.selfhosted.plugins.module_utils._placement import Host, Placement
from ansible_collections.covstack.selfhosted.plugins.module_utils._providers import provider_secrets

NAME = "codecov"
SLOTS = ("blue", "green")
FIRST_SLOT_PORT = 8001
CONTROL_PORT = 8082
METRICS_PORT = 8083
# Platform services that stand on every host unless the deployment is split, and on none then.
EDGE_SERVICES = ("edge", "socket_proxy")
# Tier of an application's service -> kind of host that runs it.
TIER_KINDS = {"web": "web", "worker": "worker"}
# Addresses of containers that others call by address, from the start of the subnet on.
FIRST_FIXED_ADDRESS = 2
# Replicated storage: a majority of three goes on without one; two have none when one is gone. More hosts hold data, but do not vote.
STORAGE_QUORUM = 3
STORAGE_MASTER_PORT = 9333
# Database, and its user, in which replicated storage writes down what is where.
STORAGE_DATABASE = "seaweedfs"
# Where containers find the certificates that they trust, if these are not their image's.
CA_BUNDLE = "/covstack/tls/ca-bundle.pem"
PUBLIC_STORAGE_HOSTS = {"s3": "s3.{region}.amazonaws.com", "gcs": "storage.googleapis.com"}


@dataclasses.dataclass(frozen=True)
class Deployment:
    """What one host shall run. `settings` are checked (see _settings.py)."""

    settings: t.Mapping[str, t.Any]
    line: Line
    platform: t.Mapping[str, Service]
    placement: Placement = Placement()
    host: Host = Host("")

    @property
    def is_split(self) -> bool:
        """Whether several hosts make up the deployment, each with a part of it."""
        return self.placement.is_split

    @property
    def is_cluster(self) -> bool:
        """Whether a Kubernetes cluster runs the deployment."""
        return self.placement.is_cluster

    @property
    def has_edge(self) -> bool:
        """Whether the deployment has an edge proxy of its own. Else load balancers, or the cluster's ingress, bring the requests."""
        return not self.is_split and not self.is_cluster

    @property
    def keeps_secrets(self) -> bool:
        """Whether the collection keeps the secrets. In a cluster somebody else may."""
        return not self.is_cluster or self.settings["codecov_kubernetes"]["secrets"]["source"] == "collection"

    @property
    def high_availability(self) -> bool:
        return bool(self.settings["codecov_high_availability"])

    @property
    def is_keeper(self) -> bool:
        """Whether this host keeps the secrets, migrates, and proves what is the same for all hosts."""
        return not self.is_split or self.placement.keeper == self.host

    @property
    def replicates_storage(self) -> bool:
        """Whether several storage hosts hold the same reports."""
        return self.mode("storage") == "embedded" and self.platform["storage"].replicated

    @property
    def url(self) -> str:
        return self.settings["codecov_url"]

    @property
    def _url_parts(self) -> SplitResult:
        """Parts of the public URL; empty where it is none, which the rules report."""
        try:
            parts = urlsplit(self.url)
            _port = parts.port
        except ValueError:
            return urlsplit("")
        return parts

    @property
    def hostname(self) -> str:
        return self._url_parts.hostname or ""

    @property
    def https(self) -> bool:
        return self.url.startswith("https://")

    @property
    def port(self) -> int:
        return self._url_parts.port or (443 if self.https else 80)

    @property
    def edge_tls(self) -> bool:
        """Whether the edge itself terminates TLS (an outer proxy may do it instead)."""
        return self.has_edge and self.settings["codecov_tls"]["mode"] != "disabled"

    @property
    def edge_serves_url(self) -> bool:
        """Whether who takes the edge for the public host finds it there: same scheme, same port. Behind a load balancer both may differ."""
        return self.has_edge and self.https == self.edge_tls and self.port == self.settings["codecov_edge"]["https_port" if self.https else "http_port"]

    def mode(self, service: str) -> str:
        """How a platform service is provided: embedded (by one of our hosts), external or disabled. What is no choice is embedded."""
        offered = (*self.line.needs, *self.line.optional, *(EDGE_SERVICES if self.has_edge else ()))
        if service not in offered:
            return "disabled"
        return self.settings.get(f"codecov_{service}", {}).get("mode", "embedded")

    def embedded(self) -> t.Dict[str, Service]:
        """Platform services that this host runs."""
        return {name: service for name, service in self.platform.items() if self.mode(name) == "embedded" and self._stands_here(service)}

    def _stands_here(self, service: Service) -> bool:
        if not self.is_split:
            return True
        return self.host.is_of(*TIER_KINDS.values()) if service.kind == "application" else self.host.is_of(service.kind or "")

    def services(self) -> t.Dict[str, Service]:
        """Services of the application that this host runs."""
        return {name: service for name, service in self.line.services.items() if not self.is_split or self.host.is_of(TIER_KINDS[service.tier])}

    def published_port(self, name: str) -> int:
        """Port by which other hosts reach a platform service of a split deployment."""
        service = self.platform[name]
        return int(service.published_port or service.port or 0)

    def _address(self, name: str) -> str:
        """Where an embedded platform service is found: by its name on the same host, or at the host that runs it."""
        if self.is_cluster:
            return self.cluster_name(name)
        hosts = self.placement.of_kind(self.platform[name].kind or "")
        return hosts[0].address if self.is_split and hosts else name

    def cluster_name(self, name: str) -> str:
        """Name of the objects of a platform service in a cluster, and in its DNS."""
        return f"{self.settings['codecov_kubernetes']['release']}-{name}"

    def fixed_address(self, name: str) -> str:
        """Address of a container of a split deployment that is called by its address, so that the caller need not look it up again."""
        position = list(self.line.services).index(name)
        return str(ipaddress.IPv4Network(self.settings["codecov_network"]["subnet"])[FIRST_FIXED_ADDRESS + position])

    def dynamic_range(self) -> str:
        """The part of the subnet from which Docker may choose."""
        return str(list(ipaddress.IPv4Network(self.settings["codecov_network"]["subnet"]).subnets(1))[1])

    def volume(self, service: Service) -> str:
        """Name of the Docker volume with a service's data."""
        return f"{NAME}_{service.volumes[0]['name']}"

    def networks(self, service: Service) -> t.List[str]:
        """Networks of an application's service. A network that no platform service stands on does not exist."""
        if self.is_split:  # what it calls is on other hosts
            return ["app"]
        present = {network for platform in self.embedded().values() for network in platform.networks}
        return [network for network in service.networks if network in present]

    def version(self, service: Service) -> str:
        return str(self.settings["codecov_versions"].get(service.name, service.version))

    def image_parts(self, service: Service) -> t.Tuple[str, str, str]:
        """Repository, tag and digest of a service's image: mirror and own repository applied. The digest may be empty."""
        images = self.settings["codecov_images"]
        repository = images["repositories"].get(service.name, service.image)
        if images["registry"] and service.name not in images["repositories"]:
            repository = f"{images['registry'].rstrip('/')}/{repository.split('/', 1)[1]}"
        return repository, self.version(service), images["digests"].get(service.name, "")

    def image(self, service: Service) -> str:
        """Reference of a service's image."""
        repository, tag, digest = self.image_parts(service)
        return f"{repository}:{tag}" + (f"@{digest}" if digest else "")

    def replicas(self, service: Service) -> int:
        return int(self.settings["codecov_replicas"].get(service.name, 1))

    def resources(self, service: Service) -> t.Dict[str, float]:
        """CPUs and memory of a service, as the operator or the catalogue says."""
        return {**service.resources, **self.settings["codecov_resources"]["services"].get(service.name, {})}

    def environment(self, service: Service) -> t.Dict[str, str]:
        """What a container of the application is told of its surroundings, beyond what the catalogue says."""
        if not service.config:
            return {}
        environment = self._statsd_environment()
        if self.own_ca():
            environment.update({"SSL_CERT_FILE": CA_BUNDLE, "REQUESTS_CA_BUNDLE": CA_BUNDLE})
        if self.mode("postgres") == "external":  # Django drops the query string of database_url, so libpq's own variables carry it
            environment["PGSSLMODE"] = self.settings["codecov_postgres"]["sslmode"]
            if self.own_ca():
                environment["PGSSLROOTCERT"] = CA_BUNDLE
        return environment

    def _statsd_environment(self) -> t.Dict[str, str]:
        mode, given = self.mode("statsd"), self.settings["codecov_statsd"]
        if mode == "disabled":
            return {}
        # Each application host has its own.
        host = given["host"] if mode == "external" else self.cluster_name("statsd") if self.is_cluster else "statsd"
        port = given["port"] if mode == "external" else self.platform["statsd"].port
        return {"STATSD_HOST": host, "STATSD_PORT": str(port)}

    def stop_grace(self, service: Service) -> int:
        if service.tier == "worker" and self.settings["codecov_worker_grace"]:
            return int(self.settings["codecov_worker_grace"])
        return service.stop_grace

    def slot_ports(self) -> t.Dict[str, t.Dict[str, int]]:
        """Ports inside the edge that lead to the web services of one slot, {service: {slot: port}}."""
        return {
            service.name: {slot: FIRST_SLOT_PORT + len(SLOTS) * index + offset for offset, slot in enumerate(SLOTS)}
            for index, service in enumerate(self.line.tier("web"))
        }

    def storage(self) -> t.Dict[str, t.Any]:
        """Endpoint of the object storage as clients and containers use it: {host, port, tls, bucket, region, iam_auth}."""
        given = self.settings["codecov_storage"]
        if self.mode("storage") == "embedded":
            region = self.platform["storage"].region or ""
            return {
                "host": self.hostname,
                "port": self.port,
                "tls": self.https,
                "bucket": given["bucket"],
                "region": given["region"] or region,
                "iam_auth": False,
            }
        host = given["host"] or PUBLIC_STORAGE_HOSTS.get(given["provider"], "").format(region=given["region"])
        port = given["port"] or (443 if given["tls"] else 80)
        return {**{key: given[key] for key in ("tls", "bucket", "region", "iam_auth")}, "host": host, "port": port}

    def storage_values(self) -> t.Dict[str, t.Any]:
        """What replicated storage on this host needs to know of the others and of its database. The catalogue names them as {name}."""
        if not self.replicates_storage:
            return {}
        masters = self.placement.of_kind("storage")[:STORAGE_QUORUM]
        database, external = self.postgres(), self.mode("postgres") == "external"
        health = [f"{STORAGE_MASTER_PORT}/cluster/healthz"] if self.host in masters else []
        return {
            "storage_address": self.host.address,
            "storage_others": " ".join(host.address for host in self.placement.of_kind("storage") if host != self.host),
            "storage_is_master": str(self.host in masters).lower(),
            "storage_masters": ",".join(f"{host.address}:{STORAGE_MASTER_PORT}" for host in masters),
            "storage_health": " ".join([*health, "8888/healthz", "9334/healthz", "8333/healthz"]),
            "storage_database": STORAGE_DATABASE,
            "storage_database_host": database["host"],
            "storage_database_port": str(database["port"]),
            "storage_database_sslmode": self.settings["codecov_postgres"]["sslmode"] if external else "disable",
            "storage_database_password": f"${{secret:{self.storage_database_secret()}}}",
        }

    def storage_database_secret(self) -> str:
        """Name of the password of replicated storage's database user: generated, or given for a database of the operator's."""
        return f"{'' if self.mode('postgres') == 'external' else 'embedded_'}storage_database_password"

    def postgres(self, service: str = "postgres") -> t.Dict[str, t.Any]:
        """Endpoint of a PostgreSQL service: {host, port, database, user}."""
        given = self.settings[f"codecov_{service}"]
        if self.mode(service) == "embedded":
            environment = self.platform[service].environment
            port = self.published_port(service) if self.is_split else self.platform[service].port
            return {"host": self._address(service), "port": port, "database": environment["POSTGRES_DB"], "user": environment["POSTGRES_USER"]}
        return {key: given[key] for key in ("host", "port", "database", "user")}

    def secret(self, service: str, kind: str) -> str:
        """Name of a secret of a platform service. Embedded and external ones are apart, so that changing the mode overwrites neither."""
        return f"{'embedded_' if self.mode(service) == 'embedded' else ''}{service}_{kind}"

    def _reference(self, service: str, kind: str) -> str:
        return f"${{secret:{self.secret(service, kind)}}}"

    def postgres_url(self, service: str = "postgres") -> t.Optional[str]:
        if self.mode(service) == "disabled":
            return None
        end = self.postgres(service)
        return f"postgresql://{end['user']}:{self._reference(service, 'password')}@{end['host']}:{end['port']}/{end['database']}"

    def redis_url(self) -> str:
        given = self.settings["codecov_redis"]
        if self.mode("redis") == "embedded":
            return f"redis://:{self._reference('redis', 'password')}@{self._address('redis')}:6379/0"
        elsewhere = {} if self.keeps_secrets else self.settings["codecov_kubernetes"]["secrets"]["keys"]
        has_password = "redis_password" in {**self.settings["codecov_secrets"], **elsewhere}
        login = f"{given['username']}:{self._reference('redis', 'password')}@" if has_password else ""
        # redis-py and Celery agree on this spelling of the option alone.
        query = "?ssl_cert_reqs=required" if given["tls"] else ""
        return f"{'rediss' if given['tls'] else 'redis'}://{login}{given['host']}:{given['port']}/{given['database']}{query}"

    def values(self) -> t.Dict[str, t.Any]:
        """Derived values that the catalogue may name as {name}. None means unset."""
        storage = self.storage()
        keys = not storage["iam_auth"]
        return {
            "url": self.url,
            "url_scheme": "https" if self.https else "http",
            "url_host": self._url_parts.netloc,
            "url_hostname": self.hostname,
            "https": self.https,
            "database_url": self.postgres_url(),
            "redis_url": self.redis_url(),
            "timescale": self.mode("timescale") != "disabled",
            "timescale_url": self.postgres_url("timescale"),
            "storage_access_key": self._reference("storage", "access_key") if keys else None,
            "storage_secret_key": self._reference("storage", "secret_key") if keys else None,
            **{f"storage_{key}": value for key, value in storage.items()},
            "bucket": storage["bucket"],
        }

    def required_secrets(self) -> t.List[t.Dict[str, t.Any]]:
        """Secrets to generate where neither given nor stored. Those of external services are never invented."""
        wanted = [dict(secret) for secret in self.line.secrets]
        for service in ("postgres", "redis", "timescale"):
            if self.mode(service) == "embedded":
                wanted.append({"name": self.secret(service, "password"), "format": "urlsafe", "length": 40})
        if self.mode("storage") == "embedded":
            wanted.append({"name": self.secret("storage", "access_key"), "format": "hex", "length": 20})
            wanted.append({"name": self.secret("storage", "secret_key"), "format": "urlsafe", "length": 40})
        if self.replicates_storage:
            wanted += [dict(secret) for secret in self.platform["storage"].secrets]
            if self.mode("postgres") == "embedded":
                wanted.append({"name": self.storage_database_secret(), "format": "urlsafe", "length": 40})
        names = {secret["name"] for secret in wanted}
        for provided in provider_secrets(self.settings["codecov_providers"])[0]:
            if provided.name not in names:
                wanted.append({"name": provided.name, "format": provided.format, **({"length": provided.length} if provided.length else {})})
        return wanted

    def own_ca(self) -> bool:
        """Whether the containers need a CA bundle that differs from their image's."""
        tls = self.settings["codecov_tls"]
        if self.is_cluster:
            return bool(self.settings["codecov_kubernetes"]["ca_secret"])
        return tls["mode"] == "self_signed" or bool(tls["extra_ca_files"])


_PLACEHOLDER = re.compile(r"(?<!\$)\{([a-z_]+)\}")


def resolve(value: t.Any, values: t.Mapping[str, t.Any]) -> t.Any:
    """Fill {name} placeholders, recursively. A string that is one placeholder takes the value's type; unset keys are dropped."""
    if isinstance(value, t.Mapping):
        resolved = {key: resolve(item, values) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [resolve(item, values) for item in value]
    if not isinstance(value, str):
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    return values[whole.group(1)] if whole else _PLACEHOLDER.sub(lambda match: str(values[match.group(1)]), value)


def deployment_of(settings: t.Mapping[str, t.Any], placement: t.Optional[Placement] = None, host: str = "") -> Deployment:
    """Join checked settings, the catalogue and the placement; `host` is the one of it that is looked at."""
    line = load_line(settings["codecov_line"])
    known = placement or Placement()
    several = "_replicated" if len(known.of_kind("storage")) >= STORAGE_QUORUM else ""
    provider = settings["codecov_storage"]["provider"]
    platform = load_platform({"storage": [provider + several, provider]})
    return Deployment(settings, line, platform, known, known.host(host) or Host(host))
