"""From a page to a picture: the components come from npm, once, and Chromium draws them without a window."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from .data import WIDTH_PX, height_px

HERE: Final = Path(__file__).parent
BUILT: Final = HERE / "built"
NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
FLAGS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
    "--force-color-profile=srgb", "--virtual-time-budget=10000",
)  # fmt: skip
PATIENCE_S: Final = 120.0
PAGE: Final = """\
<!doctype html>
<meta charset="utf-8">
<link rel="stylesheet" href="file://{built}/page.css">
<body style="margin: 0; overflow: hidden">
<div id="page"></div>
<script>
window.grafanaBootData = {{ settings: {{ featureToggles: {{}} }}, user: {{ locale: "en" }} }};
window.DASHBOARD = {data};
</script>
<script type="module">{script}</script>
"""


class Unable(Exception):
    """Something is missing, or a page did not come out whole; the sentence says what."""


def build() -> None:
    """Fetch the components as package-lock.json pins them and bundle them, unless that was done.

    Raises: `Unable`.
    """
    if not (HERE / "node_modules").exists():
        _run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
    _run("npm", "run", "build", "--silent")


def draw(drawing: dict[str, Any], into: Path) -> None:
    """Draw one dashboard of `data.everything`. Raises: `Unable` unless every panel came out, with something in it."""
    script = (BUILT / "page.js").read_text(encoding="utf-8").replace("</script", "<\\/script")
    data = json.dumps(drawing).replace("</", "<\\/")
    with tempfile.TemporaryDirectory(prefix="chappe-drawing-") as folder:
        page = Path(folder) / "page.html"
        page.write_text(PAGE.format(built=BUILT, data=data, script=script), encoding="utf-8")
        _check(_chromium(folder, page, "--dump-dom"), drawing["dashboard"])
        size = f"--window-size={WIDTH_PX},{height_px(drawing['dashboard'])}"
        _chromium(folder, page, size, f"--screenshot={into}")


def _check(dom: str, dashboard: dict[str, Any]) -> None:
    panels = sum(panel["type"] != "row" for panel in dashboard["panels"])
    drawn = re.search(r'data-drawn="(\d+)"', dom)
    if drawn is None or int(drawn[1]) != panels:
        raise Unable(f"{dashboard['title']}: {drawn[1] if drawn else 'none'} of {panels} panels were drawn.")
    for broken in re.findall(r"<pre data-broken[^>]*>(.*?)\n", dom):
        raise Unable(f"{dashboard['title']}: {broken}")
    if empty := dom.count("data-empty="):
        raise Unable(f"{dashboard['title']}: {empty} panels have nothing to show.")


def _chromium(folder: str, page: Path, *words: str) -> str:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise Unable("Chromium is not installed; on Debian: apt-get install chromium.")
    profile = f"--user-data-dir={folder}/profile"
    return _run(program, *FLAGS, profile, *words, page.as_uri())


def _run(*command: str) -> str:
    if shutil.which(command[0]) is None:
        raise Unable(f"{command[0]} is not installed; on Debian: apt-get install {command[0]}.")
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and no words of others
            command, cwd=HERE, capture_output=True, text=True, check=True, timeout=PATIENCE_S * 5
        )
    except subprocess.CalledProcessError as error:
        raise Unable(f"{' '.join(command[:3])} failed: {error.stderr[-2000:]}") from error
    return done.stdout
