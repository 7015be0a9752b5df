"""`python -m chaos.report.picture PAGE PICTURE`: a page as a PNG, by Debian's chromium; for the documents."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WIDTH, HEIGHT = 1100, 1480


def take(page: Path, picture: Path) -> None:
    """Take a picture of a page. Raises: `FileNotFoundError` without chromium, `CalledProcessError`."""
    program = shutil.which("chromium")
    if program is None:
        raise FileNotFoundError("chromium is not installed; on Debian: apt-get install chromium.")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--hide-scrollbars",
        ]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        command += [f"--user-data-dir={profile}", f"--window-size={WIDTH},{HEIGHT}"]
        command += [f"--screenshot={picture.absolute()}", page.absolute().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
