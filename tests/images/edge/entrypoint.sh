#!/bin/sh
# Flags and commands of Traefik go to Traefik; anything else is run as given.
set -eu
case ${1:-} in -* | healthcheck | version) set -- traefik "$@" ;; esac
exec "$@"
