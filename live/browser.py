"""Which Chromium this machine has: for the tests, the doctor and the demo. The service itself needs none.

Owns: nothing. Reads the file system alone.
"""

import os
import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLAYWRIGHT_PATTERN = "chromium-*/chrome-linux*/chrome"


def find_chromium() -> str | None:
    """The path of a Chromium: CHROMIUM if set (and nothing else then), one on PATH, else Playwright's own."""
    asked = os.environ.get("CHROMIUM")
    if asked:
        return shutil.which(asked)
    return next((path for name in NAMES if (path := shutil.which(name))), None) or _downloaded()


def _downloaded() -> str | None:
    """The newest that `playwright install chromium` has left here."""
    root = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or "~/.cache/ms-playwright").expanduser()
    found = sorted(root.glob(PLAYWRIGHT_PATTERN), key=lambda path: path.stat().st_mtime)
    return str(found[-1]) if found else None
