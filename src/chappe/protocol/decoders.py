"""Decoders by type, each made once and by one thread.

msgspec learns what a Struct is made of when it first needs to, and is not safe when two threads do that at once: one
finds what the other has half written, and the process ends with a segmentation fault (msgspec 0.22; two clients that
open in one process met it). So nobody hands a type to `msgspec.msgpack.decode`; a decoder of a module's own, made at
its import, is as good.
"""

from __future__ import annotations

import threading
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

_making: Final = threading.Lock()
_made: Final[dict[Any, msgspec.msgpack.Decoder[Any]]] = {}


def decoder_of(kind: type[T]) -> msgspec.msgpack.Decoder[T]:
    """Return the decoder of a type; may be called from any thread."""
    found = _made.get(kind)
    if found is None:
        with _making:
            found = _made.setdefault(kind, msgspec.msgpack.Decoder(kind))
    return found
