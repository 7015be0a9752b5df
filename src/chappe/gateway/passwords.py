"""Passwords: Argon2id (RFC 9106) through libsodium, in worker threads, a few at a time.

A hash takes tens of milliseconds and megabytes on purpose, so the limiter is what keeps a flood of sign-ins from
taking the node's memory and both of its cores. Only `signin.py` calls this.
"""

from __future__ import annotations

from functools import partial

import nacl.exceptions
import nacl.pwhash
import trio

from ..settings import Accounts


class Passwords:
    """Hashes and checks passwords. Cancelled: the thread finishes its hash and the result is dropped."""

    def __init__(self, settings: Accounts) -> None:
        self._hash = partial(
            nacl.pwhash.argon2id.str,
            opslimit=settings.argon2_passes,
            memlimit=settings.argon2_memory_kib * 1024,
        )
        self._limiter = trio.CapacityLimiter(settings.hashes_at_once)
        # What an unknown user's password is checked against, so that the time tells nobody who is registered.
        self._decoy = self._hash(b"nobody's password").decode()

    async def hash(self, password: str) -> str:
        """Return an Argon2id string with a fresh salt."""
        hashed = await trio.to_thread.run_sync(self._hash, password.encode(), limiter=self._limiter)
        return hashed.decode()

    async def is_right(self, password: str, hashed: str | None) -> bool:
        """Check a password; with None it takes as long and is always wrong."""
        is_right = await trio.to_thread.run_sync(
            _verify, (hashed or self._decoy).encode(), password.encode(), limiter=self._limiter
        )
        return is_right and hashed is not None


def _verify(hashed: bytes, password: bytes) -> bool:
    try:
        return nacl.pwhash.verify(hashed, password)
    except nacl.exceptions.InvalidkeyError:
        return False
