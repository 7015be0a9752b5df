"""Enrolment: what goes wrong half-way can be done again, and nobody gets a key that was meant for another."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from chappe.client import (
    BadLinkCode,
    ErrorCode,
    NoProfile,
    ProfileExists,
    RequestError,
    Unreachable,
    login,
    register,
)

from .servers import PASSPHRASE, PASSWORD, Home


class LostPowerError(Exception):
    """What a test raises where the machine dies."""


async def test_a_registration_whose_end_was_lost_can_be_done_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has made the account, but the client died before it knew."""
    with monkeypatch.context() as patch:

        def die(*_args: object) -> None:
            raise LostPowerError

        patch.setattr("chappe.client.enrol._complete", die)
        with pytest.raises(LostPowerError):
            await home.registered("alice")
    with pytest.raises(NoProfile):
        async with home.client("alice"):
            pass
    home.again()
    me = await home.registered("alice")
    async with home.client("alice") as alice:
        with trio.fail_after(20):
            await alice.online()
        assert alice.me == me
        assert [device.device for device in await alice.devices()] == [me.device]


async def test_a_wrong_code_makes_no_account(home: Home) -> None:
    async def wrong() -> str:
        return "000000x"

    with pytest.raises(RequestError) as refused:
        await register(
            home.server.address,
            home.folder / "alice",
            PASSPHRASE,
            username="alice",
            phone="+4915112345678",
            password=PASSWORD,
            ask_code=wrong,
        )
    assert refused.value.code is ErrorCode.BAD_CODE
    await home.registered("alice")


async def test_a_wrong_password_and_a_folder_in_use(home: Home) -> None:
    async def show(_code: str) -> None:
        raise AssertionError("no code may be shown")

    await home.registered("alice")
    with pytest.raises(RequestError) as refused:
        await login(
            home.server.address, home.folder / "tablet", PASSPHRASE,
            username="alice", password="wrong", device_name="tablet", show_code=show,
        )  # fmt: skip
    assert refused.value.code is ErrorCode.BAD_CREDENTIALS
    with pytest.raises(ProfileExists):
        await login(
            home.server.address, home.folder / "alice", PASSPHRASE,
            username="alice", password=PASSWORD, device_name="tablet", show_code=show,
        )  # fmt: skip


async def test_link_codes_are_checked(home: Home) -> None:
    await home.registered("alice")
    async with home.client("alice") as alice:
        with trio.fail_after(20):
            await alice.online()
        with pytest.raises(BadLinkCode):
            await alice.link("chappe-link-1:nonsense")
        codes: list[str] = []

        async def keep(code: str) -> None:
            codes.append(code)
            raise LostPowerError

        with pytest.raises(LostPowerError):
            await login(
                home.server.address, home.folder / "tablet", PASSPHRASE,
                username="alice", password=PASSWORD, device_name="tablet", show_code=keep,
            )  # fmt: skip
        with pytest.raises(BadLinkCode):
            await alice.link(codes[0][:-8] + "AAAAAAAA")


@pytest.mark.parametrize(
    "address", ["ws://127.0.0.1:9", "http://127.0.0.1:9", "nonsense", "ws://127.0.0.1:99999"]
)
async def test_no_server_there(tmp_path: Path, address: str) -> None:
    async def ask() -> str:
        raise AssertionError("no code may be asked for")

    with pytest.raises(Unreachable):
        await register(
            address, tmp_path / "alice", PASSPHRASE,
            username="alice", phone="+4915112345678", password=PASSWORD, ask_code=ask,
        )  # fmt: skip
