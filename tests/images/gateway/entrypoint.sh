#!/bin/sh
# Waits for what it routes to, writes HAProxy's configuration from the environment, and runs HAProxy.
set -eu

templates=${GATEWAY_TEMPLATES:-/usr/local/share/gateway}
target=${GATEWAY_CONFIG_DIRECTORY:-/etc/haproxy}

wait_for() { # name host port seconds
  echo "Waiting for Codecov $1 to start ..."
  waited=0
  until nc -z "$2" "$3" 2>/dev/null; do
    waited=$((waited + 1))
    if [ "$waited" -gt "$4" ]; then
      echo "Timeout waiting for Codecov $1 to start"
      echo "If this is the first boot ever, initial migrations may have taken longer than this timer. Please restart this service (gateway)"
      exit 1
    fi
    sleep 1
  done
  echo "Codecov $1 started."
}

tls_flag() { # scheme
  if [ "$1" = https ]; then echo "ssl verify none "; fi
}

render() { # template target
  envsubst < "$templates/$1" > "$target/$2"
}

if [ -n "${1:-}" ]; then
  exec "$@"
fi

proxy_mode=${CODECOV_GATEWAY_PROXY_MODE_ENABLED:-}
echo 'Codecov preflight started.'
wait_for Default "$CODECOV_DEFAULT_HOST" "$CODECOV_DEFAULT_PORT" 30
if [ -z "$proxy_mode" ]; then
  wait_for api "$CODECOV_API_HOST" "$CODECOV_API_PORT" 60
  wait_for IA "$CODECOV_IA_HOST" "$CODECOV_IA_PORT" 30
fi
echo 'Codecov preflight complete.'

# What the templates use beside the image's environment. An empty flag stands for plain HTTP.
CODECOV_DEFAULT_TLS=$(tls_flag "$CODECOV_DEFAULT_SCHEME")
CODECOV_API_TLS=$(tls_flag "$CODECOV_API_SCHEME")
CODECOV_IA_TLS=$(tls_flag "$CODECOV_IA_SCHEME")
CODECOV_MINIO_TLS=$(tls_flag "$CODECOV_MINIO_SCHEME")
GATEWAY_DIRECTORY=$target
GATEWAY_PIDFILE=${GATEWAY_PIDFILE:-/run/haproxy.pid}
# Any value that is not empty switches these on, even "false".
GATEWAY_ISOLATION="chroot /var/lib/haproxy
    user haproxy
    group haproxy"
if [ -n "${CODECOV_GATEWAY_CHROOT_DISABLED:-}" ] || [ "$(id -u)" != 0 ]; then GATEWAY_ISOLATION=""; fi
GATEWAY_ADMIN="#"
if [ "$CODECOV_API_ADMIN_ENABLED" = true ]; then GATEWAY_ADMIN=""; fi
export CODECOV_DEFAULT_TLS CODECOV_API_TLS CODECOV_IA_TLS CODECOV_MINIO_TLS GATEWAY_DIRECTORY GATEWAY_PIDFILE GATEWAY_ISOLATION GATEWAY_ADMIN

# As in the public image the directory belongs to haproxy; root needs CAP_DAC_OVERRIDE to write there.
if [ ! -w "$target" ]; then
  echo "$target cannot be written by uid $(id -u): give the container the capability DAC_OVERRIDE" >&2
  exit 1
fi
render global.cfg 0-global.cfg
if [ -n "${CODECOV_GATEWAY_SSL_ENABLED:-}" ]; then
  render frontend-tls.cfg 2-frontend.cfg
else
  render frontend-http.cfg 2-frontend.cfg
fi
set -- -f "$target/0-global.cfg" -f "$target/2-frontend.cfg"
if [ -n "$proxy_mode" ]; then
  echo '^/ be_default' > "$target/routes.map"
else
  render routes.map routes.map
  render backends.cfg 1-backends.cfg
  set -- "$@" -f "$target/1-backends.cfg"
  if [ -n "${CODECOV_GATEWAY_MINIO_ENABLED:-}" ]; then
    render minio.cfg 1-minio.cfg
    cat "$templates/minio.map" >> "$target/routes.map"
    set -- "$@" -f "$target/1-minio.cfg"
  fi
fi
echo "Starting haproxy"
# Not exec: the public image's script, too, stays in between and passes no signal on.
haproxy -W -db "$@"
