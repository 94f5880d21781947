# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of every key of an installation's codecov.yml: type, default, meaning, trap.

The application never reports a wrong or unknown key (its own schema check only writes a debug line), so this table is
what a validation can stand on. It describes codecov/umbrella 26.7.6.

Private to this collection. Pure data: also runs on the controller, inside action plugins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

LINES = ("codecov", "codecov_enterprise")

PROVIDERS = ("github", "github_enterprise", "gitlab", "gitlab_enterprise", "bitbucket", "bitbucket_server")
PROVIDER_TITLES = {
    "github": "GitHub",
    "github_enterprise": "GitHub Enterprise",
    "gitlab": "GitLab",
    "gitlab_enterprise": "GitLab Enterprise",
    "bitbucket": "Bitbucket",
    "bitbucket_server": "Bitbucket Server",
}

# Groups of background tasks that a key below setup.tasks can configure.
TASK_GROUPS = (
    "ai_pr_review", "archive", "bundle_analysis", "cache_rollup", "comment", "commit_update", "compute_comparison", "daily",
    "delete_owner", "export_owner", "flakes", "flush_repo", "healthcheck", "http_request", "mark_owner_for_deletion",
    "new_user_activated", "notify", "profiling", "pulls", "reports", "send_email", "status", "sync_account", "sync_plans",
    "sync_repo_languages", "sync_repo_languages_gql", "sync_repos", "sync_teams", "test_results", "timeseries", "upload",
    "upload_finisher",
)

# Values that are printed in public source code: whoever reads it can forge what they protect.
PUBLIC_SECRETS = frozenset({
    "*",
    "ab164bf3f7d947f2a0681b215404873e",
    "codecov-default-key",
    "codecov-default-secret",
    "testixik8qdauiab1yiffydimvi72ekq",
    "testpassword",
    "YGUKnE-Ixm3lZINqBsMXKYN3shbGx_7_pYvKAUfdij4",
})

# The defaults that the application merges below the file.
APPLICATION_DEFAULTS: dict[str, Any] = {
    "services": {
        "minio": {
            "host": "minio",
            "access_key_id": "codecov-default-key",
            "secret_access_key": "codecov-default-secret",
            "verify_ssl": False,
            "iam_auth": False,
            "iam_endpoint": None,
            "hash_key": "ab164bf3f7d947f2a0681b215404873e",
        },
        "database_url": "postgresql://postgres:@postgres:5432/postgres",
    },
    "setup": {"timeseries": {"enabled": False}},
}

# Top-level keys of `site` that the built-in settings of every owner created since 2024-04-30 replace as a whole.
SITE_KEYS_REPLACED_FOR_NEW_OWNERS = ("codecov", "coverage", "comment", "slack_app")

UNSET: Any = object()

# What must stay as it is once data were written with it, and the value in effect if the key is missing (UNSET: then
# it may be set: next to nobody uses the feature with its public default).
PROTECTED_KEYS: dict[tuple[str, ...], Any] = {
    ("setup", "encryption_secret"): "",
    ("setup", "encryption", "keys"): UNSET,
    ("setup", "encryption", "yaml_secret"): UNSET,
    ("services", "minio", "hash_key"): "ab164bf3f7d947f2a0681b215404873e",
}
PROTECTION_REASON = {
    ("setup", "encryption_secret"): "stored OAuth tokens could no longer be decrypted",
    ("setup", "encryption", "keys"): "what was encrypted with one of these keys could no longer be decrypted",
    ("setup", "encryption", "yaml_secret"): "'secret:' values of repositories could no longer be decrypted",
    ("services", "minio", "hash_key"): "it is part of every object's path, so stored reports would no longer be found",
}


@dataclass(frozen=True)
class Key:
    """One key. `kind`: text, url, flag, whole, number, texts (list), list, mapping, pem, any."""

    path: tuple[str, ...]
    kind: str
    default: Any = UNSET
    meaning: str = ""
    trap: str = ""
    secret: bool = False
    # Why setting it changes nothing.
    inert: str = ""
    allowed: tuple[Any, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    nullable: bool = False
    # The application copes with digits in quotes.
    digits_cope: bool = False

    @property
    def has_default(self) -> bool:
        return self.default is not UNSET and self.default is not None


@dataclass
class Node:
    """A step of a key path: the key that ends here, or the keys below it. '*' stands for any name."""

    key: Key | None = None
    children: dict[str, Node] = field(default_factory=dict)

    def child(self, name: Any) -> Node | None:
        if not isinstance(name, str):
            return None
        return self.children.get(name) or self.children.get("*")


def _key(path: str, kind: str, default: Any = UNSET, meaning: str = "", **more: Any) -> Key:
    """A dot that belongs to a name is written as in a regular expression: avatars\\.io"""
    names = (name.replace("\\.", ".") for name in re.split(r"(?<!\\)\.", path))
    return Key(tuple(names), kind, default, meaning, **more)


_SCHEMA_ONLY = "no code reads it, although upstream's schema knows it"

_SETUP = [
    _key("setup.codecov_url", "url", "http://localhost", "address that users and git providers reach",
         trap="null or an address without http(s):// stops the api at its start; a trailing slash breaks hosts and callbacks"),
    _key("setup.codecov_api_url", "url", UNSET, "address of the api, if it differs from codecov_url"),
    _key("setup.codecov_dashboard_url", "url", UNSET, "address in links of comments and mails, if it differs from codecov_url"),
    _key("setup.webhook_url", "url", UNSET, "address that git providers send webhooks to, if it differs from codecov_url"),
    _key("setup.enterprise_license", "text", UNSET, "the licence", secret=True),
    _key("setup.admins", "list", [], "instance administrators: service and username each"),
    _key("setup.guest_access", "flag", True, "anonymous visitors may read public repositories"),
    _key("setup.api_allowed_hosts", "texts", ["*"], "Host headers that the api answers",
         trap="a string stops the api at its start; the host of codecov_url keeps its port there and then never matches"),
    _key("setup.api_cors_allowed_origins", "texts", UNSET, "origins whose pages may call the api with cookies",
         trap="upstream's schema asks for a string, the code for a list"),
    _key("setup.api_cors_allowed_origin_regexes", "texts", [], "the same as regular expressions"),
    _key("setup.api_cors_extra_headers", "texts", ["baggage"], "further headers that pages may send"),
    _key("setup.trusted_origin", "text", UNSET, "origin whose forms are accepted (CSRF)",
         trap="the default, scheme://*.<host>, does not match the host itself"),
    _key("setup.secure_cookie", "flag", True, "session cookies over HTTPS only", trap="true over plain HTTP is an endless login loop"),
    _key("setup.http.cookie_secret", "text", UNSET, "signs cookies", secret=True),
    _key("setup.http.cookies_domain", "text", UNSET, "domain of cookies; null: exactly the host of codecov_url", nullable=True,
         trap="the default is '.' and codecov_url without its scheme: with a port or an IP address browsers drop the cookie"),
    _key("setup.http.trusted_proxy_depth", "whole", 0, "proxies before the api; 0 trusts every X-Forwarded-For", minimum=0),
    _key("setup.http.upload_max_memory_size", "whole", 2621440, "largest request body in bytes (uploads v2, webhooks)", minimum=1),
    _key("setup.http.file_upload_max_memory_size", "whole", 2621440, "largest uploaded file kept in memory", minimum=1),
    _key("setup.http.timeouts.external", "whole", 10, "seconds for calls of notification services", minimum=1),
    _key("setup.http.timeouts.connect", "whole", 30, "seconds to connect to a git provider", minimum=1),
    _key("setup.http.timeouts.receive", "whole", 60, "seconds to wait for a git provider's answer", minimum=1),
    _key("setup.http.force_https", "flag", UNSET, "", inert=_SCHEMA_ONLY),
    _key("setup.encryption_secret", "text", "", "encrypts stored OAuth tokens", secret=True,
         trap="never change it, and keep it with the backup: tokens cannot be decrypted without it"),
    _key("setup.encryption.keys", "list", [], "further encryption keys: name, code (the same) and value each", secret=True,
         trap="the code reads 'name', upstream's documentation says 'code': write both"),
    _key("setup.encryption.write_key", "text", UNSET, "name of the key that new values are encrypted with"),
    _key("setup.encryption.yaml_secret", "text", "YGUKnE-Ixm3lZINqBsMXKYN3shbGx_7_pYvKAUfdij4",
         "encrypts 'secret:' values of repositories", secret=True, trap="the default is printed in public source code"),
    _key("setup.timeseries.enabled", "flag", False, "flags and components over time; needs services.timeseries_database_url"),
    _key("setup.timeseries.real_time_aggregates", "flag", False, "aggregates include the newest data"),
    _key("setup.timeseries.read_replica_enabled", "flag", False, "reads go to services.timeseries_database_read_url"),
    _key("setup.timeseries.backfill_max_batch_size", "whole", 500, "commits of one backfill task", minimum=1),
    _key("setup.ta_timeseries.enabled", "flag", False, "test analytics; needs services.ta_timeseries_database_url"),
    _key("setup.database.read_replica_enabled", "flag", False, "reads go to services.database_read_url"),
    _key("setup.celery_beat_enabled", "flag", True, "this worker starts scheduled tasks"),
    _key("setup.celery_queues_enabled", "flag", True, "the worker listens to the queues given to it"),
    _key("setup.enterprise_queues_enabled", "flag", True, "the worker listens to enterprise_<queue> too"),
    _key("setup.cache_rollup.enabled", "flag", False, "scheduled roll-up of caches"),
    _key("setup.cache.uploads", "whole", 86400, "", inert="the api looks it up wrongly and always uses 86400"),
    _key("setup.cache.send_status_notification", "whole", 600, "seconds that a sent status is remembered", minimum=0),
    _key("setup.cache.chunks", "whole", UNSET, "", inert=_SCHEMA_ONLY),
    _key("setup.cache.diff", "whole", UNSET, "", inert=_SCHEMA_ONLY),
    _key("setup.cache.tree", "whole", UNSET, "", inert=_SCHEMA_ONLY),
    _key("setup.cache.yaml", "whole", UNSET, "", inert=_SCHEMA_ONLY),
    _key("setup.health_check.enabled", "flag", False, "the worker measures the length of its queues"),
    _key("setup.upload_processing_delay", "whole", UNSET, "seconds to wait for further uploads of a commit", minimum=0),
    _key("setup.upload_debounce_limit", "number", UNSET, "longest wait for further uploads of a commit"),
    _key("setup.upload_throttling_enabled", "flag", UNSET, "", inert="a self-hosted api switches throttling off itself"),
    _key("setup.upload_breadcrumbs.retention.days", "whole", 0, "keep traces of uploads", minimum=0),
    _key("setup.upload_breadcrumbs.retention.months", "whole", 3, "keep traces of uploads", minimum=0),
    _key("setup.upload_breadcrumbs.retention.years", "whole", 0, "keep traces of uploads", minimum=0),
    _key("setup.upload_breadcrumbs.retention.unlimited", "flag", False, "keep traces of uploads for ever"),
    _key("setup.upload_breadcrumbs.gcp_log_links_enabled", "flag", False, "links to Google Cloud logs"),
    _key("setup.telemetry.enabled", "flag", True, "the worker reports daily to codecov.io"),
    _key("setup.telemetry.anonymous", "flag", True, "that report names nobody"),
    _key("setup.telemetry.admin_email", "text", UNSET, "address in that report"),
    _key("setup.telemetry.endpoint_override", "url", UNSET, "where that report goes instead"),
    _key("setup.hide_all_codecov_tokens", "flag", False, "upload tokens are not shown in the user interface"),
    _key("setup.max_sessions", "whole", UNSET, "most uploads of one commit", minimum=1),
    _key("setup.disable_git_based_login", "flag", False, "no login by git providers"),
    _key("setup.slack_app", "flag", True, "notifications by the Slack app"),
    _key("setup.skip_feature_cache", "flag", False, "read feature switches from the database each time"),
    _key("setup.log_context.populate", "flag", True, "log lines carry owner and repository"),
    _key("setup.media.assets", "text", UNSET, "address of static files"),
    _key("setup.media.dependancies", "text", UNSET, "", inert=_SCHEMA_ONLY),
    _key("setup.push_webhook_ignore_repo_names", "texts", [], "repositories whose push webhooks are ignored"),
    _key("setup.redis_admin.celery_queues", "any", UNSET, "queues shown in the Redis admin pages, comma-separated"),
    _key("setup.graphql.max_aliases", "whole", 10, "limit of a GraphQL query", minimum=1),
    _key("setup.graphql.max_depth", "whole", 20, "limit of a GraphQL query", minimum=1),
    _key("setup.graphql.query_cost_threshold", "whole", 10000, "limit of a GraphQL query", minimum=1),
    _key("setup.graphql.rate_limit_enabled", "flag", True, "limit of GraphQL requests"),
    _key("setup.graphql.rate_limit_rpm", "whole", 300, "GraphQL requests a minute", minimum=1),
    _key("setup.okta.iss", "url", UNSET, "login by Okta: issuer"),
    _key("setup.okta.oauth_client_id", "text", UNSET, "login by Okta"),
    _key("setup.okta.oauth_client_secret", "text", UNSET, "login by Okta", secret=True),
    _key("setup.okta.oauth_redirect_url", "url", UNSET, "login by Okta"),
    _key("setup.okta.admin_client_id", "text", UNSET, "admin login by Okta"),
    _key("setup.okta.admin_client_secret", "text", UNSET, "admin login by Okta", secret=True),
    _key("setup.okta.admin_redirect_url", "url", UNSET, "admin login by Okta"),
    _key("setup.pubsub.enabled", "flag", False, "events to Google Pub/Sub"),
    _key("setup.pubsub.project_id", "text", UNSET, "events to Google Pub/Sub"),
    _key("setup.pubsub.topic", "text", UNSET, "events to Google Pub/Sub"),
    _key("setup.marketo.enabled", "flag", False, "events to Marketo"),
    _key("setup.marketo.base_url", "url", UNSET, "events to Marketo"),
    _key("setup.marketo.client_id", "text", UNSET, "events to Marketo"),
    _key("setup.marketo.client_secret", "text", UNSET, "events to Marketo", secret=True),
    _key("setup.sentry.jwt_shared_secret", "text", UNSET, "link with Sentry", secret=True),
    _key("setup.sentry.oidc_shared_secret", "text", UNSET, "link with Sentry", secret=True),
    _key("setup.sentry.webhook_url", "text", UNSET, "link with Sentry", secret=True),
    _key("setup.shelter.enabled", "flag", False, "codecov.io's own request guard"),
    _key("setup.shelter.pubsub_project_id", "text", UNSET, "codecov.io's own request guard"),
    _key("setup.shelter.sync_repo_topic_id", "text", UNSET, "codecov.io's own request guard"),
    _key("setup.shelter_enabled", "flag", False, "codecov.io's own request guard"),
    _key("setup.shelter_shared_secret", "text", UNSET, "codecov.io's own request guard", secret=True),
    _key("setup.stripe.payment_method_configuration_id", "text", UNSET, "codecov.io's billing"),
    _key("setup.save_report_data_in_storage.repo_ids", "list", [], "repositories whose report data go to object storage"),
    _key("setup.save_report_data_in_storage.*", "any", False, "report data that go to object storage"),
    _key("setup.loglvl", "text", UNSET, "", inert=_SCHEMA_ONLY),
    _key("setup.debug", "flag", UNSET, "", inert=_SCHEMA_ONLY),
    _key("setup.legacy_report_style", "flag", UNSET, "", inert=_SCHEMA_ONLY),
]

_TASK_LIMITS = {"daily": (600, 680), "timeseries": (400, 480)}

_TASKS = [
    _key("setup.tasks.celery.default_queue", "text", "celery", "queue of every task without one of its own"),
    _key("setup.tasks.celery.acks_late", "flag", False, "a task is acknowledged after it ran, so that a killed worker's tasks run again"),
    _key("setup.tasks.celery.reject_on_worker_lost", "flag", False, "a task whose process died goes back to the queue (with acks_late)"),
    _key("setup.tasks.celery.prefetch", "whole", 1, "tasks that a process reserves", minimum=1,
         trap="0 means without limit"),
    _key("setup.tasks.celery.soft_timelimit", "whole", 600, "seconds until a task is asked to stop", minimum=1),
    _key("setup.tasks.celery.hard_timelimit", "whole", 720, "seconds until a task is killed", minimum=1),
    _key("setup.tasks.celery.max_retries", "whole", 10, "most attempts of a task", minimum=0),
    _key("setup.tasks.celery.retry_backoff_base", "whole", 20, "seconds of the first retry, doubled each time", minimum=0),
    _key("setup.tasks.celery.retry_fixed_delay", "whole", 60, "seconds between retries for a lock", minimum=0),
    _key("setup.tasks.celery.task_send_sent_event", "flag", False, "monitoring events"),
    _key("setup.tasks.celery.worker_send_task_events", "flag", False, "monitoring events"),
    _key("setup.tasks.celery.visibility_timeout", "whole", 900, "seconds until an unacknowledged task is given to another worker", minimum=1,
         trap="below hard_timelimit, running tasks run twice"),
    _key("setup.tasks.celery.visibility_timeout_with_acks_late", "whole", 900, "the same, with acks_late", minimum=1),
    _key("setup.tasks.celery.visibility_timeout_without_acks_late", "whole", 300, "the same, without acks_late", minimum=1),
    _key("setup.tasks.celery.worker_max_memory_per_child", "whole", 1500000, "kilobytes after which a process is replaced", minimum=1),
    _key("setup.tasks.celery.worker_soft_shutdown_timeout", "whole", 60, "seconds; does not limit a shutdown by SIGTERM", minimum=0),
    _key("setup.tasks.celery.enterprise.soft_timelimit", "whole", UNSET, "the same for paying owners", minimum=1),
    _key("setup.tasks.celery.enterprise.hard_timelimit", "whole", UNSET, "the same for paying owners", minimum=1),
    _key("setup.tasks.enterprise_queues.*", "text", UNSET, "owner id -> suffix of a queue of their own"),
    _key("setup.tasks.lock_timeout", "whole", 300, "seconds until a lock of uploads expires", minimum=1,
         trap="a number directly below setup.tasks makes the queue measurement (setup.health_check) fail"),
    _key("setup.tasks.blocking_timeout", "whole", 5, "seconds to wait for a lock of uploads", minimum=0,
         trap="a number directly below setup.tasks makes the queue measurement (setup.health_check) fail"),
    _key("setup.tasks.upload.acks_late", "flag", False, "upload tasks are acknowledged after they ran"),
    _key("setup.tasks.upload.queue_ttl_seconds", "whole", 86400, "seconds that a pending upload waits in Redis", minimum=60),
    _key("setup.tasks.upload.finisher_max_retries", "whole", 10, "", minimum=0),
    _key("setup.tasks.upload.preprocess_max_retries", "whole", 10, "", minimum=0),
    _key("setup.tasks.upload.processing_max_retries", "whole", 10, "", minimum=0),
    _key("setup.tasks.upload.processing_retry_delay", "whole", 60, "", minimum=0),
    _key("setup.tasks.upload.processor_max_retries", "whole", 5, "", minimum=0),
    _key("setup.tasks.bundle_analysis.base_retry_countdown", "whole", 10, "", minimum=0),
    _key("setup.tasks.bundle_analysis.blocking_timeout", "whole", 30, "", minimum=0),
    _key("setup.tasks.bundle_analysis.notify_max_retries", "whole", 10, "", minimum=0),
    _key("setup.tasks.bundle_analysis.processor_max_retries", "whole", 10, "", minimum=0),
    _key("setup.tasks.sync_repo_languages.enabled", "flag", True, "languages of repositories are looked up"),
] + [
    key for group in TASK_GROUPS for key in (
        _key(f"setup.tasks.{group}.queue", "text", "celery", "queue of this group of tasks",
             trap="a worker must listen to it (CODECOV_WORKER_QUEUES)"),
        _key(f"setup.tasks.{group}.timeout", "whole", 120 if group == "notify" else UNSET, "seconds", minimum=1),
        _key(f"setup.tasks.{group}.soft_timelimit", "whole", _TASK_LIMITS.get(group, (UNSET,))[0], "seconds until such a task is asked to stop", minimum=1),
        _key(f"setup.tasks.{group}.hard_timelimit", "whole", _TASK_LIMITS.get(group, (UNSET,))[-1], "seconds until such a task is killed", minimum=1),
        _key(f"setup.tasks.{group}.interval_seconds", "whole", UNSET, "seconds between two runs", minimum=1),
        _key(f"setup.tasks.{group}.enterprise.soft_timelimit", "whole", UNSET, "the same for paying owners", minimum=1),
        _key(f"setup.tasks.{group}.enterprise.hard_timelimit", "whole", UNSET, "the same for paying owners", minimum=1),
    )
]

_PARTS_UNUSED = "it is read only if services.{0}_url is empty"


def _database(name: str, title: str, host: str = "postgres", database: str = "postgres") -> list[Key]:
    unused = _PARTS_UNUSED.format(name)
    return [
        _key(f"services.{name}_url", "url", UNSET, f"{title}: postgresql://user:password@host:5432/name",
             trap="the api neither decodes %XX in the password nor reads ?options: the password must be of letters, digits and -._~"),
        _key(f"services.{name}.host", "text", host, title, inert=unused),
        _key(f"services.{name}.port", "whole", 5432, title, inert=unused, digits_cope=True),
        _key(f"services.{name}.name", "text", database, title, inert=unused),
        _key(f"services.{name}.username", "text", "postgres", title, inert=unused),
        _key(f"services.{name}.password", "text", "postgres", title, inert=unused, secret=True),
    ]


_SERVICES = (
    _database("database", "main database")
    + _database("database_read", "read replica of the main database")
    + _database("timeseries_database", "Timescale database", "timescale")
    + _database("timeseries_database_read", "read replica of the Timescale database", "timescale")
    + _database("ta_timeseries_database", "database of test analytics", "timescale", "test_analytics")
) + [
    _key("services.database.conn_max_age", "whole", 0, "seconds that a connection is kept", minimum=0),
    _key("services.database.conn_health_checks", "flag", True, "a kept connection is checked before use"),
    _key("services.ta_timeseries_database.connect_timeout", "whole", 5, "seconds", minimum=1),
    _key("services.redis_url", "url", UNSET, "Redis: cache, locks, queues: redis://host:6379",
         trap="if it is missing, the worker has no broker; only a single Redis works, no cluster, no sentinel"),
    _key("services.celery_broker", "url", UNSET, "a Redis of its own for the queues"),
    _key("services.minio.host", "text", "minio", "object storage: host name as the clients see it",
         trap="upload addresses handed to clients carry this name: it must resolve inside and outside"),
    _key("services.minio.port", "whole", UNSET, "port of the object storage", minimum=1, maximum=65535, digits_cope=True, nullable=True),
    _key("services.minio.bucket", "text", "archive", "bucket of reports"),
    _key("services.minio.region", "text", UNSET, "region of the bucket",
         trap="without it every upload asks the storage for its region first, and hangs 30 s when it is down"),
    _key("services.minio.access_key_id", "text", "codecov-default-key", "access key", secret=True),
    _key("services.minio.secret_access_key", "text", "codecov-default-secret", "secret key", secret=True),
    _key("services.minio.iam_auth", "flag", False, "use the machine's IAM role instead of keys"),
    _key("services.minio.iam_endpoint", "url", None, "address of the IAM metadata service", nullable=True),
    _key("services.minio.verify_ssl", "flag", False, "use https",
         trap="despite its name: certificates are always verified, against SSL_CERT_FILE or the built-in list"),
    _key("services.minio.hash_key", "text", "ab164bf3f7d947f2a0681b215404873e", "part of every object's path", secret=True,
         trap="never change it, and keep it with the backup: reports cannot be found without it"),
    _key("services.minio.ttl", "whole", 10, "seconds that an upload address is valid", minimum=1, maximum=604800,
         trap="the default of 10 s makes uploads fail by clock skew or a slow network"),
    _key("services.minio.auto_create_bucket", "flag", False, "the worker creates the bucket",
         trap="and makes it readable by everybody"),
    _key("services.minio.expire_raw_after_n_days", "any", UNSET, "delete raw uploads after processing"),
    _key("services.minio.client_uploads", "flag", UNSET, "", inert="only releases before 4.5 read it"),
    _key("services.minio.dsn", "text", UNSET, "", inert="only releases up to 4.4.3 read it", secret=True),
    _key("services.smtp.host", "text", "mailhog", "mail server"),
    _key("services.smtp.port", "whole", 1025, "its port (STARTTLS)", minimum=1, maximum=65535, digits_cope=True),
    _key("services.smtp.username", "text", UNSET, "login at the mail server", nullable=True),
    _key("services.smtp.password", "text", UNSET, "login at the mail server", secret=True, nullable=True,
         trap="if the server offers no TLS, the worker writes it to its log"),
    _key("services.smtp.from_address", "text", "Codecov <noreply@codecov.io>", "sender of mails"),
] + [
    _key(f"services.notifications.{kind}", "any", True, "true, false, or a list of owners")
    for kind in ("slack", "gitter", "email", "webhook", "irc", "hipchat", "codecov_slack_app", "*")
] + [
    _key("services.ci_providers", "any", UNSET, "names of further CI providers"),
    _key("services.gravatar", "flag", UNSET, "avatars of gravatar.com"),
    _key(r"services.avatars\.io", "flag", UNSET, "avatars of avatars.io"),
    _key("services.external_dependencies_folder", "text", "./external_deps", "where the worker finds its helper programs"),
    _key("services.github_marketplace.use_stubbed", "flag", False, "for development"),
    _key("services.openai.api_key", "text", UNSET, "AI review", secret=True),
    _key("services.owner_export.archive_copy_workers", "whole", 4, "export of an owner", minimum=1),
    _key("services.owner_export.archive_task_soft_time_limit", "whole", 7200, "export of an owner", minimum=1),
    _key("services.owner_export.archive_task_time_limit", "whole", 7260, "export of an owner", minimum=1),
    _key("services.owner_export.download_url_expiry_seconds", "whole", 604800, "export of an owner", minimum=1),
    _key("services.owner_export.finalize_task_soft_time_limit", "whole", 3600, "export of an owner", minimum=1),
    _key("services.owner_export.finalize_task_time_limit", "whole", 3660, "export of an owner", minimum=1),
    _key("services.owner_export.sql_task_soft_time_limit", "whole", 3600, "export of an owner", minimum=1),
    _key("services.owner_export.sql_task_time_limit", "whole", 3660, "export of an owner", minimum=1),
    _key("services.sentry.server_dsn", "text", UNSET, "errors are reported to this Sentry", secret=True),
    _key("services.sentry.org_domain", "url", "https://sentry.io", "Sentry"),
    _key("services.sentry.sample_rate", "any", "1.0", "Sentry"),
    _key("services.sentry.badge_sample_rate", "any", "0.001", "Sentry"),
    _key("services.sentry.profile_sample_rate", "any", "0.01", "Sentry"),
    _key("services.sentry.webhook_github_sample_rate", "any", "0.001", "Sentry"),
    _key("services.stripe.api_key", "text", UNSET, "", secret=True, inert="billing is codecov.io's own"),
    _key("services.stripe.endpoint_secret", "text", UNSET, "", secret=True, inert="billing is codecov.io's own"),
    _key("services.google_analytics_key", "text", UNSET, "", inert=_SCHEMA_ONLY),
    _key("services.chosen_storage", "text", UNSET, "", inert=_SCHEMA_ONLY + "; object storage is configured by services.minio"),
    _key("services.gcp.google_credentials_location", "text", UNSET, "",
         inert=_SCHEMA_ONLY + "; Google Cloud Storage is used by HMAC keys in services.minio"),
    _key("services.aws.region_name", "text", UNSET, "", inert=_SCHEMA_ONLY + "; use services.minio.region"),
    _key("services.aws.resource", "text", UNSET, "", inert=_SCHEMA_ONLY + "; use services.minio"),
] + [
    _key(f"services.vsc_cache.{name}", "any", UNSET, "", inert=_SCHEMA_ONLY)
    for name in ("enabled", "metrics_app", "check_duration", "compare_duration", "status_duration")
]

_OTHER = [
    _key("bundle_analysis.bucket_name", "text", "bundle-analysis", "bucket of bundle reports",
         trap="a second bucket, which nobody creates and the gateway does not route: set it to services.minio.bucket"),
    _key("django.secret_key", "text", "*", "signs sessions of the admin pages", secret=True,
         trap="the default is literally '*'"),
    _key("django.admin_url", "text", "admin", "path of the admin pages"),
    _key("circleci.token", "text", UNSET, "token for CircleCI", secret=True),
    _key("cleanup.delete_chunk_size", "whole", 10000, "rows deleted at once", minimum=1),
    _key("cleanup.eager_eval_threshold", "whole", 100000, "rows", minimum=1),
    _key("gen_ai.auth_secret", "text", UNSET, "AI review", secret=True),
    _key("sentry.jwt_shared_secret", "text", UNSET, "link with Sentry", secret=True),
    _key("sentry.oidc_shared_secret", "text", UNSET, "link with Sentry", secret=True),
    _key("sentry.webhook_url", "text", UNSET, "link with Sentry", secret=True),
    _key("compatibility.flag_pattern_matching", "flag", False, "flags match as regular expressions"),
    _key("migrations.skip_risky_steps", "flag", False, "migrations leave out steps that lock large tables"),
    _key("site", "mapping", UNSET, "default settings of all repositories (a repository's codecov.yml)",
         trap="for owners created since 2024-04-30 the built-in codecov, coverage, comment and slack_app replace yours"),
    _key("additional_user_yamls", "list", [], "settings for a percentage of owners: percentage, name and override each"),
]

_INERT_SWITCH = "no code reads it: a provider is on as soon as its keys are set"


def _bot(path: str) -> list[Key]:
    return [
        _key(f"{path}.key", "text", UNSET, "access token of the bot account", secret=True),
        _key(f"{path}.secret", "text", UNSET, "second half of that token (Bitbucket)", secret=True),
        _key(f"{path}.username", "text", UNSET, "name of the bot account, for logs"),
    ]


def _app(path: str) -> list[Key]:
    return [
        _key(f"{path}.id", "whole", UNSET, "number of the GitHub App", minimum=1,
             trap="a number in quotes never equals the one in the database"),
        _key(f"{path}.pem", "pem", UNSET, "its private key: path inside the container, or {source_type: base64env, value: ...}", secret=True),
        _key(f"{path}.expires", "whole", 500, "seconds that a token is valid", minimum=1, maximum=600),
    ]


def _provider(name: str) -> list[Key]:
    title = PROVIDER_TITLES[name]
    keys = [
        _key(f"{name}.client_id", "text", UNSET, f"OAuth application of {title}"),
        _key(f"{name}.client_secret", "text", UNSET, f"OAuth application of {title}", secret=True),
        _key(f"{name}.redirect_uri", "url", UNSET, "where the provider sends users back to; must equal the registered callback URL"),
        _key(f"{name}.url", "url", "https://github.com" if name == "github" else UNSET, f"address of {title}"),
        _key(f"{name}.api_url", "url", "https://api.github.com" if name == "github" else UNSET, f"address of the API of {title}"),
        _key(f"{name}.api_host_override", "text", UNSET, "Host header of calls"),
        _key(f"{name}.host_override", "text", UNSET, "Host header of calls"),
        _key(f"{name}.verify_ssl", "flag", True, "check the provider's certificate"),
        _key(f"{name}.ssl_pem", "text", UNSET, "file with the provider's CA certificates, as the containers see it"),
        _key(f"{name}.webhook_secret", "text", UNSET, "signs webhooks", secret=True,
             trap="the default is printed in public source code: anyone could forge webhooks"),
        _key(f"{name}.global_upload_token", "text", UNSET, "upload token for every repository of this provider", secret=True,
             trap="the same token for two providers works for one of them only"),
        _key(f"{name}.organizations", "texts", UNSET, "only members of these organizations may log in"),
        _key(f"{name}.teams", "texts", UNSET, "and only of these teams of theirs"),
        _key(f"{name}.student_disabled", "flag", False, "do not ask the provider who is a student"),
    ]
    keys += _bot(f"{name}.bot")
    for purpose in ("read", "comment", "status", "tokenless", "commit", "pull", "admin"):
        keys += _bot(f"{name}.bots.{purpose}")
    for switch in ("enabled", "integration_id_enabled", "webhook_secret_enabled", "global_upload_token_enabled"):
        keys.append(_key(f"{name}.{switch}", "any", UNSET, "", inert=_INERT_SWITCH))
    if name.startswith("github"):
        keys += _app(f"{name}.integration") + _app(f"{name}.dedicated_apps.*")
        keys.append(_key(f"{name}.actions_token", "text", UNSET, "token for GitHub Actions", secret=True))
        keys.append(_key(f"{name}.ai_features_app_id", "any", UNSET, "AI review"))
        keys.append(_key(f"{name}.sentry_merge_app_id", "any", UNSET, "link with Sentry"))
    if name.startswith("gitlab"):
        keys.append(_key(f"{name}.scope", "text", "api", "OAuth scope"))
        keys.append(_key(f"{name}.webhook_validation", "flag", False, "check the secret of webhooks"))
    return keys


INSTALL_KEYS: tuple[Key, ...] = tuple(
    _SETUP + _TASKS + _SERVICES + _OTHER + [key for name in PROVIDERS for key in _provider(name)]
)


def _tree(keys: tuple[Key, ...]) -> Node:
    root = Node()
    for key in keys:
        node = root
        for element in key.path:
            node = node.children.setdefault(element, Node())
        node.key = key
    return root


INSTALL_TREE = _tree(INSTALL_KEYS)


def find_key(path: tuple[Any, ...]) -> Key | None:
    """The key that describes this path, also for elements of a list and what lies below an opaque key."""
    node = INSTALL_TREE
    for element in path:
        child = node.child(element)
        if child is None:
            # What lies below a leaf (elements of a list, a pem given as a mapping) belongs to that leaf.
            return node.key if not node.children else None
        node = child
    return node.key


def is_secret(path: tuple[Any, ...], value: Any = None) -> bool:
    """Whether what stands at this path must not be shown."""
    key = find_key(path)
    if key is None or not key.secret:
        return False
    if key.path == ("setup", "encryption", "keys"):
        return bool(path[-1] == "value")
    if key.kind == "pem":
        # A path of a file or {source_type: ...} is no secret, the key itself is.
        return bool(path[-1] != "source_type") and not (isinstance(value, str) and value.startswith("/"))
    return True
