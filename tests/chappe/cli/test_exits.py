"""Errors become exit codes in one place."""

from __future__ import annotations

import pytest

from chappe.cli.exits import CommandError, ExitCode, explain
from chappe.client.errors import (
    NoProfile,
    NotFound,
    Offline,
    Refused,
    ServerLied,
    StoreInUse,
    WrongPassphrase,
)
from chappe.errors import DataFolderInUse, SettingsError
from chappe.protocol.codes import ErrorCode, RequestError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("Choose another.", ExitCode.USAGE), ExitCode.USAGE),
        (SettingsError("Unknown key."), ExitCode.USAGE),
        (Offline("Not connected."), ExitCode.UNREACHABLE),
        (Refused("Revoked.", 4403), ExitCode.REFUSED),
        (NoProfile("Register first."), ExitCode.REFUSED),
        (RequestError(ErrorCode.BAD_CODE, "That is not the code."), ExitCode.REFUSED),
        (StoreInUse("Another process has it."), ExitCode.STORE),
        (WrongPassphrase("It does not open."), ExitCode.STORE),
        (DataFolderInUse("Another server has it."), ExitCode.STORE),
        (NotFound("Nobody."), ExitCode.FAILED),
        (ServerLied("Forged."), ExitCode.FAILED),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    ],
)
def test_every_known_error_has_its_code(error: BaseException, code: ExitCode) -> None:
    for wrapped in (error, BaseExceptionGroup("nursery", [BaseExceptionGroup("nursery", [error])])):
        end = explain(wrapped)
        assert end is not None
        assert end.code is code


def test_a_bug_is_not_explained_away() -> None:
    assert explain(ZeroDivisionError()) is None
    assert explain(ExceptionGroup("nursery", [Offline("Not connected."), ZeroDivisionError()])) is None


def test_codes_are_what_scripts_know() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "UNREACHABLE": 3,
        "REFUSED": 4,
        "STORE": 5,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }
