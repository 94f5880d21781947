# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS, simulated: moto's server on a loopback port, with what moto leaves out and we use.

    python tests/aws/simulated_aws.py PORT_FILE [FAULTS_FILE]

It takes a free port and writes it into PORT_FILE when it answers. It proves the shape of calls: required parameters, names, errors for what is
missing. It does not prove how AWS behaves: nothing takes time here, no permission is checked, and nothing is really stored or served.

What is added (each was missing in moto 5.2.5): ElastiCache parameter groups, changing and deleting its subnet groups, the nodes of a
replication group, changing their number, version, parameters and security groups, deletion that ends and leaves the snapshot asked for;
names of RDS' automatic snapshots that do not repeat within a minute.

FAULTS_FILE: while it holds names of operations (CreateReplicationGroup), one a line, those are refused.
"""

from __future__ import annotations

import pathlib
import re
import secrets
import sys
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.elasticache.exceptions import CacheClusterNotFound, CacheSubnetGroupNotFound, ReplicationGroupNotFound
from moto.elasticache.responses import ElastiCacheResponse
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.rds.models import RDSBackend
from werkzeug.serving import make_server

PARAMETER_GROUPS = "covstack_parameter_groups"


class Fault(ServiceException):
    code = "InternalFailureOnPurpose"


class ParameterGroupNotFound(ServiceException):
    code = "CacheParameterGroupNotFound"


def parameter_groups(response: ElastiCacheResponse) -> dict[str, Any]:
    """{name: group} of the account and region, forgotten by moto's reset like everything else."""
    backend = response.elasticache_backend
    if not hasattr(backend, PARAMETER_GROUPS):
        setattr(backend, PARAMETER_GROUPS, {})
    groups: dict[str, Any] = getattr(backend, PARAMETER_GROUPS)
    return groups


def parameter_group(response: ElastiCacheResponse) -> dict[str, Any]:
    name = response._get_param("CacheParameterGroupName")
    if name not in parameter_groups(response):
        raise ParameterGroupNotFound(f"CacheParameterGroup {name} not found.")
    group: dict[str, Any] = parameter_groups(response)[name]
    return group


def create_cache_parameter_group(self: ElastiCacheResponse) -> ActionResult:
    name = self._get_param("CacheParameterGroupName")
    group = {
        "CacheParameterGroupName": name,
        "CacheParameterGroupFamily": self._get_param("CacheParameterGroupFamily"),
        "Description": self._get_param("Description"),
        "IsGlobal": False,
        "ARN": f"arn:aws:elasticache:{self.region}:{self.current_account}:parametergroup:{name}",
        "parameters": {},
    }
    parameter_groups(self)[name] = group
    # moto knows no ARN of this kind.
    self.elasticache_backend.arn_regex = re.compile(r"arn:aws:elasticache:")
    self.elasticache_backend.tagging_service.tag_resource(group["ARN"], self._get_param("Tags", []))
    return ActionResult({"CacheParameterGroup": group})


def describe_cache_parameter_groups(self: ElastiCacheResponse) -> ActionResult:
    return ActionResult({"CacheParameterGroups": [parameter_group(self)]})


def describe_cache_parameters(self: ElastiCacheResponse) -> ActionResult:
    values = parameter_group(self)["parameters"]
    return ActionResult({"Parameters": [{"ParameterName": name, "ParameterValue": value, "Source": "user"} for name, value in values.items()]})


def modify_cache_parameter_group(self: ElastiCacheResponse) -> ActionResult:
    group = parameter_group(self)
    group["parameters"].update({entry["ParameterName"]: entry["ParameterValue"] for entry in self._get_param("ParameterNameValues", [])})
    return ActionResult({"CacheParameterGroupName": group["CacheParameterGroupName"]})


def delete_cache_parameter_group(self: ElastiCacheResponse) -> ActionResult:
    parameter_groups(self).pop(parameter_group(self)["CacheParameterGroupName"])
    return EmptyResult()


def subnet_group(response: ElastiCacheResponse) -> tuple[dict[str, Any], str]:
    groups, name = response.elasticache_backend.cache_subnet_groups, response._get_param("CacheSubnetGroupName")
    if name not in groups:
        raise CacheSubnetGroupNotFound(name)
    return groups, name


def modify_cache_subnet_group(self: ElastiCacheResponse) -> ActionResult:
    groups, name = subnet_group(self)
    old = groups.pop(name)
    self.elasticache_backend.create_cache_subnet_group(
        cache_subnet_group_name=name, cache_subnet_group_description=old.cache_subnet_group_description, subnet_ids=self._get_param("SubnetIds"),
        tags=old.tags,
    )
    return ActionResult({"CacheSubnetGroup": groups[name]})


def delete_cache_subnet_group(self: ElastiCacheResponse) -> ActionResult:
    groups, name = subnet_group(self)
    del groups[name]
    return EmptyResult()


