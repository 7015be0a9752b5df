"""The seed of the random choices: printed by a failing test, and set again by CHAPPE_TEST_SEED."""

from __future__ import annotations

import os
import secrets

import pytest


@pytest.fixture
def seed() -> int:
    """Return the seed of this run."""
    chosen = int(os.environ.get("CHAPPE_TEST_SEED") or secrets.randbelow(1_000_000))
    print(f"CHAPPE_TEST_SEED={chosen}")
    return chosen
