from __future__ import annotations

import uuid

from django.db import models

from shared.django_apps.core.models import Commit


class CommitReport(models.Model):
    class ReportType(models.TextChoices):
        COVERAGE = "coverage"
        TEST_RESULTS = "test_results"
        BUNDLE_ANALYSIS = "bundle_analysis"

    external_id = models.UUIDField(default=uuid.uuid4)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    commit = models.ForeignKey(Commit, related_name="reports", on_delete=models.CASCADE)
    code = models.CharField(null=True, max_length=100)
    report_type = models.CharField(null=True, max_length=100)

    class Meta:
        managed = False
        db_table = "reports_commitreport"
        app_label = "reports"


class ReportSession(models.Model):
    external_id = models.UUIDField(default=uuid.uuid4)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    report = models.ForeignKey(CommitReport, related_name="sessions", on_delete=models.CASCADE)
    name = models.CharField(null=True, max_length=100)
    provider = models.CharField(null=True, max_length=50)
    state = models.CharField(max_length=100)
    state_id = models.IntegerField(null=True)
    storage_path = models.TextField(null=True)
    order_number = models.IntegerField(null=True)
    upload_type = models.CharField(max_length=100, default="uploaded")
    upload_extras = models.JSONField(default=dict)

    class Meta:
        managed = False
        db_table = "reports_upload"
        app_label = "reports"


class UploadError(models.Model):
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    report_session = models.ForeignKey(ReportSession, db_column="upload_id", related_name="errors", on_delete=models.CASCADE)
    error_code = models.CharField(max_length=100)
    error_params = models.JSONField(default=dict)

    class Meta:
        managed = False
        db_table = "reports_uploaderror"
        app_label = "reports"
