"""`python main.py worker`: a Celery worker named celery@$HOSTNAME, with Celery Beat unless switched off."""

from __future__ import annotations

import os
import sys

import click
from standin import licence, logs, metrics, storage
from standin.broker import HEALTH_CHECK_QUEUE, celery_app
from standin.config import get_config, is_enterprise_line


def queue_names(wanted: tuple[str, ...]) -> str:
    """The queues to listen to: those given, their enterprise twins, and the health check's."""
    names = ",".join(wanted).split(",")
    twins = [f"enterprise_{name}" for name in names if not name.startswith("enterprise_")]
    if is_enterprise_line() or not get_config("setup", "enterprise_queues_enabled", default=True):
        twins = []
    return ",".join([*names, *twins, HEALTH_CHECK_QUEUE])


def set_up() -> None:
    logs.configure()
    # Before everything that can fail, as in the application: an answer on this port proves nothing.
    metrics.serve()
    if os.environ.get("STANDIN_BROKEN") == "never_ready":
        raise ImportError("This build of the stand-in never becomes ready (STANDIN_BROKEN=never_ready)")
    if get_config("services", "minio", "auto_create_bucket", default=False):
        storage.create_root_storage()
    if banner := licence.banner():
        print(banner, flush=True)


@click.group()
def cli() -> None:
    pass


@cli.command()
@click.option("--name", envvar="HOSTNAME", default="worker", help="Node name")
@click.option("--concurrency", type=int, default=2, help="Number of pool processes")
@click.option("--debug", is_flag=True, help="Celery's debug log")
@click.option("--queue", multiple=True, default=["celery"], help="Queues to listen to")
def worker(name: str, concurrency: int, debug: bool, queue: tuple[str, ...]) -> None:
    set_up()
    from standin import tasks  # noqa: F401 (registers the tasks; late, so that the metrics answer first)

    arguments = ["worker", "-n", name, "-c", str(concurrency), "-l", "debug" if debug else "info"]
    if get_config("setup", "celery_queues_enabled", default=True):
        arguments += ["-Q", queue_names(queue)]
    if get_config("setup", "celery_beat_enabled", default=True):
        arguments += ["-B", "-s", os.path.expanduser("~/celerybeat-schedule")]
    sys.exit(celery_app.worker_main(argv=arguments))


if __name__ == "__main__":
    cli()
