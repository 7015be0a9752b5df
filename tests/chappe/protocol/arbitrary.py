"""Arbitrary frames, made from the schema itself, so that a new frame or field is tested without a change
here.

Every choice comes from a `random.Random`: hypothesis passes one that it can shrink, the long fuzz run a
seeded one.
"""

from __future__ import annotations

from random import Random
from typing import Any, get_args

import msgspec
from msgspec import inspect

from chappe.protocol.codec import MAX_FRAMES, encode, join
from chappe.protocol.frames import Frame

FRAMES: tuple[type[Frame], ...] = get_args(Frame)
_SCHEMA = {kind: inspect.type_info(kind) for kind in FRAMES}


def frame(random: Random, kind: type[Frame] | None = None) -> Frame:
    """Return a valid frame, of any kind unless told."""
    return _value(random, _SCHEMA[kind or random.choice(FRAMES)])


def message(random: Random) -> bytes:
    """Return the bytes of a valid message of a few frames."""
    return join([encode(frame(random)) for _ in range(random.randint(1, 4))])


def mutated(random: Random, data: bytes) -> bytes:
    """Return `data` with one thing wrong, or by luck nothing."""
    at = random.randrange(len(data))
    match random.randrange(6):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + bytes((random.randrange(256),)) + data[at + 1 :]
        case 2:
            return data[:at] + bytes((random.randrange(256),)) + data[at:]
        case 3:
            return data[:at] + data[at + 1 :]
        case 4:
            return data + data
        case _:
            until = min(len(data), at + random.randint(1, 16))
            return data[:at] + data[at:until] * random.choice((2, 3, MAX_FRAMES)) + data[until:]


def _value(random: Random, of: inspect.Type) -> Any:  # noqa: C901, PLR0911, PLR0912  # one case a type of the schema
    match of:
        case inspect.StructType():
            return of.cls(
                **{f.name: _value(random, f.type) for f in of.fields if f.required or random.randrange(2)}
            )
        case inspect.UnionType():
            return _value(random, random.choice(of.types))
        case inspect.NoneType():
            return None
        case inspect.BoolType():
            return bool(random.randrange(2))
        case inspect.IntType():
            low, high = of.ge or 0, of.le if of.le is not None else (of.lt or 2**53) - 1
            return random.choice((low, high, random.randint(low, min(high, low + 9))))
        case inspect.FloatType():
            return random.choice((0.25, 25.0, float(of.le or 1e300)))
        case inspect.EnumType():
            return random.choice(list(of.cls))
        case inspect.BytesType():
            return _length(random, of, 64) * bytes((random.randrange(256),))
        case inspect.StrType():
            return _length(random, of, 64) * random.choice("aé✓😀")
        case inspect.RawType():
            return msgspec.Raw(
                msgspec.msgpack.encode(random.choice((None, [], [1, b"x", {"k": "v"}], "text")))
            )
        case inspect.ListType():
            return [_value(random, of.item_type) for _ in range(_length(random, of, 3, most=16))]
        case inspect.DictType():
            count = _length(random, of, 3, most=16)
            return {_value(random, of.key_type): _value(random, of.value_type) for _ in range(count)}
        case _:
            raise TypeError(f"The schema has a type that this generator does not know: {of!r}.")


def _length(random: Random, of: Any, usual: int, most: int = 4096) -> int:
    """A length at an edge of what the schema allows, or a usual one where the edge is beyond `most`."""
    low, high = of.min_length or 0, of.max_length if of.max_length is not None else usual
    usual = max(low, min(high, usual))
    return random.choice((low, usual, high if high <= most else usual))
