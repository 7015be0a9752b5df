"""The middle in a Redis (7 or later), through coredis on trio.

One connection of the third protocol version carries commands and what is subscribed, and belongs to the task that
opened it. coredis' own pool, retries and resubscription are left aside: a connection that comes back by itself would
hide just what has to be known, that something may be missing. So whatever fails ends the link, once.
https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, TypeVar, cast

import anyio
import trio
from coredis.connection import BaseConnection
from coredis.exceptions import RedisError
from coredis.pool import ConnectionPool

from ..errors import BusUnavailable
from ..ids import DeviceId, UserId
from .broker import Claim, Holder, Link, Outcome
from .numbering import EVERYBODY
from .scripts import ONLINE, REGISTER, RELEASE, STAMP_BYTES
from .values import GATEWAY_BYTES, GatewayId, Timing

# What coredis lets through when a connection ends. TimeoutError is its own time-out, trio.TooSlowError ours.
FAILURES: Final = (
    RedisError, OSError, TimeoutError, trio.TooSlowError, anyio.BrokenResourceError, anyio.ClosedResourceError,
    anyio.EndOfStream,
)  # fmt: skip
SESSION_BYTES: Final = 8
AT_ONCE: Final = 500

_Id = TypeVar("_Id", DeviceId, UserId)

# It logs every failed attempt with a traceback; what matters of that is in `BusUnavailable`.
logging.getLogger("coredis").setLevel(logging.CRITICAL + 1)


class RedisBroker:
    """Fulfils `Broker`. `url` is redis://, rediss:// or unix://; `prefix` begins every key and channel.

    Raises: `ValueError` for a URL that names no server.
    """

    def __init__(self, url: str, *, prefix: str = "chappe:", timing: Timing | None = None) -> None:
        self._timing = timing or Timing()
        self._prefix = prefix.encode()
        # Never entered: it only knows how to read a URL.
        self._pool = ConnectionPool.from_url(
            url, stream_timeout=self._timing.command_s, connect_timeout=self._timing.command_s
        )
        if self._pool.location is None:
            raise ValueError("The URL of the bus names no server.")
        self._location = self._pool.location

    @property
    def is_alone(self) -> bool:
        """Never: others may be there."""
        return False

    @asynccontextmanager
    async def open(self, gateway: GatewayId) -> AsyncIterator[Link]:
        """Connect and subscribe. Raises: `BusUnavailable`."""
        pool = self._pool
        # Asked first, because a connection object that never gets its socket leaves its streams unclosed.
        with trio.move_on_after(self._timing.command_s):
            if not await self._location.check():
                raise BusUnavailable(f"There is no Redis at {self._location}.")
        connection: BaseConnection = pool.connection_class(
            cast("Any", self._location), **pool.connection_kwargs
        )
        async with trio.open_nursery() as nursery:
            try:
                with trio.fail_after(2 * self._timing.command_s):
                    await nursery.start(connection.run)
                    link = _RedisLink(connection, gateway, self._prefix, self._timing)
                    await link.prepare()
            except FAILURES as error:
                connection.invalidate()
                raise _away(error) from error
            async with aclosing(link.pushes):
                yield link
            connection.invalidate()


class _RedisLink:
    """Fulfils `Link`."""

    def __init__(self, connection: BaseConnection, gateway: GatewayId, prefix: bytes, timing: Timing) -> None:
        self.pushes: AsyncGenerator[list[Any], None] = connection.push_messages
        self._connection = connection
        self._gateway = gateway
        self._timing = timing
        self._device_key = prefix + b"device:"
        self._user_key = prefix + b"user:"
        self._limits_key = prefix + b"limits:"
        self._place_key = prefix + b"place:"
        self._channel = prefix + b"gateway:"
        self._all = self._channel + EVERYBODY
        self._scripts: dict[str, bytes] = {}

    async def prepare(self) -> None:
        """Load the scripts and subscribe."""
        for script in (REGISTER, RELEASE, ONLINE):
            self._scripts[script] = await self._ask(b"SCRIPT LOAD", script.encode())
        channels = {self._all, self._channel + self._gateway}
        self._connection.send_command(b"SUBSCRIBE", *channels)
        while channels:
            kind, channel, *_ = await anext(self.pushes)
            if kind == b"subscribe":
                channels.discard(channel)

    async def register(self, claims: Sequence[Claim], *, is_new: bool) -> list[Outcome]:
        now = trio.current_time()
        keys: list[bytes] = []
        arguments: list[bytes] = [self._gateway, b"%d" % (self._timing.claim_ttl_s * 1000)]
        for claim in claims:
            keys += self._keys(claim)
            stamp = b"new" if is_new else b"%d" % (claim.stamp or -int((now - claim.at_s) * 1e6))
            arguments += claim.device, _session(claim.session), stamp
        answers = await self._call(REGISTER, keys, arguments)
        return [
            Outcome(int(stamp or 0), _holder(other) if other else None)
            for stamp, other in zip(answers[::2], answers[1::2], strict=True)
        ]

    async def release(self, claims: Sequence[Claim]) -> None:
        keys: list[bytes] = []
        arguments: list[bytes] = [self._gateway]
        for claim in claims:
            keys += self._keys(claim)
            arguments += claim.device, _session(claim.session)
        await self._call(RELEASE, keys, arguments)

    async def lookup(self, devices: Sequence[DeviceId]) -> dict[DeviceId, GatewayId]:
        found: dict[DeviceId, GatewayId] = {}
        for some in _chunks(devices):
            values = await self._ask(b"MGET", *(self._device_key + device for device in some))
            for device, value in zip(some, values, strict=True):
                if value is not None:
                    found[device] = _holder(value[STAMP_BYTES:]).gateway
        return found

    async def succeed(self, place: bytes) -> GatewayId | None:
        ttl_ms = b"%d" % (self._timing.place_ttl_s * 1000)
        before: bytes | None = await self._ask(
            b"SET", self._place_key + place, self._gateway, b"GET", b"PX", ttl_ms
        )
        return GatewayId(before) if before else None

    async def publish(self, frames: Sequence[tuple[GatewayId, bytes]]) -> None:
        await self._ask_all([(b"PUBLISH", self._channel + to, frame) for to, frame in frames])

    async def receive(self) -> tuple[bool, bytes]:
        try:
            while True:
                kind, channel, data = await anext(self.pushes)
                if kind == b"message":
                    return channel == self._all, data
        except (*FAILURES, StopAsyncIteration) as error:
            raise _away(error) from error

    async def online(self, users: Collection[UserId]) -> set[UserId]:
        found: set[UserId] = set()
        for some in _chunks(list(users)):
            counts = await self._call(ONLINE, [self._user_key + user for user in some], [])
            found.update(user for user, count in zip(some, counts, strict=True) if count)
        return found

    async def load_limits(self, device: DeviceId) -> bytes | None:
        limits: bytes | None = await self._ask(b"GET", self._limits_key + device)
        return limits

    async def save_limits(self, device: DeviceId, limits: bytes) -> None:
        ttl_ms = b"%d" % (self._timing.limits_ttl_s * 1000)
        await self._ask(b"SET", self._limits_key + device, limits, b"PX", ttl_ms)

    def _keys(self, claim: Claim) -> tuple[bytes, bytes]:
        return self._device_key + claim.device, self._user_key + claim.user

    async def _call(self, script: str, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Any:
        return await self._ask(b"EVALSHA", self._scripts[script], b"%d" % len(keys), *keys, *arguments)

    async def _ask(self, *command: bytes) -> Any:
        [answer] = await self._ask_all([command])
        return answer

    async def _ask_all(self, commands: Sequence[tuple[bytes, ...]]) -> list[Any]:
        """Send commands together and return their answers."""
        try:
            requests = [self._connection.create_request(*command) for command in commands]
            return [await request for request in requests]
        except FAILURES as error:
            self._connection.invalidate()
            raise _away(error) from error


def _away(error: BaseException) -> BusUnavailable:
    cause = error.__cause__ or error
    return BusUnavailable(f"Redis does not answer as it should: {str(cause) or type(cause).__name__}")


def _chunks(ids: Sequence[_Id]) -> Iterator[Sequence[_Id]]:
    return (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))


def _session(session: int) -> bytes:
    return session.to_bytes(SESSION_BYTES, "big")


def _holder(value: bytes) -> Holder:
    return Holder(GatewayId(value[:GATEWAY_BYTES]), int.from_bytes(value[GATEWAY_BYTES:], "big"))
