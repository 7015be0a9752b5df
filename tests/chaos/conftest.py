"""The seed of the random choices is that of the system tests."""

from __future__ import annotations

from tests.system.conftest import seed

__all__ = ["seed"]
