"""Become a device of an account: register a new account, or link this device to one that exists."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from .values import Me


async def register(
    server: str,
    folder: Path,
    passphrase: str,
    *,
    username: str,
    phone: str,
    password: str,
    ask_code: Callable[[], Awaitable[str]],
    device_name: str = "",
    ssl_context: ssl.SSLContext | None = None,
) -> Me:
    """Make an account with this device as its first, and its profile in `folder`.

    Raises: `RequestError` (username_taken, phone_taken, bad_phone, bad_code, ...), `Unreachable`, `ProfileExists`,
    `StoreInUse`, `WrongPassphrase`.
    """
    raise NotImplementedError


async def login(
    server: str,
    folder: Path,
    passphrase: str,
    *,
    username: str,
    password: str,
    device_name: str,
    show_code: Callable[[str], Awaitable[None]],
    ssl_context: ssl.SSLContext | None = None,
) -> Me:
    """Announce this device, show the link code, and wait until another device of the account approved it.

    Raises: `RequestError` (bad_credentials, ...), `Unreachable`, `ProfileExists`, `StoreInUse`, `WrongPassphrase`.
    """
    raise NotImplementedError
