#!/bin/sh
# venv.sh DIRECTORY REQUIREMENTS: a virtual environment with exactly those packages. Run by make when the requirements changed.
set -eu
directory=$1 requirements=$2
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo 'Python 3.11 or newer is needed as python3 (Debian 12 and 13 have it: apt-get install python3).' >&2
  exit 1
fi
if ! python3 -c 'import ensurepip' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo 'install python3-venv ...'
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3-venv >/dev/null
  else
    echo 'python3 has no venv module here. Install it (Debian: sudo apt-get install python3-venv).' >&2
    exit 1
  fi
fi
if [ -L "$directory" ]; then
  echo "$directory is a link: what it leads to belongs to another checkout, where make makes it anew." >&2
  exit 1
fi
echo "make the Python environment $directory (about a minute) ..."
python3 -m venv --clear "$directory"
log=$directory/install.log
if ! "$directory/bin/python" -m pip install --quiet --no-input --disable-pip-version-check -r "$requirements" >"$log" 2>&1; then
  grep -v ^WARNING "$log" | tail -20 >&2
  exit 1
fi
touch "$directory/.complete"
