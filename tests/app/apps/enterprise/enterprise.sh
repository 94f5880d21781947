#!/usr/bin/env bash
# `web` (port 5000), `web migrate` (migrations alone), `worker [--queue a,b] [--concurrency n]`: as the first argument, or as
# the name that this script is called by.
set -euo pipefail

apps=$(dirname "$(dirname "$(readlink -f "$0")")")
role=$(basename "$0")
if [[ "$role" == enterprise.sh ]]; then
  role=${1:-}
  shift || true
fi
case "$role" in
  web)
    cd "$apps/codecov-api"
    [[ "${1:-}" == "migrate" ]] && exec python manage.py migrate
    export CODECOV_API_PORT=${CODECOV_API_PORT:-5000} GUNICORN_WORKERS=${GUNICORN_WORKERS:-2} GUNICORN_THREADS=${GUNICORN_THREADS:-4}
    exec ./api.sh
    ;;
  worker)
    cd "$apps/worker"
    # The older worker takes its options from the command line, and does not migrate: web does.
    export CODECOV_SKIP_MIGRATIONS=true CODECOV_WORKER_QUEUES=${CODECOV_WORKER_QUEUES:-celery,uploads} CODECOV_WRAPPER_POST="$*"
    exec ./worker.sh
    ;;
  *)
    echo "Usage: web | web migrate | worker [options]" >&2
    exit 64
    ;;
esac
