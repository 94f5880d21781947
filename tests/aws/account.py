# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody does, or sees, in the account beside us: plain boto3, so that the collection is not judged by itself.

    python tests/aws/account.py COMMAND        prints JSON
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import boto3

NAME = "codecov"
BUCKET = "example-codecov-reports"


def client(service: str) -> Any:
    return boto3.client(service)


def certificate() -> Any:
    """An issued certificate."""
    with tempfile.TemporaryDirectory() as directory:
        key, chain = Path(directory, "key.pem"), Path(directory, "certificate.pem")
        options = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=codecov.example.com", "-days", "30"]
        subprocess.run(["openssl", "req", "-x509", *options, "-keyout", key, "-out", chain], check=True, capture_output=True)
        return client("acm").import_certificate(Certificate=chain.read_bytes(), PrivateKey=key.read_bytes())["CertificateArn"]


def group_id(kind: str) -> Any:
    return client("ec2").describe_security_groups(Filters=[{"Name": "group-name", "Values": [f"{NAME}-{kind}"]}])["SecurityGroups"][0]["GroupId"]


def balancer() -> Any:
    return client("elbv2").describe_load_balancers(Names=[NAME])["LoadBalancers"][0]["LoadBalancerArn"]


def drift() -> Any:
    """Change, by hand, what the collection owns."""
    s3, rds, elb, ec2, cache, iam = (client(name) for name in ("s3", "rds", "elbv2", "ec2", "elasticache", "iam"))
    s3.delete_public_access_block(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    s3.delete_bucket_policy(Bucket=BUCKET)
    s3.delete_bucket_lifecycle(Bucket=BUCKET)
    rds.modify_db_instance(DBInstanceIdentifier=f"{NAME}-postgres", MultiAZ=False, DeletionProtection=False, BackupRetentionPeriod=1, ApplyImmediately=True)
    rds.modify_db_parameter_group(
        DBParameterGroupName=f"{NAME}-postgres17",
        Parameters=[{"ParameterName": "rds.force_ssl", "ParameterValue": "0", "ApplyMethod": "immediate"}],
    )
    cache.modify_replication_group(ReplicationGroupId=f"{NAME}-redis", AutomaticFailoverEnabled=False, SnapshotRetentionLimit=0, ApplyImmediately=True)
    cache.decrease_replica_count(ReplicationGroupId=f"{NAME}-redis", NewReplicaCount=0, ApplyImmediately=True)
    cache.modify_cache_parameter_group(
        CacheParameterGroupName=f"{NAME}-valkey8", ParameterNameValues=[{"ParameterName": "maxmemory-policy", "ParameterValue": "volatile-lru"}],
    )
    everybody = [{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.authorize_security_group_ingress(GroupId=group_id("data"), IpPermissions=everybody)
    listeners = {listener["Port"]: listener["ListenerArn"] for listener in elb.describe_listeners(LoadBalancerArn=balancer())["Listeners"]}
    elb.modify_listener(ListenerArn=listeners[443], SslPolicy="ELBSecurityPolicy-2016-08")
    elb.delete_listener(ListenerArn=listeners[80])
    target = elb.describe_target_groups(Names=[f"{NAME}-web"])["TargetGroups"][0]["TargetGroupArn"]
    elb.modify_target_group_attributes(TargetGroupArn=target, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}])
    elb.modify_target_group(TargetGroupArn=target, HealthCheckPath="/", HealthCheckPort="8080")
    elb.remove_tags(ResourceArns=[target], TagKeys=["covstack:managed-by"])
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_user_policy(UserName=f"{NAME}-storage", PolicyName="codecov-bucket", PolicyDocument=json.dumps(everything))


def look() -> Any:
    """What matters, as AWS tells it."""
    s3, rds, iam = client("s3"), client("rds"), client("iam")
    instance = rds.describe_db_instances(DBInstanceIdentifier=f"{NAME}-postgres")["DBInstances"][0]
    ingress = client("ec2").describe_security_groups(GroupIds=[group_id("data")])["SecurityGroups"][0]["IpPermissions"]
    listeners = client("elbv2").describe_listeners(LoadBalancerArn=balancer())["Listeners"]
    group = client("elasticache").describe_replication_groups(ReplicationGroupId=f"{NAME}-redis")["ReplicationGroups"][0]
    return {
        "open_blocks": [name for name, on in s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].items() if not on],
        "versioning": s3.get_bucket_versioning(Bucket=BUCKET).get("Status"),
        "policy": json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"][0]["Condition"],
        "encrypted": [instance["StorageEncrypted"], group["AtRestEncryptionEnabled"], group["TransitEncryptionEnabled"], group["AuthTokenEnabled"]],
        "available_twice": [instance["MultiAZ"], group["AutomaticFailover"], group["MultiAZ"], len(group["MemberClusters"])],
        "public": instance["PubliclyAccessible"],
        "protected": instance["DeletionProtection"],
        "cluster_mode": group["ClusterEnabled"],
        "open_to_everybody": [entry for entry in ingress if entry.get("IpRanges")],
        "listeners": sorted(f"{listener['Port']} {listener['Protocol']}" for listener in listeners),
        "tls_policy": next(listener["SslPolicy"] for listener in listeners if listener["Port"] == 443),
        "access_keys": len(iam.list_access_keys(UserName=f"{NAME}-storage")["AccessKeyMetadata"]),
        "policies": iam.get_user_policy(UserName=f"{NAME}-storage", PolicyName="codecov-bucket")["PolicyDocument"]["Statement"],
    }


