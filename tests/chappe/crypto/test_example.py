"""The example in the package's docstring runs as it stands."""

from __future__ import annotations

import doctest

import chappe.crypto


def test_the_example_runs() -> None:
    failed, tried = doctest.testmod(chappe.crypto)
    assert (failed, tried) == (0, 5)
