#!/usr/bin/env bash
# Makes the virtual environment, or brings it up to date: setup.sh PYTHON VENV LOCK
# Everything comes from the lock, by its hash; our own package is then linked in without looking anything up.
set -euo pipefail
python=$1 venv=$2 lock=$3

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Showfloor needs Python 3.11 or newer; $python is $("$python" --version 2>&1). Run: make PYTHON=python3.12 ..."
    exit 1
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || {
    echo "The virtual environment could not be made. On Debian: apt-get install python3-venv"
    exit 1
}
echo "Setting up $venv from $lock"
pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check --no-input)
"${pip[@]}" install --require-hashes --only-binary :all: -r "$lock"
"${pip[@]}" install --no-deps --no-build-isolation -e .