def access_keys() -> Any:
    return [key["AccessKeyId"] for key in client("iam").list_access_keys(UserName=f"{NAME}-storage")["AccessKeyMetadata"]]


def secret_values() -> Any:
    """Every secret value there is."""
    secrets = client("secretsmanager")
    values = [secrets.get_secret_value(SecretId=entry["Name"])["SecretString"] for entry in secrets.list_secrets()["SecretList"]]
    return [value for text in values for name, value in json.loads(text).items() if name not in ("username", "access_key_id")]


def put_object() -> Any:
    # The simulation is spoken to without TLS, which is just what the policy of the bucket forbids.
    client("s3").delete_bucket_policy(Bucket=BUCKET)
    client("s3").put_object(Bucket=BUCKET, Key="report.txt", Body=b"covered")


def empty_bucket() -> Any:
    client("s3").delete_bucket_policy(Bucket=BUCKET)
    versions = client("s3").list_object_versions(Bucket=BUCKET)
    for version in [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]:
        client("s3").delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])


def left() -> Any:
    """What the deployment left in the account."""
    tagged = [{"Name": "tag:covstack:deployment", "Values": [NAME]}]
    ec2 = client("ec2")
    return {
        "vpcs": len(ec2.describe_vpcs(Filters=tagged)["Vpcs"]),
        "subnets": len(ec2.describe_subnets(Filters=tagged)["Subnets"]),
        "security_groups": len(ec2.describe_security_groups(Filters=tagged)["SecurityGroups"]),
        "databases": len(client("rds").describe_db_instances()["DBInstances"]),
        "caches": len(client("elasticache").describe_replication_groups()["ReplicationGroups"]),
        "buckets": len(client("s3").list_buckets()["Buckets"]),
        "users": len(client("iam").list_users()["Users"]),
        "balancers": len(client("elbv2").describe_load_balancers()["LoadBalancers"]),
        "target_groups": len(client("elbv2").describe_target_groups()["TargetGroups"]),
        "secrets": len(client("secretsmanager").list_secrets()["SecretList"]),
    }


def snapshots() -> Any:
    database = [snapshot["DBSnapshotIdentifier"] for snapshot in client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]]
    return {"database": database, "cache": [snapshot["SnapshotName"] for snapshot in client("elasticache").describe_snapshots()["Snapshots"]]}


def instances() -> Any:
    """Two hosts, as the example inventory expects them."""
    ec2 = client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    for number in (1, 2):
        tags = {"Name": f"web{number}", "covstack:deployment": NAME, "covstack:kinds": "web worker"}
        specification = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
        ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=specification)


def targets() -> Any:
    elb = client("elbv2")
    group = elb.describe_target_groups(Names=[f"{NAME}-web"])["TargetGroups"][0]["TargetGroupArn"]
    return len(elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"])


COMMANDS = (certificate, drift, look, access_keys, secret_values, put_object, empty_bucket, left, snapshots, instances, targets)

if __name__ == "__main__":
    print(json.dumps({command.__name__: command for command in COMMANDS}[sys.argv[1]](), default=str))
