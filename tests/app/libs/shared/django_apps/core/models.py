from __future__ import annotations

import secrets
import uuid

from django.db import models

from shared.django_apps.codecov_auth.models import Owner


def _image_token() -> str:
    return secrets.token_hex(5)


class Repository(models.Model):
    repoid = models.AutoField(primary_key=True)
    name = models.TextField()
    author = models.ForeignKey(Owner, db_column="ownerid", on_delete=models.CASCADE)
    service_id = models.TextField()
    private = models.BooleanField()
    branch = models.TextField(default="main")
    upload_token = models.UUIDField(unique=True, default=uuid.uuid4)
    image_token = models.TextField(null=True, default=_image_token)
    updatestamp = models.DateTimeField(auto_now=True)
    language = models.TextField(null=True)
    yaml = models.JSONField(null=True)
    active = models.BooleanField(null=True, default=False)
    activated = models.BooleanField(null=True, default=False)
    deleted = models.BooleanField(default=False)
    coverage_enabled = models.BooleanField(default=False, null=True)

    class Meta:
        managed = False
        db_table = "repos"
        app_label = "core"


class Commit(models.Model):
    id = models.BigAutoField(primary_key=True)
    commitid = models.TextField()
    timestamp = models.DateTimeField(auto_now_add=True)
    repository = models.ForeignKey(Repository, db_column="repoid", on_delete=models.CASCADE, related_name="commits")
    totals = models.JSONField(null=True)
    branch = models.TextField(null=True)
    pullid = models.IntegerField(null=True)
    message = models.TextField(null=True)
    parent_commit_id = models.TextField(null=True, db_column="parent")
    state = models.TextField(null=True)

    class Meta:
        managed = False
        db_table = "commits"
        app_label = "core"


class Constants(models.Model):
    key = models.CharField(primary_key=True, max_length=255)
    value = models.CharField(max_length=255)

    class Meta:
        managed = False
        db_table = "constants"
        app_label = "core"
