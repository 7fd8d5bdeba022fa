"""A stack that is neither a browser's nor aiortc's plays: GStreamer's webrtcbin (libnice, OpenSSL, libsrtp)."""

import asyncio
import contextlib
import json
import socket
import sys
from pathlib import Path

from media.config import RelayConfig

HERE = Path(__file__).parent
SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's gi bindings belong to Debian's Python
PACKAGES = (
    "gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-nice "
    "python3-gi gir1.2-gst-plugins-bad-1.0"
)


def own_address():
    """An address of this machine that is not loopback: libnice pairs no loopback candidates. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return probe.getsockname()[0]


async def test_webrtcbin_decodes_picture_and_sound(open_floor):
    async with open_floor(RelayConfig(bind_host="0.0.0.0", addresses=(own_address(),))) as floor:
        host = await asyncio.create_subprocess_exec(
            sys.executable, str(HERE / "muxer.py"), f"{floor.base_url}/whip/demo", "host-ann"
        )
        viewer = await asyncio.create_subprocess_exec(
            SYSTEM_PYTHON,
            str(HERE / "gst_player.py"),
            f"{floor.base_url}/whep/demo",
            "viewer-gst",
            "H264",
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            counts = {"video": 0, "audio": 0}
            async with asyncio.timeout(45):
                async for line in viewer.stdout:
                    counts = json.loads(line)
                    if counts["video"] >= 30 and counts["audio"] >= 30:
                        break
                else:
                    await viewer.wait()
            assert viewer.returncode is None, f"the player ended; it needs: apt-get install {PACKAGES}"
            assert counts["video"] >= 30
            assert counts["audio"] >= 30
        finally:
            for child in (viewer, host):
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
