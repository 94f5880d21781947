#!/bin/sh
# Wheels for the image's Python (Debian 13: CPython 3.13, x86-64), downloaded outside of the build.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
exec "$python" -m pip download --quiet --no-deps --only-binary=:all: --implementation cp --python-version 3.13 \
  --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --dest "$here/wheels" --requirement "$here/../../app/requirements.txt"
