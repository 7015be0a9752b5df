"""A ring of tokens cut into pieces that are read one after the other: pure. `cassandra.py` reads them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

# Of the Murmur3 partitioner. Nothing has the smallest token, so that it can be the excluded start of a piece.
FIRST: Final = -(2**63)
LAST: Final = 2**63 - 1


def pieces(tokens: Iterable[int], least: int) -> list[tuple[int, int]]:
    """Return pieces (start excluded, end included) that cover the ring once, `least` of them or more.

    None crosses a token of `tokens`, where one node's part ends and another's begins: each is answered by one node.
    """
    step = 2**64 // least
    cuts = {FIRST, LAST, *tokens, *(FIRST + n * step for n in range(least))}
    return list(pairwise(sorted(cuts)))
