# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Secrets, PostgreSQL (RDS) and Redis (ElastiCache) on AWS.

Private to this collection. Secret values are read where they are handed on, and kept nowhere.
"""

from __future__ import annotations

import json
import secrets
import string
import time
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_client import Aws, AwsResource, tag_dict, tag_list
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_engine import Found, Resource
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_network import SecurityGroup
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, error

# Letters and digits alone: one half of the application does not decode escapes in the address of the database.
PASSWORD_ALPHABET = string.ascii_letters + string.digits
PASSWORD_LENGTH = 48


def generated() -> str:
    return "".join(secrets.choice(PASSWORD_ALPHABET) for _position in range(PASSWORD_LENGTH))


def final_snapshot(name: str) -> str:
    return f"{name}-final-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"


def version_fits(current: t.Any, wanted: str) -> bool:
    """Whether 16.4 is a 16."""
    return str(current) == wanted or str(current).startswith(f"{wanted}.")


def number_of(version: t.Any) -> t.Tuple[int, ...]:
    return tuple(int(part) for part in str(version).split(".") if part.isdigit())


class Secret(AwsResource):
    """A secret of AWS Secrets Manager: a JSON mapping, generated once and never changed by us."""

    kind = "secret"

    def __init__(
        self, aws: Aws, name: str, tags: t.Mapping[str, str], purpose: str, value: t.Optional[t.Callable[[], t.Dict[str, str]]], stateful: bool,
    ) -> None:
        super().__init__(aws, name, tags)
        self.purpose, self.value_of, self.stateful = purpose, value, stateful
        self.forgotten = False

    def find(self) -> t.Optional[Found]:
        answer = self.aws.ask("secretsmanager", "describe_secret", ["ResourceNotFoundException"], SecretId=self.name)
        self.forgotten = bool(answer and answer.get("DeletedDate"))
        if answer is None or self.forgotten:
            return None
        return Found(answer["ARN"], {"description": answer.get("Description", "")}, tag_dict(answer.get("Tags")))

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"description": self.purpose}

    def create(self) -> None:
        if self.forgotten:
            # Deleted a few days ago: its name is taken until then, and its value is still right for a restored snapshot.
            self.aws.call("secretsmanager", "restore_secret", SecretId=self.name)
            return
        value = {} if self.value_of is None else {"SecretString": json.dumps(self.value_of())}
        self.aws.call("secretsmanager", "create_secret", Name=self.name, Description=self.purpose, Tags=tag_list(self.tags), **value)

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        self.aws.call("secretsmanager", "update_secret", SecretId=self.name, Description=self.purpose)

    def set_tags(self, tags: t.Dict[str, str]) -> None:
        self.aws.call("secretsmanager", "tag_resource", SecretId=self.name, Tags=tag_list(tags))

    def delete(self) -> None:
        self.aws.call("secretsmanager", "delete_secret", SecretId=self.name, RecoveryWindowInDays=30)

    def value(self) -> t.Dict[str, str]:
        """The value; empty when it has none yet. Never put it into a result or a message."""
        if self.missing:
            return {}
        answer = self.aws.ask("secretsmanager", "get_secret_value", ["ResourceNotFoundException"], SecretId=self.name)
        try:
            value = json.loads((answer or {}).get("SecretString") or "{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def store(self, value: t.Dict[str, str]) -> None:
        self.aws.call("secretsmanager", "put_secret_value", SecretId=self.name, SecretString=json.dumps(value))


class RdsResource(AwsResource):
    """What RDS tags by its ARN."""

    def set_tags(self, tags: t.Dict[str, str]) -> None:
        self.aws.call("rds", "add_tags_to_resource", ResourceName=self.arn(), Tags=tag_list(tags))

    def arn(self) -> str:
        return str(self.found.more["arn"]) if self.found else ""

    def tags_at(self, arn: str) -> t.Dict[str, str]:
        return tag_dict(self.aws.call("rds", "list_tags_for_resource", ResourceName=arn)["TagList"])


class DatabaseSubnets(RdsResource):
    kind = "database subnet group"

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], subnets: t.Callable[[], t.List[str]], needs: t.Iterable[Resource]) -> None:
        super().__init__(aws, name, tags, needs)
        self.subnets = subnets

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"subnets": sorted(self.subnets())}

    def find(self) -> t.Optional[Found]:
        answer = self.aws.ask("rds", "describe_db_subnet_groups", ["DBSubnetGroupNotFoundFault", "DBSubnetGroupNotFound"], DBSubnetGroupName=self.name)
        if not answer or not answer["DBSubnetGroups"]:
            return None
        group = answer["DBSubnetGroups"][0]
        subnets = sorted(subnet["SubnetIdentifier"] for subnet in group["Subnets"])
        return Found(group["DBSubnetGroupName"], {"subnets": subnets}, self.tags_at(group["DBSubnetGroupArn"]), {"arn": group["DBSubnetGroupArn"]})

    def create(self) -> None:
        self.aws.call(
            "rds", "create_db_subnet_group", DBSubnetGroupName=self.name, DBSubnetGroupDescription=f"PostgreSQL of {self.name}",
            SubnetIds=self.subnets(), Tags=tag_list(self.tags),
        )

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        self.aws.call("rds", "modify_db_subnet_group", DBSubnetGroupName=self.name, SubnetIds=fields["subnets"])

    def delete(self) -> None:
        self.aws.call("rds", "delete_db_subnet_group", DBSubnetGroupName=self.name)


class DatabaseParameters(RdsResource):
    """Refuses connections without TLS."""

    kind = "database parameter group"
    fixed = frozenset({"family"})

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], major: str, parameters: t.Mapping[str, str]) -> None:
        super().__init__(aws, name, tags)
        self.family, self.parameters = f"postgres{major}", dict(parameters)

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"family": self.family, **self.parameters}

    def find(self) -> t.Optional[Found]:
        answer = self.aws.ask(
            "rds", "describe_db_parameter_groups", ["DBParameterGroupNotFound", "DBParameterGroupNotFoundFault"], DBParameterGroupName=self.name,
        )
        if not answer or not answer["DBParameterGroups"]:
            return None
        group = answer["DBParameterGroups"][0]
        parameters = self.aws.pages("rds", "describe_db_parameters", "Parameters", DBParameterGroupName=self.name, Source="user")
        values = {parameter["ParameterName"]: parameter.get("ParameterValue") for parameter in parameters}
        fields = {"family": group["DBParameterGroupFamily"], **{name: values.get(name) for name in self.parameters}}
        return Found(self.name, fields, self.tags_at(group["DBParameterGroupArn"]), {"arn": group["DBParameterGroupArn"]})

    def create(self) -> None:
        self.aws.call(
            "rds", "create_db_parameter_group", DBParameterGroupName=self.name, DBParameterGroupFamily=self.family,
            Description=f"PostgreSQL of {self.name}", Tags=tag_list(self.tags),
        )

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        parameters = [{"ParameterName": name, "ParameterValue": value, "ApplyMethod": "immediate"} for name, value in fields.items()]
        self.aws.call("rds", "modify_db_parameter_group", DBParameterGroupName=self.name, Parameters=parameters)

    def delete(self) -> None:
        self.aws.call("rds", "delete_db_parameter_group", DBParameterGroupName=self.name)


class Database(RdsResource):
    """PostgreSQL: encrypted, not public."""

    kind = "PostgreSQL instance"
    stateful = True
    slow = True
    fixed = frozenset({"engine", "encrypted", "database", "user", "subnet_group"})

    def __init__(
        self, aws: Aws, name: str, tags: t.Mapping[str, str], settings: t.Mapping[str, t.Any],
        secret: Secret, subnets: DatabaseSubnets, parameters: DatabaseParameters, group: SecurityGroup,
    ) -> None:
        super().__init__(aws, name, tags, [secret, subnets, parameters, group])
        self.settings, self.secret, self.subnets, self.parameters, self.group = settings, secret, subnets, parameters, group

    def wanted(self) -> t.Dict[str, t.Any]:
        chosen = self.settings
        return {
            "engine": "postgres",
            "version": chosen["version"],
            "instance_class": chosen["instance_class"],
            "storage_gb": chosen["storage_gb"],
            "storage_limit_gb": chosen["storage_limit_gb"] or None,
            "storage_type": "gp3",
            "encrypted": True,
            "public": False,
            "multi_zone": chosen["multi_zone"],
            "backup_days": chosen["backup_days"],
            "deletion_protection": chosen["deletion_protection"],
            "port": chosen["port"],
            "database": chosen["database"],
            "user": chosen["user"],
            "subnet_group": self.subnets.name,
            "parameter_group": self.parameters.name,
            "security_groups": [self.group.id],
        }

    def find(self) -> t.Optional[Found]:
        answer = self.aws.ask("rds", "describe_db_instances", ["DBInstanceNotFound", "DBInstanceNotFoundFault"], DBInstanceIdentifier=self.name)
        if not answer or not answer["DBInstances"] or answer["DBInstances"][0]["DBInstanceStatus"] == "deleting":
            return None
        instance = answer["DBInstances"][0]
        # What waits for the maintenance window was asked for already.
        pending = instance.get("PendingModifiedValues") or {}
        endpoint = instance.get("Endpoint") or {}
        fields = {
            "engine": instance["Engine"],
            "version": pending.get("EngineVersion") or instance["EngineVersion"],
            "instance_class": pending.get("DBInstanceClass") or instance["DBInstanceClass"],
            "storage_gb": pending.get("AllocatedStorage") or instance["AllocatedStorage"],
            "storage_limit_gb": instance.get("MaxAllocatedStorage"),
            "storage_type": pending.get("StorageType") or instance.get("StorageType"),
            "encrypted": instance["StorageEncrypted"],
            "public": instance["PubliclyAccessible"],
            "multi_zone": pending.get("MultiAZ", instance["MultiAZ"]),
            "backup_days": pending.get("BackupRetentionPeriod", instance["BackupRetentionPeriod"]),
            "deletion_protection": instance.get("DeletionProtection", False),
            "port": pending.get("Port") or endpoint.get("Port") or self.settings["port"],
            "database": instance.get("DBName"),
            "user": instance["MasterUsername"],
            "subnet_group": (instance.get("DBSubnetGroup") or {}).get("DBSubnetGroupName"),
            "parameter_group": ([group["DBParameterGroupName"] for group in instance.get("DBParameterGroups") or []] or [None])[0],
            "security_groups": sorted(group["VpcSecurityGroupId"] for group in instance.get("VpcSecurityGroups") or []),
        }
        more = {"arn": instance["DBInstanceArn"], "status": instance["DBInstanceStatus"], "host": endpoint.get("Address")}
        return Found(self.name, fields, tag_dict(instance.get("TagList")) or self.tags_at(instance["DBInstanceArn"]), more)

    def same(self, name: str, current: t.Any, wanted: t.Any) -> bool:
        if name == "version":
            return version_fits(current, wanted)
        if name == "storage_gb":
            # AWS lets it grow by itself up to the limit, and it never shrinks.
            return int(current) >= int(wanted)
        return super().same(name, current, wanted)

    def problems(self) -> t.List[Problem]:
        version = self.differences().get("version")
        if not version:
            return []
        current, wanted = version
        if number_of(current)[:1] == number_of(wanted)[:1] and number_of(wanted) > number_of(current):
            return []
        return [error(
            "postgres.version", f"the database runs PostgreSQL {current}, {wanted} is wanted: only a newer minor version is set here",
            f"write {number_of(current)[0]}, or upgrade the instance on AWS (after a snapshot) and then write the new version",
        )]

    def create(self) -> None:
        wanted = self.wanted()
        limit = {"MaxAllocatedStorage": wanted["storage_limit_gb"]} if wanted["storage_limit_gb"] else {}
        self.aws.call(
            "rds", "create_db_instance", DBInstanceIdentifier=self.name, Engine="postgres", EngineVersion=wanted["version"],
            DBInstanceClass=wanted["instance_class"], AllocatedStorage=wanted["storage_gb"], StorageType=wanted["storage_type"], StorageEncrypted=True,
            **({"KmsKeyId": self.settings["kms_key"]} if self.settings["kms_key"] else {}), **limit,
            DBName=wanted["database"], MasterUsername=wanted["user"], MasterUserPassword=self.password(), Port=wanted["port"],
            MultiAZ=wanted["multi_zone"], PubliclyAccessible=False, BackupRetentionPeriod=wanted["backup_days"], CopyTagsToSnapshot=True,
            DeletionProtection=wanted["deletion_protection"], DBSubnetGroupName=self.subnets.name, DBParameterGroupName=self.parameters.name,
            VpcSecurityGroupIds=wanted["security_groups"], AutoMinorVersionUpgrade=True, EnableCloudwatchLogsExports=["postgresql", "upgrade"],
            Tags=tag_list(self.tags),
        )

    def password(self) -> str:
        password = self.secret.value().get("password")
        if not password:
            raise ValueError(f"secret {self.secret.name} has no password. Delete it (aws secretsmanager delete-secret), and run again: a new one is generated.")
        return password

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        names = {
            "version": "EngineVersion", "instance_class": "DBInstanceClass", "storage_gb": "AllocatedStorage", "storage_type": "StorageType",
            "storage_limit_gb": "MaxAllocatedStorage", "public": "PubliclyAccessible", "multi_zone": "MultiAZ", "backup_days": "BackupRetentionPeriod",
            "deletion_protection": "DeletionProtection", "port": "DBPortNumber", "parameter_group": "DBParameterGroupName",
            "security_groups": "VpcSecurityGroupIds",
        }
        self.wait()
        arguments = {names[name]: value for name, value in fields.items()}
        if "storage_limit_gb" in fields and not fields["storage_limit_gb"]:
            # AWS switches the growth off by a limit that is reached.
            arguments["MaxAllocatedStorage"] = self.found.fields["storage_gb"] if self.found else self.settings["storage_gb"]
        self.aws.call("rds", "modify_db_instance", DBInstanceIdentifier=self.name, ApplyImmediately=self.settings["apply_immediately"], **arguments)

    def wait(self) -> None:
        self.aws.until(self, self._available)

    def _available(self) -> bool:
        found = self.find()
        return found is not None and found.more["status"] in ("available", "storage-optimization")

    def delete(self) -> None:
        if self.found and self.found.fields["deletion_protection"]:
            self.aws.call("rds", "modify_db_instance", DBInstanceIdentifier=self.name, DeletionProtection=False, ApplyImmediately=True)
        self.aws.call(
            "rds", "delete_db_instance", DBInstanceIdentifier=self.name, SkipFinalSnapshot=False, FinalDBSnapshotIdentifier=final_snapshot(self.name),
            DeleteAutomatedBackups=False,
        )
        # Its subnet group and security group can go only after it.
        self.aws.until(
            self,
            lambda: self.aws.ask("rds", "describe_db_instances", ["DBInstanceNotFound", "DBInstanceNotFoundFault"], DBInstanceIdentifier=self.name) is None,
        )


class CacheResource(AwsResource):
    """What ElastiCache tags by its ARN."""

    def set_tags(self, tags: t.Dict[str, str]) -> None:
        self.aws.call("elasticache", "add_tags_to_resource", ResourceName=self.found.more["arn"] if self.found else "", Tags=tag_list(tags))

    def tags_at(self, arn: str) -> t.Dict[str, str]:
        return tag_dict(self.aws.call("elasticache", "list_tags_for_resource", ResourceName=arn)["TagList"])


class CacheSubnets(CacheResource):
    kind = "cache subnet group"

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], subnets: t.Callable[[], t.List[str]], needs: t.Iterable[Resource]) -> None:
        super().__init__(aws, name, tags, needs)
        self.subnets = subnets

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"subnets": sorted(self.subnets())}

    def find(self) -> t.Optional[Found]:
        answer = self.aws.ask(
            "elasticache", "describe_cache_subnet_groups", ["CacheSubnetGroupNotFoundFault", "CacheSubnetGroupNotFound"], CacheSubnetGroupName=self.name,
        )
        if not answer or not answer["CacheSubnetGroups"]:
            return None
        group = answer["CacheSubnetGroups"][0]
        subnets = sorted(subnet["SubnetIdentifier"] for subnet in group["Subnets"])
        return Found(self.name, {"subnets": subnets}, self.tags_at(group["ARN"]), {"arn": group["ARN"]})

    def create(self) -> None:
        self.aws.call(
            "elasticache", "create_cache_subnet_group", CacheSubnetGroupName=self.name, CacheSubnetGroupDescription=f"Redis of {self.name}",
            SubnetIds=self.subnets(), Tags=tag_list(self.tags),
        )

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        self.aws.call("elasticache", "modify_cache_subnet_group", CacheSubnetGroupName=self.name, SubnetIds=fields["subnets"])

    def delete(self) -> None:
        self.aws.call("elasticache", "delete_cache_subnet_group", CacheSubnetGroupName=self.name)


class CacheParameters(CacheResource):
    """Eviction off: an upload that waits to be processed is in Redis alone."""

    kind = "cache parameter group"
    fixed = frozenset({"family"})

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], engine: str, major: str) -> None:
        super().__init__(aws, name, tags)
        # Redis OSS 6 is the one whose family is named otherwise.
        self.family = "redis6.x" if (engine, major) == ("redis", "6") else f"{engine}{major}"
        self.parameters = {"maxmemory-policy": "noeviction"}

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"family": self.family, **self.parameters}

    def find(self) -> t.Optional[Found]:
        answer = self.aws.ask(
            "elasticache", "describe_cache_parameter_groups", ["CacheParameterGroupNotFound", "CacheParameterGroupNotFoundFault"],
            CacheParameterGroupName=self.name,
        )
        if not answer or not answer["CacheParameterGroups"]:
            return None
        group = answer["CacheParameterGroups"][0]
        parameters = self.aws.pages("elasticache", "describe_cache_parameters", "Parameters", CacheParameterGroupName=self.name, Source="user")
        values = {parameter["ParameterName"]: parameter.get("ParameterValue") for parameter in parameters}
        fields = {"family": group["CacheParameterGroupFamily"], **{name: values.get(name) for name in self.parameters}}
        return Found(self.name, fields, self.tags_at(group["ARN"]), {"arn": group["ARN"]})

    def create(self) -> None:
        self.aws.call(
            "elasticache", "create_cache_parameter_group", CacheParameterGroupName=self.name, CacheParameterGroupFamily=self.family,
            Description=f"Redis of {self.name}", Tags=tag_list(self.tags),
        )

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        parameters = [{"ParameterName": name, "ParameterValue": value} for name, value in fields.items()]
        self.aws.call("elasticache", "modify_cache_parameter_group", CacheParameterGroupName=self.name, ParameterNameValues=parameters)

    def delete(self) -> None:
        self.aws.call("elasticache", "delete_cache_parameter_group", CacheParameterGroupName=self.name)


class Cache(CacheResource):
    """Redis (or Valkey): a replication group without cluster mode, encrypted, with a password."""

    kind = "Redis replication group"
    stateful = True
    slow = True
    fixed = frozenset({"engine", "port", "cluster_mode", "encrypted", "password", "subnet_group"})

    def __init__(
        self, aws: Aws, name: str, tags: t.Mapping[str, str], settings: t.Mapping[str, t.Any],
        secret: Secret, subnets: CacheSubnets, parameters: CacheParameters, group: SecurityGroup,
    ) -> None:
        super().__init__(aws, name, tags, [secret, subnets, parameters, group])
        self.settings, self.secret, self.subnets, self.parameters, self.group = settings, secret, subnets, parameters, group

    def wanted(self) -> t.Dict[str, t.Any]:
        chosen = self.settings
        return {
            "engine": chosen["engine"],
            "version": chosen["version"],
            "node_type": chosen["node_type"],
            "nodes": chosen["replicas"] + 1,
            "port": chosen["port"],
            "cluster_mode": False,
            "automatic_failover": chosen["replicas"] > 0,
            "multi_zone": chosen["replicas"] > 0,
            "encrypted": True,
            "encrypted_transit": True,
            "password": True,
            "snapshot_days": chosen["snapshot_days"],
            "subnet_group": self.subnets.name,
            "parameter_group": self.parameters.name,
            "security_groups": [self.group.id],
        }

    def find(self) -> t.Optional[Found]:
        answer = self.aws.ask(
            "elasticache", "describe_replication_groups", ["ReplicationGroupNotFoundFault", "ReplicationGroupNotFound"], ReplicationGroupId=self.name,
        )
        if not answer or not answer["ReplicationGroups"] or answer["ReplicationGroups"][0]["Status"] == "deleting":
            return None
        group = answer["ReplicationGroups"][0]
        node = self._node(group)
        pending = group.get("PendingModifiedValues") or {}
        node_pending = node.get("PendingModifiedValues") or {}
        endpoint = ((group.get("NodeGroups") or [{}])[0].get("PrimaryEndpoint")) or {}
        enabled = ("enabled", "enabling")
        wanted = self.wanted()
        fields = {
            "engine": group.get("Engine") or node.get("Engine") or wanted["engine"],
            "version": node_pending.get("EngineVersion") or node.get("EngineVersion") or wanted["version"],
            "node_type": node_pending.get("CacheNodeType") or group.get("CacheNodeType"),
            "nodes": len(group.get("MemberClusters") or []),
            "port": endpoint.get("Port") or wanted["port"],
            "cluster_mode": bool(group.get("ClusterEnabled")),
            "automatic_failover": (pending.get("AutomaticFailoverStatus") or group.get("AutomaticFailover")) in enabled,
            "multi_zone": group.get("MultiAZ") in enabled,
            "encrypted": bool(group.get("AtRestEncryptionEnabled")),
            "encrypted_transit": bool(group.get("TransitEncryptionEnabled")) and group.get("TransitEncryptionMode", "required") == "required",
            "password": bool(group.get("AuthTokenEnabled")),
            "snapshot_days": group.get("SnapshotRetentionLimit", 0),
            # A group that is growing has no nodes to ask.
            "subnet_group": node.get("CacheSubnetGroupName") or wanted["subnet_group"],
            "parameter_group": (node.get("CacheParameterGroup") or {}).get("CacheParameterGroupName") or wanted["parameter_group"],
            "security_groups": sorted(entry["SecurityGroupId"] for entry in node.get("SecurityGroups") or []) or wanted["security_groups"],
        }
        return Found(self.name, fields, self.tags_at(group["ARN"]), {"arn": group["ARN"], "status": group["Status"], "host": endpoint.get("Address")})

    def _node(self, group: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        """A node of the group: it alone tells subnets, security groups, parameters and version."""
        for member in group.get("MemberClusters") or []:
            answer = self.aws.ask("elasticache", "describe_cache_clusters", ["CacheClusterNotFound", "CacheClusterNotFoundFault"], CacheClusterId=member)
            if answer and answer["CacheClusters"]:
                return answer["CacheClusters"][0]
        return {}

    def same(self, name: str, current: t.Any, wanted: t.Any) -> bool:
        return version_fits(current, wanted) if name == "version" else super().same(name, current, wanted)

    def problems(self) -> t.List[Problem]:
        found = []
        differences = self.differences()
        if "version" in differences and number_of(differences["version"][0]) > number_of(differences["version"][1]):
            current, wanted = differences["version"]
            found.append(error("redis.version", f"the cache runs {current}, and AWS cannot go back to {wanted}", f"write {current}"))
        if "encrypted_transit" in differences:
            found.append(error(
                f"{self.title}: encrypted_transit", "connections without TLS are allowed",
                "set its transit encryption mode to 'required' on AWS when nobody connects without TLS any more",
            ))
        return found

    def create(self) -> None:
        wanted = self.wanted()
        token = self.secret.value().get("auth_token")
        if not token:
            raise ValueError(
                f"secret {self.secret.name} has no auth_token. Delete it (aws secretsmanager delete-secret), and run again: a new one is generated.",
            )
        self.aws.call(
            "elasticache", "create_replication_group", ReplicationGroupId=self.name, ReplicationGroupDescription=f"Redis of {self.name}",
            Engine=wanted["engine"], EngineVersion=wanted["version"], CacheNodeType=wanted["node_type"], NumCacheClusters=wanted["nodes"],
            Port=wanted["port"], AutomaticFailoverEnabled=wanted["automatic_failover"], MultiAZEnabled=wanted["multi_zone"],
            ClusterMode="disabled", AtRestEncryptionEnabled=True, TransitEncryptionEnabled=True, TransitEncryptionMode="required", AuthToken=token,
            **({"KmsKeyId": self.settings["kms_key"]} if self.settings["kms_key"] else {}),
            CacheSubnetGroupName=self.subnets.name, CacheParameterGroupName=self.parameters.name, SecurityGroupIds=wanted["security_groups"],
            SnapshotRetentionLimit=wanted["snapshot_days"], AutoMinorVersionUpgrade=True, Tags=tag_list(self.tags),
        )

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        names = {
            "version": "EngineVersion", "node_type": "CacheNodeType", "automatic_failover": "AutomaticFailoverEnabled", "multi_zone": "MultiAZEnabled",
            "snapshot_days": "SnapshotRetentionLimit", "parameter_group": "CacheParameterGroupName", "security_groups": "SecurityGroupIds",
        }
        self.wait()
        nodes = self.found.fields["nodes"] if self.found else 0
        # A failover needs a replica: they come before it is switched on, and go after it was switched off.
        if fields.get("nodes", 0) > nodes:
            self._resize("increase_replica_count", fields["nodes"] - 1)
        arguments = {names[name]: value for name, value in fields.items() if name in names}
        if arguments:
            immediately = bool(self.settings["apply_immediately"]) or not {"version", "node_type"} & set(fields)
            self.aws.call("elasticache", "modify_replication_group", ReplicationGroupId=self.name, ApplyImmediately=immediately, **arguments)
            self.wait()
        if "nodes" in fields and fields["nodes"] < nodes:
            self._resize("decrease_replica_count", fields["nodes"] - 1)

    def _resize(self, operation: str, replicas: int) -> None:
        self.aws.call("elasticache", operation, ReplicationGroupId=self.name, NewReplicaCount=replicas, ApplyImmediately=True)
        self.wait()

    def wait(self) -> None:
        self.aws.until(self, self._available)

    def _available(self) -> bool:
        found = self.find()
        return found is not None and found.more["status"] == "available"

    def delete(self) -> None:
        self.wait()
        self.aws.call(
            "elasticache", "delete_replication_group", ReplicationGroupId=self.name, RetainPrimaryCluster=False,
            FinalSnapshotIdentifier=final_snapshot(self.name),
        )
        missing = ["ReplicationGroupNotFoundFault", "ReplicationGroupNotFound"]
        self.aws.until(self, lambda: self.aws.ask("elasticache", "describe_replication_groups", missing, ReplicationGroupId=self.name) is None)
