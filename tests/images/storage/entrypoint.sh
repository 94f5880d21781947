#!/bin/sh
# `server`, `s3`, ...: a command of weed. `server` gets the defaults of the public image for what is not given.
set -eu
if [ "$(id -u)" = 0 ]; then
  chown seaweed:seaweed /data
  exec setpriv --reuid=seaweed --regid=seaweed --init-groups "$0" "$@"
fi
if [ "${1:-}" = server ]; then
  shift
  case " $* " in *" -volume.max"*) ;; *) set -- -volume.max=0 "$@" ;; esac
  case " $* " in *" -dir"*) ;; *) set -- -dir=/data "$@" ;; esac
  set -- server -master.volumePreallocate -master.volumeSizeLimitMB=1024 "$@"
fi
exec /usr/bin/weed "$@"
