"""Errors that cross a module's border inside the server. What crosses the wire is in `protocol/codes.py`."""

from __future__ import annotations

from collections.abc import Collection

from .ids import MessageId


class ChappeError(Exception):
    """The root of them all. Its text is one sentence that says what to do."""


class SettingsError(ChappeError):
    """The configuration is wrong; nothing was started."""


class MissingExtra(SettingsError):
    """The settings name something that was not installed: `what` needs an extra of this distribution."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs what is not installed: pip install 'chappe[{extra}]'.")


class DataFolderInUse(ChappeError):
    """Another process has this data folder; nothing was opened."""


class StoreUnavailable(ChappeError):
    """A store did not take the work: it is away, full or too slow. Trying again may help; a write may have happened."""


class BusUnavailable(ChappeError):
    """The bus did not do it: it is away or too slow. Nothing is lost by that; the stores have everything."""


class OutcomeUnknown(StoreUnavailable):
    """A write was neither confirmed nor refused: any part of it may be stored, or turn up later.

    "Later" has no bound worth waiting for: one replica may have it and hand it on when it is repaired. `stored` are the
    ids of those messages of the write that are durable all the same.
    """

    def __init__(self, text: str, stored: Collection[MessageId] = ()) -> None:
        super().__init__(text)
        self.stored = stored


class Taken(ChappeError):
    """A value that must be unique is in use. `what` names it: username, phone, user or device."""

    def __init__(self, what: str) -> None:
        super().__init__(f"This {what} is taken; choose another.")
        self.what = what


class Stale(ChappeError):
    """The change was made against an old version; read the new one and try again."""


class Missing(ChappeError):
    """What the change refers to is not there (any more)."""
