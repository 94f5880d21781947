#!/usr/bin/python
# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: codecov_aws_services
short_description: Keep the AWS services that a Codecov deployment uses
version_added: 0.1.0
author:
  - The covstack.selfhosted maintainers (@covstack)
description:
  - PostgreSQL (RDS), Redis or Valkey (ElastiCache, without cluster mode), a bucket (S3) with a user or role for it (IAM), an application
    load balancer, security groups, secrets, and a VPC if none is given.
  - First everything is looked up and compared. When something cannot be as wanted, the module fails before it changes anything.
  - In check mode it says what it would do, also in an empty account, where identifiers that only AWS gives appear as V((id of VPC codecov)).
  - Only what the settings say is compared and repaired. A run that was interrupted is finished by the next one.
  - Resources are recognised by their name and the tag C(covstack:deployment). What has the name but not the tag is never touched.
  - Passwords are generated once and stored in AWS Secrets Manager. They are never returned.
requirements:
  - The collection amazon.aws
options:
  state:
    description:
      - V(present) makes and repairs everything. V(absent) deletes it, apart from what holds data, and what that needs.
    type: str
    default: present
    choices: [present, absent]
  delete_data:
    description:
      - For O(state=absent), also delete what holds data. The database and the cache leave a final snapshot, secrets can be restored for 30 days, and the
        bucket must be empty.
    type: bool
    default: false
  name:
    description: Begin of the names of all resources, and value of their tag C(covstack:deployment).
    type: str
    default: codecov
  tags:
    description: Further tags for every resource.
    type: dict
    default: {}
  network:
    description: Where everything stands.
    type: dict
    default: {}
    suboptions:
      vpc_id:
        description: A VPC of yours. Empty for a new one.
        type: str
        default: ""
      public_subnet_ids:
        description: Subnets in two zones for the load balancer, with O(network.vpc_id).
        type: list
        elements: str
        default: []
      private_subnet_ids:
        description: Subnets in two zones for PostgreSQL and Redis, with O(network.vpc_id).
        type: list
        elements: str
        default: []
      cidr:
        description: The network of a new VPC.
        type: str
        default: 10.60.0.0/16
      zones:
        description: Availability zones of a new VPC. Empty for the first two of the region.
        type: list
        elements: str
        default: []
      administrators:
        description: Networks that may reach the hosts by SSH.
        type: list
        elements: str
        default: []
  postgres:
    description: PostgreSQL on RDS. Always encrypted, never public, and connections without TLS are refused.
    type: dict
    default: {}
    suboptions:
      managed:
        description: V(false) leaves PostgreSQL alone, whether there is one or not.
        type: bool
        default: true
      version:
        description: Major version, or with a minor one at least that. 14 or newer.
        type: str
        default: '17'
      instance_class:
        description: Class of the instance.
        type: str
        default: db.m7g.large
      storage_gb:
        description: Size at the beginning.
        type: int
        default: 100
      storage_limit_gb:
        description: Size to which AWS may grow it. V(0) for no growth.
        type: int
        default: 500
      multi_zone:
        description: Keep a standby in another zone (Multi-AZ).
        type: bool
        default: true
      backup_days:
        description: Days that AWS keeps its daily backups, and to any point of which the database can be restored.
        type: int
        default: 14
      deletion_protection:
        description: Refuse deletion. O(delete_data) lifts it.
        type: bool
        default: true
      port:
        description: Port.
        type: int
        default: 5432
      database:
        description: Name of the database.
        type: str
        default: codecov
      user:
        description: Name of the role that owns the database.
        type: str
        default: codecov
      kms_key:
        description: ARN of the key for encryption. Empty for the key of AWS. Only for a new database.
        type: str
        default: ""
      apply_immediately:
        description: Make changes at once instead of in the maintenance window. Some interrupt the database.
        type: bool
        default: false
  redis:
    description: Redis or Valkey on ElastiCache. One shard, encrypted at rest and in transit, with a password and without eviction.
    type: dict
    default: {}
    suboptions:
      managed:
        description: V(false) leaves Redis alone, whether there is one or not.
        type: bool
        default: true
      engine:
        description: Engine.
        type: str
        default: valkey
        choices: [redis, valkey]
      version:
        description: Major and minor version. Redis 6.2 or newer, Valkey 7.2 or newer.
        type: str
        default: '8.0'
      node_type:
        description: Type of the nodes.
        type: str
        default: cache.m7g.large
      replicas:
        description: Replicas beside the primary. With one or more, a lost primary is replaced.
        type: int
        default: 1
      cluster_mode:
        description: V(true) is refused, since the application has no cluster client.
        type: bool
        default: false
      snapshot_days:
        description: Days that AWS keeps its daily snapshots.
        type: int
        default: 7
      port:
        description: Port.
        type: int
        default: 6379
      kms_key:
        description: ARN of the key for encryption. Empty for the key of AWS. Only for a new group.
        type: str
        default: ""
      apply_immediately:
        description: Change version and node type at once instead of in the maintenance window.
        type: bool
        default: false
  storage:
    description: Object storage.
    type: dict
    default: {}
    suboptions:
      mode:
        description:
          - V(s3) is a private, encrypted, versioned bucket that can be used with TLS only. V(hosts) is for storage on hosts of yours behind the load
            balancer. V(none) is for storage elsewhere.
        type: str
        default: s3
        choices: [s3, hosts, none]
      bucket:
        description: Name of the bucket. Nobody else in the world may have it for O(storage.mode=s3).
        type: str
        default: ""
      credentials:
        description:
          - V(user) makes an IAM user with an access key, which works everywhere. V(instance_role) makes a role and an instance profile for the hosts, and
            there is no key at all.
        type: str
        default: user
        choices: [user, instance_role]
      kms_key:
        description: ARN of the key for encryption. Empty for the key of S3 (AES256).
        type: str
        default: ""
      incomplete_upload_days:
        description: Days after which the parts of unfinished uploads are deleted.
        type: int
        default: 7
      old_version_days:
        description: Days that overwritten and deleted objects can be brought back.
        type: int
        default: 30
      port:
        description: Port of the storage hosts, for O(storage.mode=hosts).
        type: int
        default: 8333
      health_path:
        description: Path that a storage host answers with 200 when it works, for O(storage.mode=hosts).
        type: str
        default: /healthz
  load_balancer:
    description: Application load balancer. HTTP is redirected to HTTPS.
    type: dict
    default: {}
    suboptions:
      managed:
        description: V(false) leaves the load balancer alone, whether there is one or not.
        type: bool
        default: true
      scheme:
        description: Whether clients come from the internet.
        type: str
        default: internet-facing
        choices: [internet-facing, internal]
      certificate_arn:
        description: Certificate of ACM in the same region. Required with O(load_balancer.managed).
        type: str
        default: ""
      tls_policy:
        description: Protocols and ciphers.
        type: str
        default: ELBSecurityPolicy-TLS13-1-2-Res-2021-06
      clients:
        description: Networks that may connect.
        type: list
        elements: str
        default: [0.0.0.0/0]
      web_port:
        description: Port of the web hosts.
        type: int
        default: 8080
      readiness_port:
        description: Port on which a web host says whether it is ready.
        type: int
        default: 8089
      readiness_path:
        description: Path that a web host answers with 200 when it is ready.
        type: str
        default: /ready
      health_interval_s:
        description: Seconds between two health checks.
        type: int
        default: 5
      health_timeout_s:
        description: Seconds that a health check may take.
        type: int
        default: 4
      healthy_after:
        description: Good health checks after which a host gets requests.
        type: int
        default: 2
      unhealthy_after:
        description: Bad health checks after which a host gets none.
        type: int
        default: 2
      deregistration_delay_s:
        description: Seconds that a host which is taken out may finish its requests.
        type: int
        default: 60
      idle_timeout_s:
        description: Seconds after which a silent connection is closed.
        type: int
        default: 120
      deletion_protection:
        description: Refuse deletion.
        type: bool
        default: false
      web_instances:
        description: Instances to register as web hosts. None is ever taken out here.
        type: list
        elements: str
        default: []
      storage_instances:
        description: Instances to register as storage hosts. None is ever taken out here.
        type: list
        elements: str
        default: []
  setting_prefix:
    description: What messages put before the names of these options, when they are called otherwise where they were written.
    type: str
    default: ""
  wait:
    description: Wait until the database and the cache can be used. Otherwise their addresses may be missing in RV(outputs).
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait for each.
    type: int
    default: 3600
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    details:
      - Lists what would be done, also in an empty account.
  diff_mode:
    support: full
    details:
      - Secrets are no part of it.
  platform:
    platforms: posix
