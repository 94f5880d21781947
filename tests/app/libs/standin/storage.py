"""Object storage through the application's own S3 client (minio), with its time limits and certificate rules."""

from __future__ import annotations

import io
import json
import os
from datetime import timedelta
from functools import cache
from hashlib import md5
from typing import Any

import certifi
import urllib3
from minio import Minio
from minio.credentials.providers import ChainedProvider, EnvAWSProvider, EnvMinioProvider, IamAwsProvider
from minio.error import S3Error

from standin.config import get_config

DEFAULT_TTL = 10


class FileNotInStorage(Exception):
    pass


def _setting(name: str, default: Any = None) -> Any:
    return get_config("services", "minio", name, default=default)


@cache
def client() -> Minio:
    port = _setting("port")
    credentials: dict[str, Any] = {"access_key": _setting("access_key_id"), "secret_key": _setting("secret_access_key")}
    if _setting("iam_auth"):
        providers = [IamAwsProvider(custom_endpoint=_setting("iam_endpoint")), EnvMinioProvider(), EnvAWSProvider()]
        credentials = {"credentials": ChainedProvider(providers=providers)}
    return Minio(
        _setting("host") if port is None else f"{_setting('host')}:{port}",
        # `verify_ssl` means "use https"; certificates are verified in any case.
        secure=bool(_setting("verify_ssl")),
        region=_setting("region"),
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=10, read=60),
            maxsize=10,
            cert_reqs="CERT_REQUIRED",
            ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
            retries=urllib3.Retry(total=5, backoff_factor=1, status_forcelist=[408, 429, 500, 502, 503, 504]),
        ),
        **credentials,
    )


def bucket() -> str:
    return _setting("bucket", "archive")


def repository_hash(repoid: int, service: str, service_id: str) -> str:
    """Part of every object's path: with another `hash_key` the application no longer finds what it stored."""
    text = f"{repoid}{service}{service_id}{_setting('hash_key', '')}"
    return md5(text.encode(), usedforsecurity=False).hexdigest().upper()


def presigned_put(path: str) -> str:
    """Offline when `region` is set; otherwise the client asks the storage for the bucket's location first."""
    ttl = int(_setting("ttl", DEFAULT_TTL))
    return client().get_presigned_url("PUT", bucket(), path, expires=timedelta(seconds=ttl))


def write(path: str, data: bytes, content_type: str = "text/plain") -> None:
    client().put_object(bucket(), path, io.BytesIO(data), len(data), content_type=content_type)


def read(path: str) -> bytes:
    try:
        response = client().get_object(bucket(), path)
    except S3Error as error:
        if error.code in ("NoSuchKey", "NoSuchBucket"):
            raise FileNotInStorage(path) from error
        raise
    try:
        return response.data
    finally:
        response.release_conn()


def create_root_storage() -> None:
    """What `auto_create_bucket` does, its flaw included: everybody may read every object."""
    region = _setting("region") or "us-east-1"
    if client().bucket_exists(bucket()):
        return
    client().make_bucket(bucket(), location=region)
    statement = {"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{bucket()}/*"]}
    client().set_bucket_policy(bucket(), json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
