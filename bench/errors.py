"""What can end a benchmark run early."""

from __future__ import annotations


class BenchError(Exception):
    """The run means nothing: the server refused, closed or failed. The text says what, and where to look."""
