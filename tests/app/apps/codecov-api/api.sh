#!/usr/bin/env bash
# Starts the api: migrations (unless CODECOV_SKIP_MIGRATIONS=true), then gunicorn. The environment is that of the public image.
set -euo pipefail

. "$(dirname "$0")/../start.sh"

stop() {
  trap '' TERM INT
  echo "Received SIGTERM, shutting down gracefully..."
  kill -TERM "$server" 2>/dev/null || true
  # gunicorn ends when its requests are answered; after SHUTDOWN_TIMEOUT seconds they are given up.
  for ((waited = 0; waited < ${SHUTDOWN_TIMEOUT:-25} * 5; waited++)); do
    kill -0 "$server" 2>/dev/null || { echo "API shutdown complete"; exit 0; }
    sleep 0.2
  done
  echo "API did not shut down gracefully after ${SHUTDOWN_TIMEOUT:-25}s, forcing shutdown..."
  kill -KILL "$server" 2>/dev/null || true
  exit 0
}

echo "Starting api"
workers=${GUNICORN_WORKERS:-1}
if [[ "$workers" -gt 1 ]]; then
  export PROMETHEUS_MULTIPROC_DIR=${PROMETHEUS_MULTIPROC_DIR:-$HOME/.prometheus}
  rm -rf "${PROMETHEUS_MULTIPROC_DIR:?}"/*
  mkdir -p "$PROMETHEUS_MULTIPROC_DIR"
fi
statsd=""
if [[ -n "${STATSD_HOST:-}" ]]; then
  statsd="--statsd-host ${STATSD_HOST}:${STATSD_PORT:-8125}"
fi

sleep "${STANDIN_START_DELAY:-0}"
migrate
if [[ -n "${1:-}" ]]; then
  echo "Executing custom command"
  exec "$@"
fi

trap stop TERM INT
$pre gunicorn codecov.wsgi:application $statsd \
  --workers "$workers" --threads "${GUNICORN_THREADS:-1}" --worker-connections "${GUNICORN_WORKER_CONNECTIONS:-1000}" \
  --bind "${CODECOV_API_BIND:-0.0.0.0}:${CODECOV_API_PORT:-8000}" --access-logfile - --timeout "${GUNICORN_TIMEOUT:-600}" $post &
server=$!
echo "Gunicorn started with PID $server"
wait "$server"
