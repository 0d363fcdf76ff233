"""Reports in a real browser: Chromium without a window."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

LIGHT, DARK = 1, 0  # Blink's preferredColorScheme
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS = 60


def chromium() -> str | None:
    """The path of a Chromium or Chrome; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def look(html: str, script: str, folder: Path, *, width: int = 500, scheme: int = LIGHT) -> Any:
    """What a script finds on a page.

    Args:
        script: The body of a function that returns what JSON can say.
        folder: Where the page and the browser's profile may lie.
        width: Of the window, in pixels; 500 is the least.
    """
    probe = f"document.documentElement.dataset.found = JSON.stringify((() => {{ {script} }})())"
    path = folder / "page.html"
    path.write_text(html.replace("</body>", f"<script>{probe}</script></body>"), encoding="utf-8")
    command = [
        chromium() or "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={scheme}",
        f"--window-size={width},900", "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    printed = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    found = re.search(r'<html[^>]* data-found="([^"]*)"', printed)
    assert found, f"the browser did not run the page: {printed[:500]}"
    return json.loads(unescape(found[1]))