notes:
  - The module is idempotent.
  - It was tested against a simulation of AWS (moto), which proves the shape of the calls and not the behaviour of AWS.
"""

EXAMPLES = r"""
- name: What would be made
  covstack.selfhosted.codecov_aws_services:
    region: eu-central-1
    storage:
      bucket: example-codecov-reports
    load_balancer:
      certificate_arn: arn:aws:acm:eu-central-1:123456789012:certificate/12345678-1234-1234-1234-123456789012
  check_mode: true

- name: Delete everything that holds no data
  covstack.selfhosted.codecov_aws_services:
    region: eu-central-1
    state: absent
    storage:
      bucket: example-codecov-reports
    load_balancer:
      certificate_arn: arn:aws:acm:eu-central-1:123456789012:certificate/12345678-1234-1234-1234-123456789012
"""

RETURN = r"""
actions:
  description: What was done, or would be, in order.
  returned: success
  type: list
  elements: str
  sample: [create PostgreSQL instance codecov-postgres, 'change load balancer codecov: attributes']
done:
  description: What was done before the failure. The next run goes on from there.
  returned: failure
  type: list
  elements: str
  sample: [create VPC codecov]
kept:
  description: What was not deleted, and why.
  returned: success
  type: list
  elements: str
  sample: ['bucket example-codecov-reports: it holds data']
