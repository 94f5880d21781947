# What api.sh and worker.sh share, to be sourced by them: the wrapper variables, and the migrations at the start
# (unless CODECOV_SKIP_MIGRATIONS=true).
pre=${CODECOV_WRAPPER:-}
post=${CODECOV_WRAPPER_POST:-}
pre_migrate=$pre
post_migrate=$post
if [[ -n "${CODECOV_WRAPPER_IGNORE_MIGRATE:-}" ]]; then
  pre_migrate=""
  post_migrate=""
fi

migrate() {
  [[ "${CODECOV_SKIP_MIGRATIONS:-}" == "true" ]] && return
  [[ "${RUN_ENV:-}" == "ENTERPRISE" || "${RUN_ENV:-}" == "DEV" ]] || return 0
  echo "Running migrations"
  $pre_migrate python manage.py migrate $post_migrate
  $pre_migrate python migrate_timeseries.py $post_migrate
  $pre_migrate python manage.py pgpartition --yes --skip-delete $post_migrate
}
