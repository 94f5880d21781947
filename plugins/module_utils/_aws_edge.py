# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Application load balancer on AWS: target groups, listeners, rules, targets.

Private to this collection. Not amazon.aws.elb_application_lb: up to 10.1.2 it fails when a new balancer gets rules (amazon.aws#2400).
"""

from __future__ import annotations

import abc
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_client import Aws, AwsResource, tag_dict, tag_list
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_engine import Found, Resource, Symbol
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_network import ExistingVpc, SecurityGroup, Vpc
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, error

RULE_PRIORITY = 10


class ElbResource(AwsResource):
    """What the load balancing service tags by its ARN."""

    def set_tags(self, tags: t.Dict[str, str]) -> None:
        self.aws.call("elbv2", "add_tags", ResourceArns=[self.id], Tags=tag_list(tags))

    def tags_at(self, arn: str) -> t.Dict[str, str]:
        return tag_dict(self.aws.call("elbv2", "describe_tags", ResourceArns=[arn])["TagDescriptions"][0]["Tags"])

    def attributes(self, operation: str, **arguments: str) -> t.Dict[str, str]:
        return {entry["Key"]: entry.get("Value", "") for entry in self.aws.call("elbv2", operation, **arguments)["Attributes"]}


def attribute_list(attributes: t.Mapping[str, str]) -> t.List[t.Dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(attributes.items())]


class LoadBalancer(ElbResource):
    kind = "load balancer"
    fixed = frozenset({"scheme", "vpc"})

    def __init__(
        self, aws: Aws, name: str, tags: t.Mapping[str, str], settings: t.Mapping[str, t.Any],
        vpc: t.Union[Vpc, ExistingVpc], group: SecurityGroup, subnets: t.Callable[[], t.List[str]], needs: t.Iterable[Resource],
    ) -> None:
        super().__init__(aws, name, tags, [vpc, group, *needs])
        self.settings, self.vpc, self.group, self.subnets = settings, vpc, group, subnets

    def wanted(self) -> t.Dict[str, t.Any]:
        return {
            "scheme": self.settings["scheme"],
            "vpc": self.vpc.id,
            "subnets": sorted(self.subnets()),
            "security_groups": [self.group.id],
            "attributes": {
                "deletion_protection.enabled": "true" if self.settings["deletion_protection"] else "false",
                "idle_timeout.timeout_seconds": str(self.settings["idle_timeout_s"]),
                "routing.http.drop_invalid_header_fields.enabled": "true",
                # Presigned URLs are signed for the host name that the client asked for.
                "routing.http.preserve_host_header.enabled": "true",
            },
        }

    def find(self) -> t.Optional[Found]:
        answer = self.aws.ask("elbv2", "describe_load_balancers", ["LoadBalancerNotFound"], Names=[self.name])
        if not answer or not answer["LoadBalancers"]:
            return None
        balancer = answer["LoadBalancers"][0]
        arn = balancer["LoadBalancerArn"]
        attributes = self.attributes("describe_load_balancer_attributes", LoadBalancerArn=arn)
        fields = {
            "scheme": balancer["Scheme"],
            "vpc": balancer["VpcId"],
            "subnets": sorted(zone["SubnetId"] for zone in balancer["AvailabilityZones"]),
            "security_groups": sorted(balancer.get("SecurityGroups") or []),
            "attributes": {key: attributes.get(key) for key in self.wanted()["attributes"]},
        }
        more = {"dns_name": balancer["DNSName"], "zone_id": balancer.get("CanonicalHostedZoneId")}
        return Found(arn, fields, self.tags_at(arn), more)

    def create(self) -> None:
        self.aws.call(
            "elbv2", "create_load_balancer", Name=self.name, Type="application", Scheme=self.settings["scheme"], Subnets=self.subnets(),
            SecurityGroups=[self.group.id], Tags=tag_list(self.tags),
        )

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        if "subnets" in fields:
            self.aws.call("elbv2", "set_subnets", LoadBalancerArn=self.id, Subnets=fields["subnets"])
        if "security_groups" in fields:
            self.aws.call("elbv2", "set_security_groups", LoadBalancerArn=self.id, SecurityGroups=fields["security_groups"])
        if "attributes" in fields:
            self.aws.call("elbv2", "modify_load_balancer_attributes", LoadBalancerArn=self.id, Attributes=attribute_list(fields["attributes"]))

    def obstacles(self) -> t.List[Problem]:
        if self.found and self.found.fields["attributes"].get("deletion_protection.enabled") == "true" and self.settings["deletion_protection"]:
            return [error("load_balancer.deletion_protection", f"the load balancer {self.name} is protected from deletion", "set it to false for this run")]
        return []

    def delete(self) -> None:
        if self.found and self.found.fields["attributes"].get("deletion_protection.enabled") == "true":
            off = attribute_list({"deletion_protection.enabled": "false"})
            self.aws.call("elbv2", "modify_load_balancer_attributes", LoadBalancerArn=self.id, Attributes=off)
        self.aws.call("elbv2", "delete_load_balancer", LoadBalancerArn=self.id)
        # Its network interfaces, which hold the security group and the subnets, go a little later.
        self.aws.until(self, self._released)

    def _released(self) -> bool:
        owner = [{"Name": "group-id", "Values": [self.group.id]}]
        return self.group.missing or not self.aws.pages("ec2", "describe_network_interfaces", "NetworkInterfaces", Filters=owner)


class TargetGroup(ElbResource):
    """Hosts that answer for a part of the address, and how one is known to be ready."""

    kind = "target group"
    fixed = frozenset({"port", "vpc"})

    def __init__(
        self, aws: Aws, name: str, tags: t.Mapping[str, str], settings: t.Mapping[str, t.Any], vpc: t.Union[Vpc, ExistingVpc],
        port: int, health_port: int, health_path: str, instances: t.Sequence[str],
    ) -> None:
        super().__init__(aws, name, tags, [vpc])
        self.settings, self.vpc, self.port, self.instances = settings, vpc, port, sorted(set(instances))
        self.health_port, self.health_path = health_port, health_path

    def wanted(self) -> t.Dict[str, t.Any]:
        chosen = self.settings
        return {
            "port": self.port,
            "vpc": self.vpc.id,
            "health_check": {
                "port": str(self.health_port), "path": self.health_path, "expects": "200", "interval_s": chosen["health_interval_s"],
                "timeout_s": chosen["health_timeout_s"], "healthy_after": chosen["healthy_after"], "unhealthy_after": chosen["unhealthy_after"],
            },
            "attributes": {
                "deregistration_delay.timeout_seconds": str(chosen["deregistration_delay_s"]),
                "load_balancing.algorithm.type": "least_outstanding_requests",
            },
            "instances": self.instances,
        }

    def find(self) -> t.Optional[Found]:
        answer = self.aws.ask("elbv2", "describe_target_groups", ["TargetGroupNotFound"], Names=[self.name])
        if not answer or not answer["TargetGroups"]:
            return None
        group = answer["TargetGroups"][0]
        arn = group["TargetGroupArn"]
        attributes = self.attributes("describe_target_group_attributes", TargetGroupArn=arn)
        health = self.aws.call("elbv2", "describe_target_health", TargetGroupArn=arn)["TargetHealthDescriptions"]
        draining = {entry["Target"]["Id"] for entry in health if (entry.get("TargetHealth") or {}).get("State") == "draining"}
        fields = {
            "port": group["Port"],
            "vpc": group["VpcId"],
            "health_check": {
                "port": str(group["HealthCheckPort"]), "path": group["HealthCheckPath"], "expects": (group.get("Matcher") or {}).get("HttpCode"),
                "interval_s": group["HealthCheckIntervalSeconds"], "timeout_s": group["HealthCheckTimeoutSeconds"],
                "healthy_after": group["HealthyThresholdCount"], "unhealthy_after": group["UnhealthyThresholdCount"],
            },
            "attributes": {key: attributes.get(key) for key in self.wanted()["attributes"]},
            "instances": sorted({entry["Target"]["Id"] for entry in health} - draining),
        }
        return Found(arn, fields, self.tags_at(arn), {"draining": sorted(draining)})

    def same(self, name: str, current: t.Any, wanted: t.Any) -> bool:
        if name == "instances":
            # Hosts are taken out by those who drain them: `upgrade`, `scale`. One that is draining must not be put back under their hands.
            draining = set(self.found.more["draining"]) if self.found else set()
            return set(wanted) <= set(current or []) | draining
        return super().same(name, current, wanted)

    def create(self) -> None:
        check = self.wanted()["health_check"]
        self.aws.call(
            "elbv2", "create_target_group", Name=self.name, Protocol="HTTP", ProtocolVersion="HTTP1", Port=self.port, VpcId=self.vpc.id,
            TargetType="instance", Tags=tag_list(self.tags), HealthCheckEnabled=True, **health_arguments(check),
        )

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        if "health_check" in fields:
            self.aws.call("elbv2", "modify_target_group", TargetGroupArn=self.id, **health_arguments(fields["health_check"]))
        if "attributes" in fields:
            self.aws.call("elbv2", "modify_target_group_attributes", TargetGroupArn=self.id, Attributes=attribute_list(fields["attributes"]))
        if "instances" in fields:
            present = set(self.found.fields["instances"]) | set(self.found.more["draining"]) if self.found else set()
            new = [{"Id": instance, "Port": self.port} for instance in fields["instances"] if instance not in present]
            self.aws.call("elbv2", "register_targets", TargetGroupArn=self.id, Targets=new)

    def delete(self) -> None:
        self.aws.call("elbv2", "delete_target_group", TargetGroupArn=self.id)


def health_arguments(check: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    return {
        "HealthCheckProtocol": "HTTP", "HealthCheckPort": check["port"], "HealthCheckPath": check["path"], "Matcher": {"HttpCode": check["expects"]},
        "HealthCheckIntervalSeconds": check["interval_s"], "HealthCheckTimeoutSeconds": check["timeout_s"],
        "HealthyThresholdCount": check["healthy_after"], "UnhealthyThresholdCount": check["unhealthy_after"],
    }


class Listener(ElbResource):
    """A port of the balancer."""

    kind = "listener"

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], balancer: LoadBalancer, port: int, needs: t.Iterable[Resource] = ()) -> None:
        super().__init__(aws, name, tags, [balancer, *needs])
        self.balancer, self.port = balancer, port

    def described(self) -> t.Optional[t.Dict[str, t.Any]]:
        if self.balancer.missing:
            return None
        listeners = self.aws.pages("elbv2", "describe_listeners", "Listeners", LoadBalancerArn=self.balancer.id)
        return next((listener for listener in listeners if listener["Port"] == self.port), None)

    def find(self) -> t.Optional[Found]:
        listener = self.described()
        if listener is None:
            return None
        arn = listener["ListenerArn"]
        return Found(arn, self.fields(listener), self.tags_at(arn))

    @abc.abstractmethod
    def fields(self, listener: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        """The fields that we own, of what AWS describes."""

    @abc.abstractmethod
    def arguments(self) -> t.Dict[str, t.Any]:
        """What AWS is told about it."""

    def create(self) -> None:
        self.aws.call("elbv2", "create_listener", LoadBalancerArn=self.balancer.id, Tags=tag_list(self.tags), **self.arguments())

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        self.aws.call("elbv2", "modify_listener", ListenerArn=self.id, **self.arguments())

    def delete(self) -> None:
        self.aws.call("elbv2", "delete_listener", ListenerArn=self.id)


class RedirectListener(Listener):
    """Port 80: go to HTTPS."""

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"protocol": "HTTP", "redirect": "https:443 301"}

    def fields(self, listener: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        redirect = ((listener.get("DefaultActions") or [{}])[0]).get("RedirectConfig") or {}
        target = f"{str(redirect.get('Protocol')).lower()}:{redirect.get('Port')} {str(redirect.get('StatusCode')).replace('HTTP_', '')}"
        return {"protocol": listener["Protocol"], "redirect": target if redirect else None}

    def arguments(self) -> t.Dict[str, t.Any]:
        redirect = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301", "Host": "#{host}", "Path": "/#{path}", "Query": "#{query}"}
        return {"Protocol": "HTTP", "Port": self.port, "DefaultActions": [{"Type": "redirect", "RedirectConfig": redirect}]}


class TlsListener(Listener):
    """Port 443: TLS ends here, requests go to the web hosts."""

    def __init__(
        self, aws: Aws, name: str, tags: t.Mapping[str, str], balancer: LoadBalancer, port: int, settings: t.Mapping[str, t.Any], web: TargetGroup,
    ) -> None:
        super().__init__(aws, name, tags, balancer, port, [web])
        self.settings, self.web = settings, web

    def wanted(self) -> t.Dict[str, t.Any]:
        return {
            "protocol": "HTTPS", "certificate": self.settings["certificate_arn"], "tls_policy": self.settings["tls_policy"], "forward_to": self.web.id,
        }

    def fields(self, listener: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        certificates = listener.get("Certificates") or [{}]
        return {
            "protocol": listener["Protocol"],
            "certificate": certificates[0].get("CertificateArn"),
            "tls_policy": listener.get("SslPolicy"),
            "forward_to": forward_target(listener.get("DefaultActions")),
        }

    def arguments(self) -> t.Dict[str, t.Any]:
        return {
            "Protocol": "HTTPS", "Port": self.port, "SslPolicy": self.settings["tls_policy"],
            "Certificates": [{"CertificateArn": self.settings["certificate_arn"]}],
            "DefaultActions": [{"Type": "forward", "TargetGroupArn": self.web.id}],
        }


def forward_target(actions: t.Any) -> t.Optional[str]:
    """Where actions forward to; None for anything but one target group."""
    action = (actions or [{}])[0]
    groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or []
    return action.get("TargetGroupArn") or (groups[0].get("TargetGroupArn") if len(groups) == 1 else None)


class StorageRule(ElbResource):
    """Presigned URLs: the same address, the path of the bucket, the storage hosts."""

    kind = "listener rule"

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], listener: TlsListener, bucket: str, storage: TargetGroup) -> None:
        super().__init__(aws, name, tags, [listener, storage])
        self.listener, self.storage, self.paths = listener, storage, [f"/{bucket}", f"/{bucket}/*"]

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"paths": self.paths, "forward_to": self.storage.id}

    def find(self) -> t.Optional[Found]:
        if isinstance(self.listener.id, Symbol):
            return None
        rules = self.aws.pages("elbv2", "describe_rules", "Rules", ListenerArn=self.listener.id)
        rule = next((rule for rule in rules if rule["Priority"] == str(RULE_PRIORITY)), None)
        if rule is None:
            return None
        condition = (rule.get("Conditions") or [{}])[0]
        paths = (condition.get("PathPatternConfig") or {}).get("Values") or condition.get("Values") or []
        return Found(rule["RuleArn"], {"paths": sorted(paths), "forward_to": forward_target(rule.get("Actions"))}, self.tags_at(rule["RuleArn"]))

    def _arguments(self) -> t.Dict[str, t.Any]:
        return {
            "Conditions": [{"Field": "path-pattern", "PathPatternConfig": {"Values": self.paths}}],
            "Actions": [{"Type": "forward", "TargetGroupArn": self.storage.id}],
        }

    def create(self) -> None:
        self.aws.call("elbv2", "create_rule", ListenerArn=self.listener.id, Priority=RULE_PRIORITY, Tags=tag_list(self.tags), **self._arguments())

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        self.aws.call("elbv2", "modify_rule", RuleArn=self.id, **self._arguments())

    def delete(self) -> None:
        self.aws.call("elbv2", "delete_rule", RuleArn=self.id)
