# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Network on AWS: VPC, subnets, routes, security groups.

Private to this collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_client import Aws, AwsResource, tag_dict, tag_list
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_engine import OWNER_TAG, Found, Resource, Symbol
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, error

EVERYWHERE = "0.0.0.0/0"


class Ec2Resource(AwsResource):
    """What EC2 knows by an id and its tags; the name is the tag Name."""

    service_noun = ""
    plural = ""
    id_key = ""

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], needs: t.Iterable[t.Optional[Resource]] = ()) -> None:
        super().__init__(aws, name, {**tags, "Name": name}, needs)

    def described(self) -> t.Optional[t.Dict[str, t.Any]]:
        filters = [{"Name": "tag:Name", "Values": [self.name]}, {"Name": f"tag:{OWNER_TAG}", "Values": [self.tags[OWNER_TAG]]}]
        answers = self.aws.pages("ec2", f"describe_{self.service_noun}s", self.plural, Filters=filters)
        return answers[0] if answers else None

    def fields(self, answer: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
        return {}

    def find(self) -> t.Optional[Found]:
        answer = self.described()
        return None if answer is None else Found(answer[self.id_key], self.fields(answer), tag_dict(answer.get("Tags")), answer)

    def set_tags(self, tags: t.Dict[str, str]) -> None:
        self.aws.call("ec2", "create_tags", Resources=[self.id], Tags=tag_list(tags))

    def tag_specification(self, kind: str) -> t.List[t.Dict[str, t.Any]]:
        return [{"ResourceType": kind, "Tags": tag_list(self.tags)}]


class Vpc(Ec2Resource):
    kind = "VPC"
    service_noun = "vpc"
    plural = "Vpcs"
    id_key = "VpcId"
    fixed = frozenset({"cidr"})

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], cidr: str) -> None:
        super().__init__(aws, name, tags)
        self.cidr = cidr

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"cidr": self.cidr, "dns_names": True}

    def fields(self, answer: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
        names = self.aws.call("ec2", "describe_vpc_attribute", VpcId=answer["VpcId"], Attribute="enableDnsHostnames")
        return {"cidr": answer["CidrBlock"], "dns_names": names["EnableDnsHostnames"]["Value"]}

    def create(self) -> None:
        self.aws.call("ec2", "create_vpc", CidrBlock=self.cidr, TagSpecifications=self.tag_specification("vpc"))

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        self.aws.call("ec2", "modify_vpc_attribute", VpcId=self.id, EnableDnsHostnames={"Value": True})

    def delete(self) -> None:
        self.aws.call("ec2", "delete_vpc", VpcId=self.id)


class ExistingVpc(Ec2Resource):
    """A VPC of the user's: looked at, never changed."""

    kind = "VPC"
    tagged = False
    foreign = True

    def find(self) -> t.Optional[Found]:
        answer = self.aws.ask("ec2", "describe_vpcs", ["InvalidVpcID.NotFound", "InvalidVpcId.NotFound"], VpcIds=[self.name])
        vpcs = (answer or {}).get("Vpcs") or []
        # One that is not there is reported as a problem; nothing is planned for it.
        return Found(self.name, {"cidr": vpcs[0]["CidrBlock"]} if vpcs else {}, {}, {"exists": bool(vpcs)})

    def problems(self) -> t.List[Problem]:
        if self.found and self.found.more["exists"]:
            return []
        return [error(
            "network.vpc_id", f"there is no VPC {self.name} in {self.aws.region}", "give the id of one that exists, or leave it empty and one is made",
        )]


class Subnet(Ec2Resource):
    kind = "subnet"
    service_noun = "subnet"
    plural = "Subnets"
    id_key = "SubnetId"
    fixed = frozenset({"cidr", "zone"})

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], vpc: Vpc, cidr: str, zone: str, public: bool) -> None:
        super().__init__(aws, name, tags, [vpc])
        self.vpc, self.cidr, self.zone, self.public = vpc, cidr, zone, public

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"cidr": self.cidr, "zone": self.zone, "public_addresses": self.public}

    def fields(self, answer: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
        return {"cidr": answer["CidrBlock"], "zone": answer["AvailabilityZone"], "public_addresses": answer["MapPublicIpOnLaunch"]}

    def create(self) -> None:
        self.aws.call(
            "ec2", "create_subnet", VpcId=self.vpc.id, CidrBlock=self.cidr, AvailabilityZone=self.zone, TagSpecifications=self.tag_specification("subnet"),
        )

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        self.aws.call("ec2", "modify_subnet_attribute", SubnetId=self.id, MapPublicIpOnLaunch={"Value": self.public})

    def delete(self) -> None:
        self.aws.call("ec2", "delete_subnet", SubnetId=self.id)


class InternetGateway(Ec2Resource):
    kind = "internet gateway"
    service_noun = "internet_gateway"
    plural = "InternetGateways"
    id_key = "InternetGatewayId"

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], vpc: Vpc) -> None:
        super().__init__(aws, name, tags, [vpc])
        self.vpc = vpc

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"vpc": self.vpc.id}

    def fields(self, answer: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
        attached = answer.get("Attachments") or []
        return {"vpc": attached[0]["VpcId"] if attached else None}

    def create(self) -> None:
        self.aws.call("ec2", "create_internet_gateway", TagSpecifications=self.tag_specification("internet-gateway"))

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        self.aws.call("ec2", "attach_internet_gateway", InternetGatewayId=self.id, VpcId=self.vpc.id)

    def delete(self) -> None:
        if self.found and self.found.fields["vpc"]:
            self.aws.call("ec2", "detach_internet_gateway", InternetGatewayId=self.id, VpcId=self.found.fields["vpc"])
        self.aws.call("ec2", "delete_internet_gateway", InternetGatewayId=self.id)


class PublicRoutes(Ec2Resource):
    """The route table of the public subnets: everything else goes to the internet gateway."""

    kind = "route table"
    service_noun = "route_table"
    plural = "RouteTables"
    id_key = "RouteTableId"

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], vpc: Vpc, gateway: InternetGateway, subnets: t.Sequence[Subnet]) -> None:
        super().__init__(aws, name, tags, [vpc, gateway, *subnets])
        self.vpc, self.gateway, self.subnets = vpc, gateway, list(subnets)

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"default_route": self.gateway.id, "subnets": sorted(subnet.id for subnet in self.subnets)}

    def fields(self, answer: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
        routes = {route.get("DestinationCidrBlock"): route.get("GatewayId") for route in answer.get("Routes") or []}
        associated = [link["SubnetId"] for link in answer.get("Associations") or [] if link.get("SubnetId")]
        return {"default_route": routes.get(EVERYWHERE), "subnets": sorted(associated)}

    def create(self) -> None:
        self.aws.call("ec2", "create_route_table", VpcId=self.vpc.id, TagSpecifications=self.tag_specification("route-table"))

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        current = self.found.fields if self.found else {}
        if "default_route" in fields:
            operation = "replace_route" if current.get("default_route") else "create_route"
            self.aws.call("ec2", operation, RouteTableId=self.id, DestinationCidrBlock=EVERYWHERE, GatewayId=self.gateway.id)
        for subnet in sorted(set(fields.get("subnets") or []) - set(current.get("subnets") or [])):
            self.aws.call("ec2", "associate_route_table", RouteTableId=self.id, SubnetId=subnet)

    def same(self, name: str, current: t.Any, wanted: t.Any) -> bool:
        # Subnets that somebody else added are theirs.
        return set(wanted) <= set(current or []) if name == "subnets" else super().same(name, current, wanted)

    def delete(self) -> None:
        for link in (self.found.more if self.found else {}).get("Associations") or []:
            self.aws.call("ec2", "disassociate_route_table", AssociationId=link["RouteTableAssociationId"])
        self.aws.call("ec2", "delete_route_table", RouteTableId=self.id)


class Rule(t.NamedTuple):
    """Who may reach a TCP port: a network, or the members of a security group."""

    port: int
    source: t.Union[str, SecurityGroup]


class SecurityGroup(Ec2Resource):
    """Members, and all that may reach them. The whole list is ours: a rule that was added by hand is taken away."""

    kind = "security group"

    def __init__(
        self, aws: Aws, name: str, tags: t.Mapping[str, str], vpc: t.Union[Vpc, ExistingVpc], purpose: str, rules: t.Sequence[Rule],
    ) -> None:
        groups = [rule.source for rule in rules if isinstance(rule.source, SecurityGroup)]
        super().__init__(aws, name, tags, [vpc, *groups])
        self.vpc, self.purpose, self.rules = vpc, purpose, list(rules)

    def described(self) -> t.Optional[t.Dict[str, t.Any]]:
        if isinstance(self.vpc.id, Symbol):
            return None
        filters = [{"Name": "group-name", "Values": [self.name]}, {"Name": "vpc-id", "Values": [self.vpc.id]}]
        groups = self.aws.pages("ec2", "describe_security_groups", "SecurityGroups", Filters=filters)
        return groups[0] if groups else None

    id_key = "GroupId"

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"ingress": sorted({f"tcp {rule.port} from {source_id(rule.source)}" for rule in self.rules})}

    def fields(self, answer: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
        return {"ingress": sorted(line for permission in answer.get("IpPermissions") or [] for line, _single in permission_lines(permission))}

    def create(self) -> None:
        self.aws.call(
            "ec2", "create_security_group", GroupName=self.name, Description=self.purpose, VpcId=self.vpc.id,
            TagSpecifications=self.tag_specification("security-group"),
        )

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        present = {line: single for permission in (self.found.more if self.found else {}).get("IpPermissions") or [] for line, single in permission_lines(
            permission,
        )}
        wanted = {f"tcp {rule.port} from {source_id(rule.source)}": permission_of(rule) for rule in self.rules}
        # What is missing first: between the two calls too much is allowed, not too little.
        added = [permission for line, permission in wanted.items() if line not in present]
        removed = [permission for line, permission in present.items() if line not in wanted]
        if added:
            self.aws.call("ec2", "authorize_security_group_ingress", GroupId=self.id, IpPermissions=added)
        if removed:
            self.aws.call("ec2", "revoke_security_group_ingress", GroupId=self.id, IpPermissions=removed)

    def delete(self) -> None:
        self.aws.call("ec2", "delete_security_group", GroupId=self.id)


def source_id(source: t.Union[str, SecurityGroup]) -> str:
    return source.id if isinstance(source, SecurityGroup) else source


def permission_of(rule: Rule) -> t.Dict[str, t.Any]:
    permission: t.Dict[str, t.Any] = {"IpProtocol": "tcp", "FromPort": rule.port, "ToPort": rule.port}
    if isinstance(rule.source, SecurityGroup):
        permission["UserIdGroupPairs"] = [{"GroupId": rule.source.id}]
    elif ":" in rule.source:
        permission["Ipv6Ranges"] = [{"CidrIpv6": rule.source}]
    else:
        permission["IpRanges"] = [{"CidrIp": rule.source}]
    return permission


def permission_lines(permission: t.Mapping[str, t.Any]) -> t.Iterator[t.Tuple[str, t.Dict[str, t.Any]]]:
    """A permission of the API as lines, one a source, each with the permission that holds it alone."""
    low, high = permission.get("FromPort"), permission.get("ToPort")
    protocol = "everything" if permission["IpProtocol"] == "-1" else permission["IpProtocol"]
    ports = "" if low is None or protocol == "everything" else f" {low}" if low == high else f" {low}-{high}"
    base = {key: permission[key] for key in ("IpProtocol", "FromPort", "ToPort") if permission.get(key) is not None}
    kinds = (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6"), ("UserIdGroupPairs", "GroupId"), ("PrefixListIds", "PrefixListId"))
    for plural, key in kinds:
        for source in permission.get(plural) or []:
            yield f"{protocol}{ports} from {source.get(key)}", {**base, plural: [{key: source.get(key)}]}
