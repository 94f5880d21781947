# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Settings of the AWS services: what is wrong with them, before AWS is asked anything.

Private to this collection. Pure. Types and choices are checked by Ansible before; this is what they cannot say.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import ERROR, WARNING, Problem, show

Settings = t.Mapping[str, t.Any]

NAME = re.compile(r"[a-z](?:[a-z0-9]|-(?!-)){0,18}[a-z0-9]")
BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")
CERTIFICATE = re.compile(r"arn:aws(?:-[a-z-]+)?:acm:([a-z0-9-]+):\d{12}:certificate/[0-9A-Za-z-]+")
INSTANCE = re.compile(r"i-[0-9a-f]{8,17}")
PATH = re.compile(r"/[A-Za-z0-9._~/%-]*")
# Names that RDS keeps for itself. `user` and `database` are words of SQL.
RESERVED_USERS = frozenset({"admin", "rdsadmin", "rdsrepladmin", "postgres_admin", "user", "public", "master"})
RESERVED_DATABASES = frozenset({"postgres", "template0", "template1", "rdsadmin", "database", "db"})
OLDEST_POSTGRES = 14
OLDEST_REDIS = (6, 2)
OLDEST_VALKEY = (7, 2)
# TLS 1.3, and 1.2 with forward secrecy; the policies with Ext take older ciphers too.
TLS_POLICIES = re.compile(r"ELBSecurityPolicy-TLS13-1-[23]-(?!Ext)[A-Za-z0-9-]+")


def _error(path: str, message: str, allowed: str, way_out: str) -> Problem:
    return Problem(ERROR, path, message, allowed=allowed, way_out=way_out)


def problems_of(settings: Settings) -> t.List[Problem]:
    """Every problem, with the place of the value relative to the settings."""
    found = [*_name(settings), *_network(settings)]
    found += _postgres(settings["postgres"]) if settings["postgres"]["managed"] else []
    found += _redis(settings["redis"]) if settings["redis"]["managed"] else []
    found += _storage(settings["storage"])
    found += _load_balancer(settings) if settings["load_balancer"]["managed"] else []
    return found


def _name(settings: Settings) -> t.Iterator[Problem]:
    if not NAME.fullmatch(settings["name"]):
        yield _error(
            "name", f"{show(settings['name'])} cannot be a part of the names of all resources",
            "2 to 20 lower-case letters, digits and single hyphens, the first a letter, the last no hyphen", "for example codecov or codecov-stage",
        )
    for key in settings["tags"]:
        if str(key).startswith(("aws:", "covstack:")):
            yield _error(
                f"tags.{key}", "this prefix is taken: by AWS, or by this collection for ownership", "keys without aws: and covstack:", "rename the tag",
            )
    if len(settings["tags"]) > 40:
        yield _error("tags", f"{len(settings['tags'])} tags are too many beside those of this collection", "40", "leave some out")


