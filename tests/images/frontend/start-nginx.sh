#!/bin/sh
# Writes the addresses of this installation into the scripts, in place, and becomes nginx.
set -eu

if [ -n "${1:-}" ]; then
  exec "$@"
fi

scheme=${CODECOV_SCHEME:-https}
assets=/var/www/app/gazebo/assets
echo "Running for base: ${CODECOV_BASE_HOST} and api: ${CODECOV_API_HOST}"
# After the first start there is nothing left to replace: another address needs a new container.
sed -i "s|https://api\.codecov\.io|${scheme}://${CODECOV_API_HOST}|g; s|https://codecov\.io|${scheme}://${CODECOV_BASE_HOST}|g" "$assets"/*.js
for provider in GHE GLE BBS; do
  eval "host=\${CODECOV_${provider}_HOST:-} provider_scheme=\${CODECOV_${provider}_SCHEME:-https}"
  if [ -n "$host" ]; then
    sed -i "s|window\.${provider}_URL|\"${provider_scheme}://${host}\"|g" "$assets"/*.js
  fi
done
LISTEN_IPV6="listen [::]:8080 default_server;"
# Some hosts have no IPv6 at all.
if [ -n "${CODECOV_FRONTEND_IPV6_DISABLED:-}" ] || [ ! -e /proc/net/if_inet6 ]; then LISTEN_IPV6=""; fi
export LISTEN_IPV6
envsubst '$LISTEN_IPV6 $BUILD_VERSION $BUILD_ID' < /etc/nginx/nginx.conf.template > /etc/nginx/nginx.conf
echo "Codecov Frontend starting nginx"
exec nginx -g 'daemon off;'
