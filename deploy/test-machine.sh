#!/usr/bin/env bash
# What the tests need of the machine beside Python: a Chromium with fonts. Takes what is there, installs what is not.
#   test-machine.sh PYTHON
# As root by apt; otherwise by Playwright's download; otherwise it fails and says how. Changes nothing if all is there.
set -euo pipefail
python=$1
packages=(chromium fonts-dejavu-core)

have_chromium() { "$python" -c 'import sys; from live.browser import find_chromium; sys.exit(find_chromium() is None)'; }

have_chromium && exit 0
echo "The browser tests need Chromium; installing it"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null; then
        have_chromium && exit 0
    fi
fi
"$python" -m playwright install chromium && have_chromium && exit 0
echo "No Chromium was found and none could be installed. Install one (Debian: apt-get install ${packages[*]})," \
    "or set CHROMIUM to its path, and run make test again."
exit 1
