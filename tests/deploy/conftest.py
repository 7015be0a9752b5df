"""The services that these tests may break: those of the session, which start again whatever is down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.services import Fleet

from ..services import PLACE, services

__all__ = ["services"]  # a fixture: pytest finds it here


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder for services of the test's own, where PostgreSQL's user can get at it."""
    folder = PLACE / f"chappe-test-{tmp_path.parent.name}-{tmp_path.name}"
    yield folder
    Fleet(folder).down(grace_s=0, wipe=True)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
