"""Errors that cross a module's border inside the server. What crosses the wire is in `protocol/codes.py`."""

from __future__ import annotations


class ChappeError(Exception):
    """The root of them all. Its text is one sentence that says what to do."""


class SettingsError(ChappeError):
    """The configuration is wrong; nothing was started."""


class DataFolderInUse(ChappeError):
    """Another process has this data folder; nothing was opened."""


class StoreUnavailable(ChappeError):
    """A store did not take the work: it is away, full or too slow. Trying again may help; a write may have happened."""


class Taken(ChappeError):
    """A value that must be unique is in use. `what` names it: username, phone, user or device."""

    def __init__(self, what: str) -> None:
        super().__init__(f"This {what} is taken; choose another.")
        self.what = what


class Stale(ChappeError):
    """The change was made against an old version; read the new one and try again."""


class Missing(ChappeError):
    """What the change refers to is not there (any more)."""
