"""The base of every value that holds a secret: it can be stored, and never shows itself.

Used by the whole package. `repr`, log lines and rich tracebacks get the name of the type and nothing else.
"""

from __future__ import annotations

from typing import Any, Self

import msgspec
from msgspec import Struct

from ..protocol.decoders import decoder_of
from .errors import BadState


class Secret(Struct, frozen=True, array_like=True):
    """A value with secrets in it.

    Subclasses that are stored on their own carry a `tag`: their format's version.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []

    def to_bytes(self) -> bytes:
        """Return the value as msgpack. These bytes are secret too."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Read what `to_bytes` wrote. Raises: `BadState`."""
        try:
            return decoder_of(cls).decode(stored)
        except (ValueError, RecursionError) as error:  # msgspec's errors, and text that is no UTF-8
            raise BadState(f"This stored {cls.__name__} cannot be read; restore it from a backup.") from error
