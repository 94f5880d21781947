from __future__ import annotations

from django.db import models


class Owner(models.Model):
    ownerid = models.AutoField(primary_key=True)
    service = models.TextField()
    username = models.TextField(null=True)
    name = models.TextField(null=True)
    email = models.TextField(null=True)
    service_id = models.TextField()
    plan = models.TextField(null=True, default="users-developer")
    upload_token_required_for_public_repos = models.BooleanField(default=False)

    class Meta:
        managed = False
        db_table = "owners"
        app_label = "codecov_auth"
