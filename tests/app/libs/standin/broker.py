"""The Celery application: the same settings for the api, which sends tasks, and the worker, which runs them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from celery import Celery

from standin.config import get_config, is_enterprise_line

COMMIT_UPDATE = "app.tasks.commit_update.CommitUpdate"
PRE_PROCESS_UPLOAD = "app.tasks.upload.PreProcessUpload"
UPLOAD = "app.tasks.upload.Upload"
UPLOAD_PROCESSOR = "app.tasks.upload.UploadProcessor"
UPLOAD_FINISHER = "app.tasks.upload.UploadFinisher"
UPLOAD_BREADCRUMB = "app.tasks.upload.UploadBreadcrumb"
NOTIFY = "app.tasks.notify.Notify"
HEALTH_CHECK = "app.cron.healthcheck.HealthCheckTask"

HEALTH_CHECK_QUEUE = "healthcheck"


def _celery_setting(name: str, default: Any) -> Any:
    return get_config("setup", "tasks", "celery", name, default=default)


def default_queue() -> str:
    return _celery_setting("default_queue", "celery")


def queue_of(task_name: str) -> str:
    """`app.<tasks|cron>.<group>.<name>`: the group may have a queue of its own (`setup.tasks.<group>.queue`)."""
    group = task_name.split(".")[2]
    if task_name == HEALTH_CHECK:
        return HEALTH_CHECK_QUEUE
    fallback = "uploads" if is_enterprise_line() and group == "upload" else default_queue()
    return get_config("setup", "tasks", group, "queue", default=fallback)


def visibility_timeout() -> int:
    """How long a task that a killed worker had taken stays lost, when it is acknowledged late."""
    with_acks_late = int(_celery_setting("visibility_timeout_with_acks_late", 900))
    without = int(_celery_setting("visibility_timeout_without_acks_late", 300))
    usual = with_acks_late if _celery_setting("acks_late", None) else without
    return int(_celery_setting("visibility_timeout", max(usual, with_acks_late)))


class Settings:
    broker_url = get_config("services", "celery_broker") or get_config("services", "redis_url")
    result_backend = broker_url
    broker_transport_options = {"visibility_timeout": visibility_timeout()}
    broker_connection_retry_on_startup = True
    result_extended = True
    task_default_queue = default_queue()
    task_serializer = "json"
    accept_content = ["json"]
    task_ignore_result = True
    task_acks_late = bool(_celery_setting("acks_late", None))
    task_reject_on_worker_lost = bool(_celery_setting("reject_on_worker_lost", False))
    task_soft_time_limit = int(_celery_setting("soft_timelimit", 600))
    task_time_limit = int(_celery_setting("hard_timelimit", 720))
    worker_prefetch_multiplier = int(_celery_setting("prefetch", 1))
    worker_max_memory_per_child = int(_celery_setting("worker_max_memory_per_child", 1500000))
    worker_soft_shutdown_timeout = int(_celery_setting("worker_soft_shutdown_timeout", 60))
    worker_hijack_root_logger = False
    worker_disable_rate_limits = True
    timezone = "UTC"
    enable_utc = True


celery_app = Celery("tasks", config_source=Settings)


def send(task_name: str, *, countdown: float = 0, **arguments: Any) -> None:
    celery_app.send_task(
        task_name,
        kwargs=arguments,
        queue=queue_of(task_name),
        countdown=countdown or None,
        headers={"created_timestamp": datetime.now(timezone.utc).replace(tzinfo=None).isoformat()},
    )
