"""The seed of the random choices is that of the system tests; a run needs somebody who watches it."""

from __future__ import annotations

import pytest

from chaos.needs import lacking
from chaos.scenario import load_all
from tests.services import leave_out
from tests.system.conftest import seed

__all__ = ["seed"]


@pytest.fixture
def watched() -> None:
    """Leave the test out where runs cannot be watched, and so not be begun."""
    if why := lacking(load_all()["node-killed"]):
        leave_out(why)
