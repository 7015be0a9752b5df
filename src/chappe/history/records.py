"""What a device writes down, and the file it goes to: one JSON object a line, appended as it happens.

Whoever drives a client writes them; `check` reads them. Ids are lower-case hex, so that they sort as their
bytes do. A record says what was seen, never what should have been: judging is left to `check`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

State = Literal["queued", "sent", "delivered", "read", "failed"]


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message on a page. `device` sent it; `state` is set for messages of the page's own account."""

    text: str
    device: str
    id: str | None = None
    answers: str | None = None
    state: State | None = None


class Page(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole conversation as a device holds it, oldest first."""

    conv: str
    rows: tuple[Row, ...]


class Start(Struct, frozen=True, tag_field="what", tag="start", kw_only=True, omit_defaults=True):
    """The client was opened, and shows `pages`: first record of a history, and again after every crash."""

    user: str
    device: str
    pages: tuple[Page, ...] = ()
    at_ms: int = 0


class Invoke(Struct, frozen=True, tag_field="what", tag="invoke", kw_only=True, omit_defaults=True):
    """The device is about to send. `text` is unique in the whole run: it is the message's name in the check.

    `answers` is the id of the message that it replies to.
    """

    conv: str
    to: str
    text: str
    answers: str | None = None
    at_ms: int = 0


class Tick(Struct, frozen=True, tag_field="what", tag="tick", kw_only=True, omit_defaults=True):
    """The device was told how far a message of its own account got. From `sent` on it has an id."""

    conv: str
    text: str
    state: State
    id: str | None = None
    reason: str = ""
    at_ms: int = 0


class Shown(Struct, frozen=True, tag_field="what", tag="shown", kw_only=True, omit_defaults=True):
    """A message that another device sent appeared on the screen."""

    conv: str
    id: str
    device: str
    text: str
    answers: str | None = None
    at_ms: int = 0


class Read(Struct, frozen=True, tag_field="what", tag="read", kw_only=True, omit_defaults=True):
    """The device is about to say that its person has read everything up to `id`."""

    conv: str
    id: str
    at_ms: int = 0


class Finish(Struct, frozen=True, tag_field="what", tag="finish", kw_only=True, omit_defaults=True):
    """The device has drained, and this is all it holds: last record of a history."""

    pages: tuple[Page, ...]
    at_ms: int = 0


Record = Start | Invoke | Tick | Shown | Read | Finish
_R = TypeVar("_R", Start, Invoke, Tick, Shown, Read, Finish)

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Record)


@dataclass(frozen=True, slots=True)
class History:
    """What one device wrote, in its order. `name` is for people."""

    name: str
    records: tuple[Record, ...]

    def each(self, kind: type[_R]) -> Iterator[tuple[int, _R]]:
        """Yield line number (from 1) and record of one kind."""
        return ((line, record) for line, record in enumerate(self.records, 1) if isinstance(record, kind))


class Recorder:
    """Appends records to a file: one is in it when `write` returns, whenever the process is killed.

    Not synced to the disk: it is the process that dies in these tests, never the machine that judges.
    """

    __slots__ = ("_fd", "_now_ms")

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        # A kill in the middle of a write leaves half a line: it was never recorded, so it goes.
        written = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        os.ftruncate(self._fd, written.rfind(b"\n") + 1)

    def write(self, record: Record) -> None:
        """Append one record, stamped with the time (UTC milliseconds; for people, the check never looks)."""
        data = _ENCODER.encode(replace(record, at_ms=self._now_ms())) + b"\n"
        while data:
            data = data[os.write(self._fd, data) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)


def load(path: Path) -> History:
    """Read a history; half a line at the end is left out.

    Raises:
        msgspec.DecodeError: a whole line is not a record.
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    return History(path.stem, tuple(_DECODER.decode(line) for line in lines))