def _network(settings: Settings) -> t.Iterator[Problem]:
    network = settings["network"]
    if network["vpc_id"]:
        yield from _existing_network(settings)
    else:
        yield from _new_network(network)
    yield from _networks("network.administrators", network["administrators"])
    if any(_parsed(value) in (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")) for value in network["administrators"]):
        yield _error(
            "network.administrators", "the whole internet may try to log in by SSH", "networks of yours",
            "name the networks of your administrators, or a VPN",
        )


def _existing_network(settings: Settings) -> t.Iterator[Problem]:
    network = settings["network"]
    if not re.fullmatch(r"vpc-[0-9a-f]{8,17}", network["vpc_id"]):
        yield _error(
            "network.vpc_id", f"{show(network['vpc_id'])} is no id of a VPC", "vpc- and 8 to 17 hexadecimal digits, or empty",
            "copy it from the VPC console",
        )
    needs = {
        "public_subnet_ids": settings["load_balancer"]["managed"],
        "private_subnet_ids": settings["postgres"]["managed"] or settings["redis"]["managed"],
    }
    for name, needed in needs.items():
        ids = network[name]
        wrong = [value for value in ids if not re.fullmatch(r"subnet-[0-9a-f]{8,17}", str(value))]
        if wrong:
            yield _error(f"network.{name}", f"{show(wrong[0])} is no id of a subnet", "subnet- and 8 to 17 hexadecimal digits", "copy it from the VPC console")
        elif needed and len(set(ids)) < 2:
            count = f"{len(set(ids))} subnet" + ("" if len(set(ids)) == 1 else "s")
            yield _error(f"network.{name}", f"{count} in an existing VPC: AWS wants two availability zones", "two or more", "name subnets in two zones")


def _new_network(network: Settings) -> t.Iterator[Problem]:
    for name in ("public_subnet_ids", "private_subnet_ids"):
        if network[name]:
            yield _error(
                f"network.{name}", "subnets are given, but no VPC", "nothing without network.vpc_id", "give network.vpc_id too, or leave the subnets out",
            )
    cidr = _parsed(network["cidr"])
    if cidr is None or cidr.version != 4 or not cidr.is_private or not 16 <= cidr.prefixlen <= 22:
        yield _error(
            "network.cidr", f"{show(network['cidr'])} cannot be the network of a new VPC", "a private IPv4 network from /16 to /22",
            "for example 10.60.0.0/16",
        )
    if len(set(network["zones"])) == 1:
        yield _error(
            "network.zones", "one availability zone: the balancer and a standby need two", "none (two are chosen), or two or more", "name a second zone",
        )
    if len(network["zones"]) > 6:
        yield _error("network.zones", "too many", "up to 6", "name fewer")


def _parsed(value: t.Any) -> t.Any:
    try:
        return ipaddress.ip_network(str(value))
    except ValueError:
        return None


def _networks(path: str, values: t.Iterable[t.Any]) -> t.Iterator[Problem]:
    for index, value in enumerate(values):
        if _parsed(value) is None:
            yield _error(
                f"{path}[{index}]", f"{show(value)} is no network", "a network such as 203.0.113.0/24, host bits zero",
                "for one address write 203.0.113.7/32",
            )


def _number(value: str) -> t.Optional[t.Tuple[int, ...]]:
    return tuple(int(part) for part in value.split(".")) if re.fullmatch(r"\d+(\.\d+)*", value) else None


def _range(path: str, value: int, low: int, high: int, way_out: str) -> t.Iterator[Problem]:
    if not low <= value <= high:
        yield _error(path, f"{value} is out of range", f"from {low} to {high}", way_out)


def _postgres(postgres: Settings) -> t.Iterator[Problem]:
    version = _number(postgres["version"])
    if version is None or version[0] < OLDEST_POSTGRES:
        yield _error("postgres.version", f"{show(postgres['version'])} cannot carry Codecov", f"{OLDEST_POSTGRES} or newer", "for example 17")
    if not re.fullmatch(r"db\.[a-z0-9]+\.[a-z0-9]+", postgres["instance_class"]):
        yield _error("postgres.instance_class", f"{show(postgres['instance_class'])} is no class of RDS", "db.<family>.<size>", "for example db.m7g.large")
    yield from _range("postgres.storage_gb", postgres["storage_gb"], 20, 65536, "gp3 begins at 20")
    limit = postgres["storage_limit_gb"]
    # AWS refuses a limit that is less than a tenth above what is there.
    if limit and limit * 10 < postgres["storage_gb"] * 11:
        yield _error(
            "postgres.storage_limit_gb", f"{limit} leaves no room above storage_gb {postgres['storage_gb']}", "0 (no growth), or at least a tenth above",
            "raise it",
        )
    yield from _range("postgres.backup_days", postgres["backup_days"], 1, 35, "without backups there is no way back; 7 or 14 are usual")
    yield from _range("postgres.port", postgres["port"], 1150, 65535, "5432 is usual")
    for name, reserved in (("user", RESERVED_USERS), ("database", RESERVED_DATABASES)):
        value = postgres[name]
        if not IDENTIFIER.fullmatch(value) or value in reserved or value.startswith("pg_"):
            yield _error(
                f"postgres.{name}", f"{show(value)} cannot be used", "lower-case letters, digits and _, the first a letter, no reserved word",
                "for example codecov",
            )
    yield from _kms("postgres", postgres)
    if not postgres["multi_zone"]:
        yield Problem(WARNING, "postgres.multi_zone", "no standby: Codecov is down while the database's zone is", way_out="true for production")
    if not postgres["deletion_protection"]:
        yield Problem(WARNING, "postgres.deletion_protection", "anybody with the right may delete the database in one call", way_out="true for production")


def _kms(path: str, settings: Settings) -> t.Iterator[Problem]:
    if settings["kms_key"] and not settings["kms_key"].startswith("arn:aws"):
        yield _error(
            f"{path}.kms_key", f"{show(settings['kms_key'])} is no ARN of a key", "an ARN, or empty for the key of AWS",
            "give the ARN: an alias or id would differ in every run",
        )


def _redis(redis: Settings) -> t.Iterator[Problem]:
    oldest = OLDEST_REDIS if redis["engine"] == "redis" else OLDEST_VALKEY
    version = _number(redis["version"])
    # 7 means any 7; a bare 6 may be 6.0, which lacks a command that the worker uses.
    if version is None or len(version) < 2 or version < oldest:
        text = ".".join(map(str, oldest))
        yield _error(
            "redis.version", f"{show(redis['version'])} cannot carry Codecov", f"{text} or newer of {redis['engine']}, with its minor number",
            f"for example {'8.0' if redis['engine'] == 'valkey' else '7.1'}",
        )
    if not re.fullmatch(r"cache\.[a-z0-9]+\.[a-z0-9]+", redis["node_type"]):
        yield _error("redis.node_type", f"{show(redis['node_type'])} is no type of ElastiCache", "cache.<family>.<size>", "for example cache.m7g.large")
    if redis["cluster_mode"]:
        yield _error("redis.cluster_mode", "Codecov has no client for Redis Cluster", "false", "use a larger node type instead of more shards")
    yield from _range("redis.replicas", redis["replicas"], 0, 5, "1 is usual")
    yield from _range("redis.snapshot_days", redis["snapshot_days"], 0, 35, "7 is usual")
    yield from _range("redis.port", redis["port"], 1024, 65535, "6379 is usual")
    yield from _kms("redis", redis)
    if redis["replicas"] == 0:
        yield Problem(WARNING, "redis.replicas", "no replica: uploads that wait to be processed are lost with the node", way_out="1 or more for production")


def _storage(storage: Settings) -> t.Iterator[Problem]:
    if storage["mode"] == "none":
        return
    bucket = storage["bucket"]
    if not bucket:
        yield _error("storage.bucket", "is missing", "a name that nobody in the world has taken", "for example example-codecov-reports")
    elif not BUCKET.fullmatch(bucket) or "--" in bucket or bucket.startswith(("xn-", "sthree-", "amzn-s3-demo-")):
        # No dots: the certificate of S3 does not cover them.
        yield _error(
            "storage.bucket", f"{show(bucket)} cannot be the name of a bucket", "3 to 63 lower-case letters, digits and single hyphens, no dots",
            "for example example-codecov-reports",
        )
    if storage["mode"] == "s3":
        yield from _range("storage.incomplete_upload_days", storage["incomplete_upload_days"], 1, 365, "7 is usual")
        yield from _range("storage.old_version_days", storage["old_version_days"], 1, 3650, "30 is usual")
        yield from _kms("storage", storage)
    else:
        yield from _range("storage.port", storage["port"], 1, 65535, "8333 is SeaweedFS, 9000 MinIO")
        yield from _paths("storage.health_path", storage["health_path"])


def _paths(path: str, value: str) -> t.Iterator[Problem]:
    if not PATH.fullmatch(value):
        yield _error(path, f"{show(value)} is no path", "a path that begins with /", "for example /ready")


def _load_balancer(settings: Settings) -> t.Iterator[Problem]:
    balancer = settings["load_balancer"]
    arn = balancer["certificate_arn"]
    match = CERTIFICATE.fullmatch(arn)
    if not arn:
        yield _error(
            "load_balancer.certificate_arn", "is missing, and without TLS tokens would travel in the clear", "the ARN of a certificate of ACM",
            "request or import one in ACM for the host of codecov_url, in this region",
        )
    elif not match:
        yield _error(
            "load_balancer.certificate_arn", f"{show(arn)} is no ARN of a certificate", "arn:aws:acm:REGION:ACCOUNT:certificate/ID",
            "copy it from the ACM console",
        )
    elif settings["region"] and match.group(1) != settings["region"]:
        yield _error(
            "load_balancer.certificate_arn", f"the certificate is in {match.group(1)}", f"a certificate in {settings['region']}",
            "a balancer can use those of its own region only",
        )
    if not TLS_POLICIES.fullmatch(balancer["tls_policy"]):
        yield _error(
            "load_balancer.tls_policy", f"{show(balancer['tls_policy'])} allows what is out of date", "ELBSecurityPolicy-TLS13-1-2-... or -TLS13-1-3-...",
            "for example ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
        )
    yield from _networks("load_balancer.clients", balancer["clients"])
    if not balancer["clients"]:
        yield _error("load_balancer.clients", "nobody may reach Codecov", "one network or more", "0.0.0.0/0 for everybody")
    for name in ("web_port", "readiness_port"):
        yield from _range(f"load_balancer.{name}", balancer[name], 1, 65535, "it must be what the web hosts publish")
    yield from _paths("load_balancer.readiness_path", balancer["readiness_path"])
    yield from _range("load_balancer.deregistration_delay_s", balancer["deregistration_delay_s"], 0, 3600, "longer than the longest request; 60 is usual")
    yield from _range("load_balancer.idle_timeout_s", balancer["idle_timeout_s"], 1, 4000, "120 is usual")
    yield from _range("load_balancer.health_interval_s", balancer["health_interval_s"], 5, 300, "5 finds a lost host soonest")
    if not 2 <= balancer["health_timeout_s"] <= 120 or balancer["health_timeout_s"] >= balancer["health_interval_s"]:
        yield _error(
            "load_balancer.health_timeout_s", f"{balancer['health_timeout_s']} does not fit", "from 2 to 120, and less than health_interval_s",
            "for example 4 of 5",
        )
    for name in ("healthy_after", "unhealthy_after"):
        yield from _range(f"load_balancer.{name}", balancer[name], 2, 10, "2 is quickest")
    for name in ("web_instances", "storage_instances"):
        wrong = [value for value in balancer[name] if not INSTANCE.fullmatch(str(value))]
        if wrong:
            yield _error(
                f"load_balancer.{name}", f"{show(wrong[0])} is no id of an EC2 instance", "i- and hexadecimal digits",
                "take them from the dynamic inventory (instance_id)",
            )


def subnet_plan(cidr: str, zones: t.Sequence[str]) -> t.List[t.Tuple[str, str, bool]]:
    """(zone, network, public) of each subnet of a new VPC: sixteenths of it, public ones from its begin, private ones from its middle."""
    networks = list(ipaddress.ip_network(cidr).subnets(prefixlen_diff=4))
    public = [(zone, str(networks[index]), True) for index, zone in enumerate(zones)]
    private = [(zone, str(networks[8 + index]), False) for index, zone in enumerate(zones)]
    return public + private
