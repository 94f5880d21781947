# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""The AWS services of one deployment: which resources they consist of, in the order in which they are made, and what comes out.

Private to this collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_client import Aws
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_data import (
    Cache,
    CacheParameters,
    CacheSubnets,
    Database,
    DatabaseParameters,
    DatabaseSubnets,
    Secret,
    generated,
)
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_edge import LoadBalancer, RedirectListener, StorageRule, TargetGroup, TlsListener
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_engine import Resource, Symbol, tags_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_network import (
    ExistingVpc,
    InternetGateway,
    PublicRoutes,
    Rule,
    SecurityGroup,
    Subnet,
    Vpc,
)
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_settings import subnet_plan
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_storage import AccessKey, Bucket, InstanceProfile, Role, User
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import ERROR, WARNING, Problem

SSH_PORT = 22
HTTP_PORT = 80
HTTPS_PORT = 443

R = t.TypeVar("R", bound=Resource)


class Services:
    """Resources by their part of the deployment."""

    def __init__(self, aws: Aws, settings: t.Mapping[str, t.Any]) -> None:
        self.aws, self.settings, self.name = aws, settings, str(settings["name"])
        self.tags = tags_of(self.name, settings["tags"])
        self.resources: t.List[Resource] = []
        self.vpc: t.Union[Vpc, ExistingVpc]
        self.public: t.List[Subnet] = []
        self.private: t.List[Subnet] = []
        self.groups: t.Dict[str, SecurityGroup] = {}
        self.database: t.Optional[Database] = None
        self.cache: t.Optional[Cache] = None
        self.bucket: t.Optional[Bucket] = None
        self.key: t.Optional[AccessKey] = None
        self.profile: t.Optional[InstanceProfile] = None
        self.balancer: t.Optional[LoadBalancer] = None
        self.targets: t.Dict[str, TargetGroup] = {}
        self._network()
        self._security_groups()
        if settings["postgres"]["managed"]:
            self._postgres()
        if settings["redis"]["managed"]:
            self._redis()
        if settings["storage"]["mode"] == "s3":
            self._object_storage()
        if settings["load_balancer"]["managed"]:
            self._load_balancer()

    def _add(self, resource: R) -> R:
        self.resources.append(resource)
        return resource

    def _tags(self, *kinds: str) -> t.Dict[str, str]:
        return {**self.tags, **({"covstack:kinds": " ".join(kinds)} if kinds else {})}

    # --- network
    def _network(self) -> None:
        network = self.settings["network"]
        if network["vpc_id"]:
            self.vpc = self._add(ExistingVpc(self.aws, network["vpc_id"], self.tags))
            return
        vpc = self._add(Vpc(self.aws, self.name, self.tags, network["cidr"]))
        self.vpc = vpc
        for zone, cidr, public in subnet_plan(network["cidr"], self._zones()):
            name = f"{self.name}-{'public' if public else 'private'}-{zone}"
            subnet = self._add(Subnet(self.aws, name, self.tags, vpc, cidr, zone, public))
            (self.public if public else self.private).append(subnet)
        gateway = self._add(InternetGateway(self.aws, self.name, self.tags, vpc))
        self._add(PublicRoutes(self.aws, f"{self.name}-public", self.tags, vpc, gateway, self.public))

    def _zones(self) -> t.List[str]:
        chosen = list(self.settings["network"]["zones"])
        if chosen:
            return chosen
        ordinary = [{"Name": "zone-type", "Values": ["availability-zone"]}, {"Name": "state", "Values": ["available"]}]
        zones = self.aws.pages("ec2", "describe_availability_zones", "AvailabilityZones", Filters=ordinary)
        return sorted(zone["ZoneName"] for zone in zones)[:2]

    def public_ids(self) -> t.List[str]:
        return [subnet.id for subnet in self.public] or list(self.settings["network"]["public_subnet_ids"])

    def private_ids(self) -> t.List[str]:
        return [subnet.id for subnet in self.private] or list(self.settings["network"]["private_subnet_ids"])

    def _group(self, kind: str, purpose: str, rules: t.Sequence[Rule]) -> SecurityGroup:
        group = self._add(SecurityGroup(self.aws, f"{self.name}-{kind}", self.tags, self.vpc, purpose, rules))
        self.groups[kind] = group
        return group

    def _security_groups(self) -> None:
        settings = self.settings
        balancer, storage, postgres, redis = (settings[part] for part in ("load_balancer", "storage", "postgres", "redis"))
        ssh = [Rule(SSH_PORT, network) for network in settings["network"]["administrators"]]
        outside: t.List[SecurityGroup] = []
        if balancer["managed"]:
            public = [Rule(port, network) for network in balancer["clients"] for port in (HTTP_PORT, HTTPS_PORT)]
            outside.append(self._group("alb", "Load balancer of Codecov: HTTP and HTTPS from clients", public))
        web_rules = [Rule(port, group) for group in outside for port in sorted({balancer["web_port"], balancer["readiness_port"]})]
        web = self._group("web", "Web hosts of Codecov: from the load balancer alone", [*web_rules, *ssh])
        worker = self._group("worker", "Worker hosts of Codecov: nobody connects to them", ssh)
        if postgres["managed"] or redis["managed"]:
            ports = ([postgres["port"]] if postgres["managed"] else []) + ([redis["port"]] if redis["managed"] else [])
            self._group("data", "PostgreSQL and Redis of Codecov: from its hosts alone", [Rule(port, group) for group in (web, worker) for port in ports])
        if storage["mode"] == "hosts":
            inside = [Rule(storage["port"], group) for group in (*outside, web, worker)]
            self._group("storage", "Storage hosts of Codecov: from the load balancer and its hosts", [*inside, *ssh])

    # --- data
    def _postgres(self) -> None:
        chosen = self.settings["postgres"]
        name = f"{self.name}-postgres"
        user = chosen["user"]
        secret = self._add(Secret(
            self.aws, f"{self.name}/postgres", self.tags, "PostgreSQL of Codecov: username, password",
            lambda: {"username": user, "password": generated()}, stateful=True,
        ))
        subnets = self._add(DatabaseSubnets(self.aws, name, self.tags, self.private_ids, [self.vpc, *self.private]))
        # The name holds the major version, since a group belongs to one.
        major = chosen["version"].split(".")[0]
        parameters = self._add(DatabaseParameters(self.aws, f"{name}{major}", self.tags, major, {"rds.force_ssl": "1"}))
        self.database = self._add(Database(self.aws, name, self.tags, chosen, secret, subnets, parameters, self.groups["data"]))

    def _redis(self) -> None:
        chosen = self.settings["redis"]
        name = f"{self.name}-redis"
        secret = self._add(Secret(
            self.aws, f"{self.name}/redis", self.tags, "Redis of Codecov: auth_token", lambda: {"auth_token": generated()}, stateful=True,
        ))
        subnets = self._add(CacheSubnets(self.aws, name, self.tags, self.private_ids, [self.vpc, *self.private]))
        major = chosen["version"].split(".")[0]
        parameters = self._add(CacheParameters(self.aws, f"{self.name}-{chosen['engine']}{major}", self.tags, chosen["engine"], major))
        self.cache = self._add(Cache(self.aws, name, self.tags, chosen, secret, subnets, parameters, self.groups["data"]))

    def _object_storage(self) -> None:
        chosen = self.settings["storage"]
        bucket = self._add(Bucket(self.aws, chosen["bucket"], self.tags, chosen))
        self.bucket = bucket
        name = f"{self.name}-storage"
        if chosen["credentials"] == "user":
            secret = self._add(Secret(
                self.aws, f"{self.name}/storage", self.tags, "S3 bucket of Codecov: access_key_id, secret_access_key", None, stateful=False,
            ))
            user = self._add(User(self.aws, name, self.tags, chosen["bucket"]))
            self.key = self._add(AccessKey(self.aws, f"of {name}", self.tags, user, secret))
        else:
            role = self._add(Role(self.aws, name, self.tags, chosen["bucket"]))
            self.profile = self._add(InstanceProfile(self.aws, name, self.tags, role))

    # --- edge
    def _load_balancer(self) -> None:
        chosen, storage = self.settings["load_balancer"], self.settings["storage"]
        web = self._target("web", chosen["web_port"], chosen["readiness_port"], chosen["readiness_path"], chosen["web_instances"])
        self.balancer = self._add(LoadBalancer(
            self.aws, self.name, self.tags, chosen, self.vpc, self.groups["alb"], self.public_ids, [*self.public],
        ))
        self._add(RedirectListener(self.aws, f"{self.name}:{HTTP_PORT}", self.tags, self.balancer, HTTP_PORT))
        listener = self._add(TlsListener(self.aws, f"{self.name}:{HTTPS_PORT}", self.tags, self.balancer, HTTPS_PORT, chosen, web))
        if storage["mode"] == "hosts":
            target = self._target("storage", storage["port"], storage["port"], storage["health_path"], chosen["storage_instances"])
            self._add(StorageRule(self.aws, f"{self.name}:{HTTPS_PORT} /{storage['bucket']}/*", self.tags, listener, storage["bucket"], target))

    def _target(self, kind: str, port: int, health_port: int, health_path: str, instances: t.Sequence[str]) -> TargetGroup:
        chosen = self.settings["load_balancer"]
        group = TargetGroup(self.aws, f"{self.name}-{kind}", self._tags(kind), chosen, self.vpc, port, health_port, health_path, instances)
        self.targets[kind] = self._add(group)
        return group

    def certificate_problems(self, check_mode: bool) -> t.List[Problem]:
        """A listener needs a certificate that is issued. A plan is made without, and says so."""
        if self.balancer is None:
            return []
        arn = self.settings["load_balancer"]["certificate_arn"]
        answer = self.aws.ask("acm", "describe_certificate", ["ResourceNotFoundException"], CertificateArn=arn)
        status = answer["Certificate"]["Status"] if answer else ""
        if status == "ISSUED":
            return []
        level = WARNING if check_mode else ERROR
        message = f"the certificate is {status.lower().replace('_', ' ')}" if status else "there is no such certificate in this account"
        return [Problem(
            level, "load_balancer.certificate_arn", message, allowed="an issued one", way_out="request it in ACM and answer its DNS validation first",
        )]

    # --- outputs
    def outputs(self) -> t.Dict[str, t.Any]:
        """What a deployment needs to know. No secrets: their names. Null is what AWS has not told yet."""
        postgres, redis, storage = (self.settings[part] for part in ("postgres", "redis", "storage"))
        return {
            "region": self.aws.region,
            "network": {
                "vpc_id": known(self.vpc.id),
                "cidr": self._cidr(),
                "public_subnet_ids": [known(subnet) for subnet in self.public_ids()],
                "private_subnet_ids": [known(subnet) for subnet in self.private_ids()],
                "security_group_ids": {kind: known(group.id) for kind, group in self.groups.items()},
            },
            "postgres": None if self.database is None else {
                "host": more(self.database, "host"), "port": postgres["port"], "database": postgres["database"], "user": postgres["user"],
                "secret": self.database.secret.name,
            },
            "redis": None if self.cache is None else {"host": more(self.cache, "host"), "port": redis["port"], "secret": self.cache.secret.name},
            "storage": None if self.bucket is None else {
                "bucket": storage["bucket"],
                "secret": self.key.secret.name if self.key else None,
                "instance_profile": self.profile.name if self.profile else None,
            },
            "load_balancer": None if self.balancer is None else {
                "dns_name": more(self.balancer, "dns_name"), "zone_id": more(self.balancer, "zone_id"),
                "target_group_arns": {kind: known(group.id) for kind, group in self.targets.items()},
                "notices_after_s": self._notices_after(),
            },
        }

    def _notices_after(self) -> int:
        """Seconds in which every node of the load balancer finds a host that is not ready any more, one health check to spare."""
        chosen = self.settings["load_balancer"]
        return int(chosen["health_interval_s"]) * (int(chosen["unhealthy_after"]) + 1)

    def _cidr(self) -> t.Optional[str]:
        if isinstance(self.vpc, Vpc):
            return self.vpc.cidr
        return self.vpc.found.fields.get("cidr") if self.vpc.found else None

    def complete(self) -> bool:
        """Whether every address is known."""
        endpoints = [resource for resource in (self.database, self.cache) if resource is not None]
        balancer_known = self.balancer is None or more(self.balancer, "dns_name") is not None
        return balancer_known and all(more(resource, "host") for resource in endpoints) and (self.key is None or not self.key.missing)


def known(value: str) -> t.Optional[str]:
    return None if isinstance(value, Symbol) else value


def more(resource: Resource, key: str) -> t.Optional[str]:
    return resource.found.more.get(key) if resource.found else None
