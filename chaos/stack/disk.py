"""A small disk of a node's own: a file system in memory (tmpfs) that gets full as any disk does. Needs root."""

from __future__ import annotations

from pathlib import Path

from deploy.services.errors import Unavailable
from deploy.services.service import is_root, run


def check() -> None:
    """Return if file systems can be mounted on this machine. Raises: `Unavailable`."""
    if not is_root():
        raise Unavailable("A disk of its own for the node needs root.")
    run(["unshare", "--mount", "mount", "-t", "tmpfs", "trial", "/mnt"], "Trying out a mount")


def mount(folder: Path, size_mb: int) -> None:
    """Mount a new disk on a new folder; blocks. Raises: `Unavailable`."""
    folder.mkdir(parents=True)
    run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=700", "chappe", str(folder)], "Mounting a disk")
