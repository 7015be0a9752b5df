"""What can be wrong with what comes over the bus; `BusUnavailable`, which callers see, is in `chappe/errors.py`."""

from __future__ import annotations

from ..errors import ChappeError


class BadFrame(ChappeError):
    """What came over the bus is no frame of this version; take it for a loss."""