complete:
  description: Whether RV(outputs) has every address.
  returned: success
  type: bool
  sample: true
outputs:
  description: What a deployment needs to know, without secrets. V(null) is what AWS has not told yet, or what is not managed.
  returned: success
  type: dict
  sample:
    region: eu-central-1
    network: {vpc_id: vpc-12345678, cidr: 10.60.0.0/16, public_subnet_ids: [], private_subnet_ids: [], security_group_ids: {web: sg-12345678}}
    postgres:
      host: codecov-postgres.abcdefghijkl.eu-central-1.rds.amazonaws.com
      port: 5432
      database: codecov
      user: codecov
      secret: codecov/postgres
    redis: {host: master.codecov-redis.abcdef.euc1.cache.amazonaws.com, port: 6379, secret: codecov/redis}
    storage: {bucket: example-codecov-reports, secret: codecov/storage, instance_profile: null}
    load_balancer:
      dns_name: codecov-1234567890.eu-central-1.elb.amazonaws.com
      zone_id: Z215JYRZR1TBD5
      target_group_arns: {}
      notices_after_s: 15
"""

import typing as t
from dataclasses import replace

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    pass  # AnsibleAWSModule says so

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule  # type: ignore[import-untyped]
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_client import Aws
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_engine import ApplyError, Outcome, apply, look, plan, plan_absent, plan_problems
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_services import Services
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_settings import problems_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, errors_of, warnings_of


def networks(default: t.Sequence[str] = ()) -> t.Dict[str, t.Any]:
    return {"type": "list", "elements": "str", "default": list(default)}


def text(default: str = "") -> t.Dict[str, t.Any]:
    return {"type": "str", "default": default}


def number(default: int) -> t.Dict[str, t.Any]:
    return {"type": "int", "default": default}


def flag(default: bool) -> t.Dict[str, t.Any]:
    return {"type": "bool", "default": default}


def part(**options: t.Any) -> t.Dict[str, t.Any]:
    """A mapping whose options have their defaults even when it is not given."""
    return {"type": "dict", "default": {}, "options": options}


def key_arn() -> t.Dict[str, t.Any]:
    return {**text(), "no_log": False}


ARGUMENTS: t.Dict[str, t.Any] = {
    "state": {**text("present"), "choices": ["present", "absent"]},
    "delete_data": flag(False),
    "name": text("codecov"),
    "tags": {"type": "dict", "default": {}},
    "network": part(
        vpc_id=text(), public_subnet_ids=networks(), private_subnet_ids=networks(), cidr=text("10.60.0.0/16"), zones=networks(), administrators=networks(),
    ),
    "postgres": part(
        managed=flag(True), version=text("17"), instance_class=text("db.m7g.large"), storage_gb=number(100), storage_limit_gb=number(500),
        multi_zone=flag(True), backup_days=number(14), deletion_protection=flag(True), port=number(5432), database=text("codecov"), user=text("codecov"),
        kms_key=key_arn(), apply_immediately=flag(False),
    ),
    "redis": part(
        managed=flag(True), engine={**text("valkey"), "choices": ["redis", "valkey"]}, version=text("8.0"), node_type=text("cache.m7g.large"),
        replicas=number(1), cluster_mode=flag(False), snapshot_days=number(7), port=number(6379), kms_key=key_arn(), apply_immediately=flag(False),
    ),
    "storage": part(
        mode={**text("s3"), "choices": ["s3", "hosts", "none"]}, bucket=text(),
        credentials={**text("user"), "choices": ["user", "instance_role"], "no_log": False}, kms_key=key_arn(),
        incomplete_upload_days=number(7), old_version_days=number(30), port=number(8333), health_path=text("/healthz"),
    ),
    "load_balancer": part(
        managed=flag(True), scheme={**text("internet-facing"), "choices": ["internet-facing", "internal"]}, certificate_arn=text(),
        tls_policy=text("ELBSecurityPolicy-TLS13-1-2-Res-2021-06"), clients=networks(["0.0.0.0/0"]), web_port=number(8080), readiness_port=number(8089),
        readiness_path=text("/ready"), health_interval_s=number(5), health_timeout_s=number(4), healthy_after=number(2), unhealthy_after=number(2),
        deregistration_delay_s=number(60), idle_timeout_s=number(120), deletion_protection=flag(False), web_instances=networks(),
        storage_instances=networks(),
    ),
    "setting_prefix": text(),
    "wait": flag(True),
    "wait_timeout": number(3600),
}


def named(problem: Problem, prefix: str) -> Problem:
    """The problem with its setting called as the user does."""
    is_option = problem.path.split(".")[0].split("[")[0] in {*ARGUMENTS, "region"}
    return replace(problem, path=f"{prefix}{problem.path}") if is_option else problem


def refuse(module: AnsibleAWSModule, problems: t.Sequence[Problem]) -> None:
    """Warn, and fail when there is an error. Nothing has been changed so far."""
    problems = [named(problem, module.params["setting_prefix"]) for problem in problems]
    for problem in warnings_of(problems):
        module.warn(str(problem))
    errors = errors_of(problems)
    if errors:
        module.fail_json(msg="Nothing was changed.\n" + "\n".join(str(problem) for problem in errors), problems=[str(problem) for problem in errors], done=[])


def present(module: AnsibleAWSModule, services: Services, journal: t.List[str]) -> Outcome:
    refuse(module, services.certificate_problems(module.check_mode))
    refuse(module, plan_problems(services.resources))
    outcome = plan(services.resources)
    if not module.check_mode:
        apply(services.resources, journal, wait=module.params["wait"])
    return outcome


def absent(module: AnsibleAWSModule, services: Services, journal: t.List[str]) -> Outcome:
    outcome, doomed, obstacles = plan_absent(services.resources, module.params["delete_data"])
    refuse(module, obstacles)
    if not module.check_mode:
        for resource in doomed:
            resource.delete()
            journal.append(f"delete {resource.title}")
            resource.found = None
    return outcome


def main() -> None:
    module = AnsibleAWSModule(argument_spec=with_defaults(ARGUMENTS), supports_check_mode=True)
    settings = {**module.params, "region": module.region or ""}
    refuse(module, problems_of(settings))
    journal: t.List[str] = []
    try:
        aws = Aws(module, module.params["wait_timeout"])
        services = Services(aws, settings)
        look(services.resources)
        outcome = (present if module.params["state"] == "present" else absent)(module, services, journal)
        outputs, complete = services.outputs(), services.complete()
    except (BotoCoreError, ClientError) as exception:
        module.fail_json_aws(exception, msg=story(journal), done=journal)
    except (ApplyError, ValueError) as exception:
        module.fail_json(msg=f"{story(journal)}: {exception}", done=journal)
    module.exit_json(
        changed=outcome.changed, actions=outcome.actions, kept=outcome.kept, complete=complete, outputs=outputs,
        diff={"before": outcome.before, "after": outcome.after},
    )


def story(journal: t.Sequence[str]) -> str:
    """What a failure leaves behind."""
    if not journal:
        return "Nothing was changed"
    return f"{len(journal)} step{'' if len(journal) == 1 else 's'} done, the last: {journal[-1]}. The next run goes on from here. What failed"


def with_defaults(arguments: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """Parts take the defaults of their options although a default of theirs is documented (an empty mapping)."""
    return {name: {**argument, "apply_defaults": True} if "options" in argument else argument for name, argument in arguments.items()}


if __name__ == "__main__":
    main()
