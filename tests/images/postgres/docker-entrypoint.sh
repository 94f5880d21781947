#!/bin/bash
# First start of an empty PGDATA: initdb, user, database, init scripts; then the server. Same settings as the public image.
set -euo pipefail

value_of() { # NAME DEFAULT: the variable, or the content of the file that NAME_FILE names
  local file_variable="${1}_FILE"
  if [ -n "${!1:-}" ] && [ -n "${!file_variable:-}" ]; then
    echo "error: both $1 and $file_variable are set" >&2
    exit 1
  fi
  if [ -n "${!file_variable:-}" ]; then cat "${!file_variable}"; else printf '%s' "${!1:-$2}"; fi
}

as_postgres_user() {
  mkdir -p "$PGDATA" /var/run/postgresql
  find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres {} +
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$BASH_SOURCE" "$@"
}

run_init_file() {
  case $1 in
    *.sh) if [ -x "$1" ]; then "$1"; else . "$1"; fi ;;
    *.sql) "${psql[@]}" --dbname "$database" -f "$1" ;;
    *.sql.gz) gunzip -c "$1" | "${psql[@]}" --dbname "$database" ;;
    *) echo "$0: ignoring $1" ;;
  esac
}

initialize() {
  local user password database method
  user=$(value_of POSTGRES_USER postgres)
  database=$(value_of POSTGRES_DB "$user")
  password=$(value_of POSTGRES_PASSWORD "")
  method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [ -z "$password" ] && [ "$method" != trust ]; then
    echo "Error: Database is uninitialized and superuser password is not specified (POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE)." >&2
    exit 1
  fi
  # shellcheck disable=SC2086  # several arguments on purpose
  initdb --username="$user" --pwfile=<(printf '%s\n' "$password") ${POSTGRES_INITDB_ARGS:-}
  printf '\nhost all all all %s\n' "$method" >> "$PGDATA/pg_hba.conf"
  export PGPASSWORD=$password
  pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
  psql=(psql -v ON_ERROR_STOP=1 --username "$user" --no-password --no-psqlrc)
  if [ -z "$("${psql[@]}" --dbname postgres -At -v db="$database" <<< "SELECT 1 FROM pg_database WHERE datname = :'db';")" ]; then
    "${psql[@]}" --dbname postgres -v db="$database" <<< 'CREATE DATABASE :"db";'
  fi
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    if [ -e "$file" ]; then run_init_file "$file"; fi
  done
  pg_ctl -D "$PGDATA" -m fast -w stop
  unset PGPASSWORD
  echo "PostgreSQL init process complete; ready for start up."
}

if [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
if [ "$1" = postgres ]; then
  if [ "$(id -u)" = 0 ]; then as_postgres_user "$@"; fi
  mkdir -p "$PGDATA"
  chmod 0700 "$PGDATA"
  if [ ! -s "$PGDATA/PG_VERSION" ]; then initialize; fi
fi
exec "$@"
