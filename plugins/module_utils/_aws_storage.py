# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Object storage (S3) and who may use it (IAM) on AWS.

Private to this collection.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_client import Aws, AwsResource, tag_dict, tag_list
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_data import Secret
from ansible_collections.covstack.selfhosted.plugins.module_utils._aws_engine import Found
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import Problem, error

BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
POLICY_NAME = "codecov-bucket"


def partition_of(region: str) -> str:
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"


def tls_only(partition: str, bucket: str) -> t.Dict[str, t.Any]:
    """Nobody may use the bucket without TLS. Nobody is allowed anything here."""
    arn = f"arn:{partition}:s3:::{bucket}"
    return {
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }],
    }


def bucket_access(partition: str, bucket: str) -> t.Dict[str, t.Any]:
    """What the application does with its bucket, and nothing else."""
    arn = f"arn:{partition}:s3:::{bucket}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "Bucket", "Effect": "Allow", "Action": ["s3:GetBucketLocation", "s3:ListBucket"], "Resource": arn},
            {"Sid": "Objects", "Effect": "Allow", "Action": ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], "Resource": f"{arn}/*"},
        ],
    }


EC2_TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}


def document(text: t.Any) -> t.Any:
    """A policy document, however the API gives it."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


class Bucket(AwsResource):
    """Private, encrypted, versioned, TLS only."""

    kind = "bucket"
    stateful = True

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], settings: t.Mapping[str, t.Any]) -> None:
        super().__init__(aws, name, tags)
        self.settings = settings

    def wanted(self) -> t.Dict[str, t.Any]:
        key = self.settings["kms_key"]
        return {
            "public_access": "blocked",
            "object_ownership": "BucketOwnerEnforced",
            "encryption": f"aws:kms {key}" if key else "AES256",
            "versioning": "Enabled",
            "policy": tls_only(partition_of(self.aws.region), self.name),
            "lifecycle": self._lifecycle(),
        }

    def _lifecycle(self) -> t.List[t.Dict[str, t.Any]]:
        return [
            {"id": "incomplete-uploads", "days_until_aborted": self.settings["incomplete_upload_days"]},
            {"id": "old-versions", "days_until_deleted": self.settings["old_version_days"]},
        ]

    def find(self) -> t.Optional[Found]:
        seen = self.aws.sees("s3", "head_bucket", Bucket=self.name)
        if seen is None:
            return Found(self.name, {}, {}, {"forbidden": True})
        if not seen:
            return None
        tags = self._ask("get_bucket_tagging", "NoSuchTagSet").get("TagSet")
        location = self._ask("get_bucket_location").get("LocationConstraint") or "us-east-1"
        return Found(self.name, self._fields(), tag_dict(tags), {"region": "eu-west-1" if location == "EU" else location})

    def _ask(self, operation: str, *missing: str) -> t.Dict[str, t.Any]:
        return self.aws.ask("s3", operation, missing or ("none",), Bucket=self.name) or {}

    def _fields(self) -> t.Dict[str, t.Any]:
        blocks = self._ask("get_public_access_block", "NoSuchPublicAccessBlockConfiguration").get("PublicAccessBlockConfiguration") or {}
        open_blocks = [block for block in BLOCKS if not blocks.get(block)]
        ownership = self._ask("get_bucket_ownership_controls", "OwnershipControlsNotFoundError").get("OwnershipControls") or {}
        encryption = self._ask("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError").get("ServerSideEncryptionConfiguration") or {}
        lifecycle = self._ask("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration").get("Rules") or []
        return {
            "public_access": f"not blocked: {', '.join(open_blocks)}" if open_blocks else "blocked",
            "object_ownership": (ownership.get("Rules") or [{}])[0].get("ObjectOwnership"),
            "encryption": encryption_of(encryption),
            "versioning": self._ask("get_bucket_versioning").get("Status"),
            "policy": document(self._ask("get_bucket_policy", "NoSuchBucketPolicy").get("Policy")),
            "lifecycle": [rule_fields(rule) for rule in lifecycle],
        }

    def same(self, name: str, current: t.Any, wanted: t.Any) -> bool:
        if name == "lifecycle":
            # Further rules of the operator's, such as an archive tier, are theirs.
            return all(rule in (current or []) for rule in wanted)
        return super().same(name, current, wanted)

    def owned(self) -> bool:
        # A run that ended between making the bucket and giving it its tags (S3 has no one call for both) left this.
        if self.found and self.found.more.get("forbidden"):
            return True  # `problems` says more
        return super().owned() or bool(self.found and not self.found.tags and not self.obstacles())

    def differences(self) -> t.Dict[str, t.Tuple[t.Any, t.Any]]:
        return {} if self.found and self.found.more.get("forbidden") else super().differences()

    def problems(self) -> t.List[Problem]:
        found = self.found
        if found and found.more.get("forbidden"):
            message = f"the bucket {self.name} exists, and these credentials may not look at it: it is probably somebody else's"
            return [error("storage.bucket", message, "choose another name; names of buckets are taken for the whole world")]
        if found and found.more["region"] != self.aws.region:
            return [error(
                "storage.bucket", f"the bucket {self.name} is in {found.more['region']}, not in {self.aws.region}", "choose another bucket or region",
            )]
        return []

    def create(self) -> None:
        where = {} if self.aws.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.aws.region}}
        self.aws.call("s3", "create_bucket", Bucket=self.name, ObjectOwnership="BucketOwnerEnforced", **where)
        self.set_tags(self.tags)

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        # First nobody may look in, then the rest.
        if "public_access" in fields:
            self.aws.call("s3", "put_public_access_block", Bucket=self.name, PublicAccessBlockConfiguration=dict.fromkeys(BLOCKS, True))
        if "object_ownership" in fields:
            rules = {"Rules": [{"ObjectOwnership": fields["object_ownership"]}]}
            self.aws.call("s3", "put_bucket_ownership_controls", Bucket=self.name, OwnershipControls=rules)
        if "encryption" in fields:
            algorithm, _space, key = fields["encryption"].partition(" ")
            default = {"SSEAlgorithm": algorithm, **({"KMSMasterKeyID": key} if key else {})}
            rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": bool(key)}]}
            self.aws.call("s3", "put_bucket_encryption", Bucket=self.name, ServerSideEncryptionConfiguration=rules)
        if "versioning" in fields:
            self.aws.call("s3", "put_bucket_versioning", Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})
        if "policy" in fields:
            self.aws.call("s3", "put_bucket_policy", Bucket=self.name, Policy=json.dumps(fields["policy"]))
        if "lifecycle" in fields:
            self._put_lifecycle()

    def _put_lifecycle(self) -> None:
        ours = [
            {
                "ID": "incomplete-uploads", "Status": "Enabled", "Filter": {"Prefix": ""},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": self.settings["incomplete_upload_days"]},
            },
            {
                "ID": "old-versions", "Status": "Enabled", "Filter": {"Prefix": ""},
                "NoncurrentVersionExpiration": {"NoncurrentDays": self.settings["old_version_days"]},
            },
        ]
        names = {rule["ID"] for rule in ours}
        present = self._ask("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration").get("Rules") or []
        theirs = [rule for rule in present if rule.get("ID") not in names]
        self.aws.call("s3", "put_bucket_lifecycle_configuration", Bucket=self.name, LifecycleConfiguration={"Rules": [*theirs, *ours]})

    def set_tags(self, tags: t.Dict[str, str]) -> None:
        # The call replaces the whole set.
        present = self.found.tags if self.found else {}
        self.aws.call("s3", "put_bucket_tagging", Bucket=self.name, Tagging={"TagSet": tag_list({**present, **tags})})

    def obstacles(self) -> t.List[Problem]:
        if self.found and self.found.more.get("forbidden"):
            return self.problems()
        answer = self.aws.call("s3", "list_object_versions", Bucket=self.name, MaxKeys=1)
        if not answer.get("Versions") and not answer.get("DeleteMarkers"):
            return []
        return [error(
            "storage.bucket", f"the bucket {self.name} is not empty",
            "empty it yourself (all versions), then run again; this collection never deletes reports",
        )]

    def delete(self) -> None:
        self.aws.call("s3", "delete_bucket", Bucket=self.name)


def encryption_of(configuration: t.Mapping[str, t.Any]) -> t.Optional[str]:
    default = ((configuration.get("Rules") or [{}])[0]).get("ApplyServerSideEncryptionByDefault") or {}
    return f"{default.get('SSEAlgorithm')} {default['KMSMasterKeyID']}" if default.get("KMSMasterKeyID") else default.get("SSEAlgorithm")


def rule_fields(rule: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """What of a lifecycle rule is compared."""
    fields: t.Dict[str, t.Any] = {"id": rule.get("ID")}
    if rule.get("Status") != "Enabled":
        return {**fields, "status": rule.get("Status")}
    if "AbortIncompleteMultipartUpload" in rule:
        fields["days_until_aborted"] = rule["AbortIncompleteMultipartUpload"].get("DaysAfterInitiation")
    if "NoncurrentVersionExpiration" in rule:
        fields["days_until_deleted"] = rule["NoncurrentVersionExpiration"].get("NoncurrentDays")
    return fields


class User(AwsResource):
    """A user of IAM that may use the bucket and has no password."""

    kind = "IAM user"

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], bucket: str) -> None:
        super().__init__(aws, name, tags)
        self.bucket = bucket

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"policy": bucket_access(partition_of(self.aws.region), self.bucket)}

    def find(self) -> t.Optional[Found]:
        answer = self.aws.ask("iam", "get_user", ["NoSuchEntity"], UserName=self.name)
        if answer is None:
            return None
        policy = self.aws.ask("iam", "get_user_policy", ["NoSuchEntity"], UserName=self.name, PolicyName=POLICY_NAME)
        tags = tag_dict(self.aws.pages("iam", "list_user_tags", "Tags", UserName=self.name))
        return Found(answer["User"]["Arn"], {"policy": document((policy or {}).get("PolicyDocument"))}, tags)

    def create(self) -> None:
        self.aws.call("iam", "create_user", UserName=self.name, Tags=tag_list(self.tags))

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        self.aws.call("iam", "put_user_policy", UserName=self.name, PolicyName=POLICY_NAME, PolicyDocument=json.dumps(fields["policy"]))

    def set_tags(self, tags: t.Dict[str, str]) -> None:
        self.aws.call("iam", "tag_user", UserName=self.name, Tags=tag_list(tags))

    def delete(self) -> None:
        for key in self.aws.pages("iam", "list_access_keys", "AccessKeyMetadata", UserName=self.name):
            self.aws.call("iam", "delete_access_key", UserName=self.name, AccessKeyId=key["AccessKeyId"])
        for policy in self.aws.pages("iam", "list_user_policies", "PolicyNames", UserName=self.name):
            self.aws.call("iam", "delete_user_policy", UserName=self.name, PolicyName=policy)
        self.aws.call("iam", "delete_user", UserName=self.name)


class AccessKey(AwsResource):
    """The key of the user, whose secret half AWS tells once: it goes straight into the secret."""

    kind = "access key"
    tagged = False

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], user: User, secret: Secret) -> None:
        super().__init__(aws, name, tags, [user, secret])
        self.user, self.secret = user, secret

    def find(self) -> t.Optional[Found]:
        if self.user.missing:
            return None
        kept = self.secret.value().get("access_key_id")
        active = {key["AccessKeyId"] for key in self._keys() if key["Status"] == "Active"}
        return Found(kept, {}) if kept and kept in active else None

    def _keys(self) -> t.List[t.Dict[str, t.Any]]:
        return self.aws.pages("iam", "list_access_keys", "AccessKeyMetadata", UserName=self.user.name)

    def _never_used(self, key_id: str) -> bool:
        return not (self.aws.call("iam", "get_access_key_last_used", AccessKeyId=key_id).get("AccessKeyLastUsed") or {}).get("LastUsedDate")

    def create(self) -> None:
        # A run that was interrupted after AWS made the key, and before it was stored, leaves one that nobody can ever use.
        for key in self._keys():
            if self._never_used(key["AccessKeyId"]):
                self.aws.call("iam", "delete_access_key", UserName=self.user.name, AccessKeyId=key["AccessKeyId"])
        if len(self._keys()) >= 2:
            raise ValueError(
                f"IAM user {self.user.name} has two access keys in use, and AWS allows no third. Delete the one that is not needed, and run again.",
            )
        key = self.aws.call("iam", "create_access_key", UserName=self.user.name)["AccessKey"]
        try:
            self.secret.store({"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]})
        except BaseException:
            self.aws.call("iam", "delete_access_key", UserName=self.user.name, AccessKeyId=key["AccessKeyId"])
            raise

    def delete(self) -> None:
        if self.found:
            self.aws.call("iam", "delete_access_key", UserName=self.user.name, AccessKeyId=self.found.id)


class Role(AwsResource):
    """What hosts may do by themselves: use the bucket."""

    kind = "IAM role"

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], bucket: str) -> None:
        super().__init__(aws, name, tags)
        self.bucket = bucket

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"trust": EC2_TRUST, "policy": bucket_access(partition_of(self.aws.region), self.bucket)}

    def find(self) -> t.Optional[Found]:
        answer = self.aws.ask("iam", "get_role", ["NoSuchEntity"], RoleName=self.name)
        if answer is None:
            return None
        policy = self.aws.ask("iam", "get_role_policy", ["NoSuchEntity"], RoleName=self.name, PolicyName=POLICY_NAME)
        fields = {"trust": document(answer["Role"]["AssumeRolePolicyDocument"]), "policy": document((policy or {}).get("PolicyDocument"))}
        return Found(answer["Role"]["Arn"], fields, tag_dict(answer["Role"].get("Tags")))

    def create(self) -> None:
        self.aws.call("iam", "create_role", RoleName=self.name, AssumeRolePolicyDocument=json.dumps(EC2_TRUST), Tags=tag_list(self.tags))

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        if "trust" in fields:
            self.aws.call("iam", "update_assume_role_policy", RoleName=self.name, PolicyDocument=json.dumps(fields["trust"]))
        if "policy" in fields:
            self.aws.call("iam", "put_role_policy", RoleName=self.name, PolicyName=POLICY_NAME, PolicyDocument=json.dumps(fields["policy"]))

    def set_tags(self, tags: t.Dict[str, str]) -> None:
        self.aws.call("iam", "tag_role", RoleName=self.name, Tags=tag_list(tags))

    def delete(self) -> None:
        for policy in self.aws.pages("iam", "list_role_policies", "PolicyNames", RoleName=self.name):
            self.aws.call("iam", "delete_role_policy", RoleName=self.name, PolicyName=policy)
        self.aws.call("iam", "delete_role", RoleName=self.name)


class InstanceProfile(AwsResource):
    """Gives the role to hosts."""

    kind = "instance profile"

    def __init__(self, aws: Aws, name: str, tags: t.Mapping[str, str], role: Role) -> None:
        super().__init__(aws, name, tags, [role])
        self.role = role

    def wanted(self) -> t.Dict[str, t.Any]:
        return {"roles": [self.role.name]}

    def find(self) -> t.Optional[Found]:
        answer = self.aws.ask("iam", "get_instance_profile", ["NoSuchEntity"], InstanceProfileName=self.name)
        if answer is None:
            return None
        profile = answer["InstanceProfile"]
        return Found(profile["Arn"], {"roles": [role["RoleName"] for role in profile["Roles"]]}, tag_dict(profile.get("Tags")))

    def create(self) -> None:
        self.aws.call("iam", "create_instance_profile", InstanceProfileName=self.name, Tags=tag_list(self.tags))

    def change(self, fields: t.Dict[str, t.Any]) -> None:
        self._remove_roles()
        self.aws.call("iam", "add_role_to_instance_profile", InstanceProfileName=self.name, RoleName=self.role.name)

    def _remove_roles(self) -> None:
        for role in (self.found.fields["roles"] if self.found else []):
            self.aws.call("iam", "remove_role_from_instance_profile", InstanceProfileName=self.name, RoleName=role)

    def set_tags(self, tags: t.Dict[str, str]) -> None:
        self.aws.call("iam", "tag_instance_profile", InstanceProfileName=self.name, Tags=tag_list(tags))

    def delete(self) -> None:
        self._remove_roles()
        self.aws.call("iam", "delete_instance_profile", InstanceProfileName=self.name)
