"""How every command ends: the exit codes, and the one place that turns an error into a code and a sentence.

`main` prints the table in `chappe --help`, `docs/cli.md` prints it again, and both read it from here.
Commands raise `CommandError` or let the typed errors of the SDK and the server pass; what is not known here
is a bug and keeps its traceback. The numbers are part of the interface: scripts depend on them, so none is
ever given a new meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Self

from ..errors import ChappeError, DataFolderInUse, SettingsError


class ExitCode(IntEnum):
    """What a command's exit status means; `meaning` says it in words."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """Make a member of the number that the shell sees and the words that people read."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "done"
    FAILED = 1, "it did not work; the sentence on standard error says why"
    USAGE = 2, "the command line or the settings are wrong; nothing was tried"
    UNREACHABLE = 3, "the server cannot be reached, or the time is up"
    REFUSED = 4, "the server said no, or this device is not signed in"
    STORE = (
        5,
        "the local store is in use, damaged, or the passphrase is wrong",
    )
    INTERRUPTED = 130, "ended by Ctrl-C"
    TERMINATED = 143, "ended by SIGTERM"


class CommandError(ChappeError):
    """A command cannot go on. The text is one sentence that says what to do; `code` ends the process."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors inside a group, however deep: nurseries wrap whatever passes through them."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def explain(error: BaseException) -> CommandError | None:
    """Return how the process ends on this error, or None when it is a bug that should keep its traceback.

    Of a group, the first known error counts, and only when every other one is known too.
    """
    known = [_explain_one(leaf) for leaf in leaves(error)]
    return None if None in known else next(iter(known), None)


def _explain_one(error: BaseException) -> CommandError | None:
    if isinstance(error, CommandError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return CommandError("Ended by Ctrl-C.", ExitCode.INTERRUPTED)
    if isinstance(error, BrokenPipeError):
        return CommandError("Nobody reads the output any more.", ExitCode.FAILED)
    if isinstance(error, OSError) and error.filename is not None:
        return CommandError(f"Cannot use {error.filename}: {error.strerror}.", ExitCode.FAILED)
    # Imported only now: `chappe --help` must not wait for the SDK.
    from ..client import errors
    from ..protocol.codes import RequestError

    table: tuple[tuple[tuple[type[BaseException], ...], ExitCode], ...] = (
        ((errors.Unreachable,), ExitCode.UNREACHABLE),
        ((errors.Refused, errors.NoProfile, RequestError), ExitCode.REFUSED),
        ((errors.StoreInUse, errors.WrongPassphrase, errors.StoreDamaged, DataFolderInUse), ExitCode.STORE),
        ((SettingsError,), ExitCode.USAGE),
        ((ChappeError,), ExitCode.FAILED),
    )
    for kinds, code in table:
        if isinstance(error, kinds):
            return CommandError(str(error), code)
    return None
