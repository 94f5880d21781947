#!/usr/bin/env bash
# Starts the worker: migrations (unless CODECOV_SKIP_MIGRATIONS=true), then Celery. The environment is that of the public image.
set -euo pipefail

. "$(dirname "$0")/../start.sh"

# Celery finishes its tasks, however long they take; this script has no limit of its own.
stop() {
  trap '' TERM INT
  echo "Received shutdown signal, forwarding to worker process..."
  kill -TERM "$server" 2>/dev/null || true
  while kill -0 "$server" 2>/dev/null; do wait "$server" || true; done
  exit 0
}

echo "Starting worker"
if [[ -n "${PROMETHEUS_MULTIPROC_DIR:-}" ]]; then
  rm -rf "${PROMETHEUS_MULTIPROC_DIR:?}"/*
else
  export PROMETHEUS_MULTIPROC_DIR=$HOME/.prometheus
fi
mkdir -p "$PROMETHEUS_MULTIPROC_DIR"
queues=""
if [[ -n "${CODECOV_WORKER_QUEUES:-}" ]]; then
  queues="--queue $CODECOV_WORKER_QUEUES"
fi

sleep "${STANDIN_START_DELAY:-0}"
migrate
if [[ -n "${1:-}" ]]; then
  exec "$@"
fi

trap stop TERM INT
$pre python main.py worker $queues $post &
server=$!
echo "Worker started with PID $server"
wait "$server"
