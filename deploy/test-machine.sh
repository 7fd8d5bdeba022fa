#!/usr/bin/env bash
# What the tests need of the machine beside Python: a Chromium with fonts, a library that Playwright's driver is linked
# with, GStreamer as a foreign WebRTC peer, and coturn as a TURN server.
#   test-machine.sh PYTHON
# Takes what is there. As root it installs the rest by apt; otherwise Chromium by Playwright's download; otherwise it
# fails and says how. Changes nothing if all is there.
set -euo pipefail
python=$1
browser=(chromium fonts-dejavu-core)
driver=(libatomic1)
gstreamer=(python3-gi gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav)

turn=(coturn)

have_turn() { command -v turnserver >/dev/null; }

have_chromium() { "$python" -c 'import sys; from live.browser import find_chromium; sys.exit(find_chromium() is None)'; }

have_driver() { "$python" -m playwright --version >/dev/null 2>&1; }

# The bindings belong to the system's Python. All that the peer of tests/media/peers/gst_player.py is made of.
have_gstreamer() {
    /usr/bin/python3 - 2>/dev/null <<'PY'
import sys

import gi

for name in ("Gst", "GstSdp", "GstWebRTC"):
    gi.require_version(name, "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa

Gst.init(None)
wanted = ("webrtcbin", "nicesrc", "dtlssrtpdec", "srtpdec", "rtph264depay", "avdec_h264", "rtpopusdepay", "opusdec")
sys.exit(any(Gst.ElementFactory.find(name) is None for name in wanted))
PY
}

missing=()
have_chromium || missing+=("${browser[@]}")
have_driver || missing+=("${driver[@]}")
have_gstreamer || missing+=("${gstreamer[@]}")
have_turn || missing+=("${turn[@]}")
[ ${#missing[@]} = 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing what the tests need of this machine: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    had_turn=$(have_turn && echo yes || echo no)
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || true
    # The package starts a TURN server for the whole network; the tests start their own, on loopback.
    if [ "$had_turn" = no ] && [ -d /run/systemd/system ]; then systemctl disable --now coturn >/dev/null 2>&1 || true; fi
fi
have_chromium || "$python" -m playwright install chromium || true

have_chromium || echo "No Chromium was found and none could be installed. Set CHROMIUM to one, or run as root:" \
    "apt-get install ${browser[*]}"
have_driver || echo "Playwright's driver does not run here. Run as root: apt-get install ${driver[*]}"
have_gstreamer || echo "GStreamer's webrtcbin with its Python bindings was not found. Run as root:" \
    "apt-get install ${gstreamer[*]}"
have_turn || echo "coturn's turnserver was not found. Run as root: apt-get install ${turn[*]}"
have_chromium && have_driver && have_gstreamer && have_turn