def replication_group(response: ElastiCacheResponse) -> Any:
    name = response._get_param("ReplicationGroupId")
    groups = response.elasticache_backend.replication_groups
    if name not in groups:
        raise ReplicationGroupNotFound(name)
    return groups[name]


NODE_FIELDS = ("CacheSubnetGroupName", "CacheParameterGroupName", "SecurityGroupIds", "EngineVersion")


def remember_node_fields(response: ElastiCacheResponse) -> None:
    """What AWS shows for the nodes of a group, and moto forgets."""
    group = replication_group(response)
    fields = dict(getattr(group, "covstack_node_fields", {}))
    fields.update({name: response._get_param(name) for name in NODE_FIELDS if response._get_param(name) is not None})
    group.covstack_node_fields = fields


original_create = ElastiCacheResponse.create_replication_group
original_modify = ElastiCacheResponse.modify_replication_group
original_delete = ElastiCacheResponse.delete_replication_group
original_clusters = ElastiCacheResponse.describe_cache_clusters


def create_replication_group(self: ElastiCacheResponse) -> ActionResult:
    result = original_create(self)
    remember_node_fields(self)
    return result


def modify_replication_group(self: ElastiCacheResponse) -> ActionResult:
    result = original_modify(self)
    remember_node_fields(self)
    return result


def change_replica_count(self: ElastiCacheResponse) -> ActionResult:
    group = replication_group(self)
    wanted = self._get_int_param("NewReplicaCount") + 1
    group.member_clusters = [f"{group.replication_group_id}-{number + 1:03}" for number in range(wanted)]
    return ActionResult({"ReplicationGroup": group})


def delete_replication_group(self: ElastiCacheResponse) -> ActionResult:
    group = replication_group(self)
    snapshot = self._get_param("FinalSnapshotIdentifier")
    if snapshot:
        self.elasticache_backend.create_snapshot(
            snapshot_name=snapshot, replication_group_id=group.replication_group_id, cache_cluster_id=None, kms_key_id=None, tags=[],
        )
    result = original_delete(self)
    del self.elasticache_backend.replication_groups[group.replication_group_id]
    return result


def describe_cache_clusters(self: ElastiCacheResponse) -> ActionResult:
    wanted = self._get_param("CacheClusterId")
    for group in self.elasticache_backend.replication_groups.values():
        if wanted in group.member_clusters:
            return ActionResult({"CacheClusters": [node(wanted, group)]})
    if wanted and wanted not in self.elasticache_backend.cache_clusters:
        raise CacheClusterNotFound(wanted)
    return original_clusters(self)


def node(name: str, group: Any) -> dict[str, Any]:
    fields = group.covstack_node_fields
    return {
        "CacheClusterId": name,
        "CacheClusterStatus": "available",
        "Engine": group.engine,
        # AWS answers with a patch level.
        "EngineVersion": f"{fields['EngineVersion']}.1",
        "CacheSubnetGroupName": fields["CacheSubnetGroupName"],
        "CacheParameterGroup": {"CacheParameterGroupName": fields["CacheParameterGroupName"]},
        "SecurityGroups": [{"SecurityGroupId": entry, "Status": "active"} for entry in fields["SecurityGroupIds"]],
    }


ADDED = (
    create_cache_parameter_group, describe_cache_parameter_groups, describe_cache_parameters, modify_cache_parameter_group, delete_cache_parameter_group,
    modify_cache_subnet_group, delete_cache_subnet_group, create_replication_group, modify_replication_group, delete_replication_group,
    describe_cache_clusters,
)


original_auto_snapshot = RDSBackend.create_auto_snapshot


def create_auto_snapshot(self: RDSBackend, instance: str, snapshot: str) -> Any:
    """moto names them by the minute, so an instance that is deleted and made again within one would be refused."""
    return original_auto_snapshot(self, instance, f"{snapshot}-{secrets.token_hex(4)}")


def install(faults: pathlib.Path | None) -> None:
    RDSBackend.create_auto_snapshot = create_auto_snapshot
    for function in ADDED:
        setattr(ElastiCacheResponse, function.__name__, function)
    ElastiCacheResponse.increase_replica_count = change_replica_count
    ElastiCacheResponse.decrease_replica_count = change_replica_count
    if faults is not None:
        refuse_operations(faults)


def refuse_operations(faults: pathlib.Path) -> None:
    original = BaseResponse.call_action

    def call_action(self: BaseResponse) -> Any:
        operation = self._get_action()
        if faults.exists() and operation in faults.read_text().split():
            status, headers, body = self.serialized(ActionResult(Fault(f"{operation} is refused, on purpose")))
            return status, headers, body
        return original(self)

    BaseResponse.call_action = call_action


def main() -> None:
    port_file = pathlib.Path(sys.argv[1])
    install(pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    temporary = port_file.with_suffix(".new")
    temporary.write_text(str(server.server_port))
    temporary.replace(port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()
