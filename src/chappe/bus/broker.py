"""What a bus needs of the middle that gateways meet in: a place for claims, and channels.

`memory.py` and `redis.py` fulfil it; everything that both would do alike is in `bus.py`. A link that has failed once
has ended: every later use raises `BusUnavailable`, and the bus opens a new one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..ids import DeviceId, UserId
from .values import GatewayId


@dataclass(slots=True, eq=False)
class Claim:
    """A device is connected here. `stamp` is its place in the order of claims, given by the middle (0: not yet).

    `at_s` is `trio.current_time()` of the claim: one that the middle hears of late must not look newer than it is.
    """

    device: DeviceId
    user: UserId
    session: int
    at_s: float
    stamp: int = 0


class Holder(NamedTuple):
    """Whose a device is: a gateway, and the session there."""

    gateway: GatewayId
    session: int


class Outcome(NamedTuple):
    """What became of a claim: its stamp, or 0 when `other` has a newer one; else `other` is whom it replaced."""

    stamp: int
    other: Holder | None


class Link(Protocol):
    """A connection to the middle, subscribed. Every method raises `BusUnavailable`; commands within `command_s`."""

    async def register(self, claims: Sequence[Claim], *, is_new: bool) -> list[Outcome]:
        """Enter claims, or keep them from expiring, each in one step.

        `is_new`: they are newer than whatever is there. Otherwise the greater stamp wins; one without takes the time
        at which it was made.
        """

    async def release(self, claims: Sequence[Claim]) -> None:
        """Remove claims, those that are still this gateway's and session's."""

    async def lookup(self, devices: Sequence[DeviceId]) -> dict[DeviceId, GatewayId]:
        """Return where devices are; those that are nowhere are left out."""

    async def succeed(self, place: bytes) -> GatewayId | None:
        """Take a place for this gateway; return who had it before."""

    async def publish(self, frames: Sequence[tuple[GatewayId, bytes]]) -> None:
        """Send frames to the channels of gateways, or of everybody, in this order."""

    async def receive(self) -> tuple[bool, bytes]:
        """Return the next frame, and whether it came on the channel of everybody. Cancelled: do not call it again."""

    async def online(self, users: Collection[UserId]) -> set[UserId]:
        """Return those who have a device connected anywhere."""

    async def load_limits(self, device: DeviceId) -> bytes | None:
        """Return what was saved for a device, if that is not too long ago."""

    async def save_limits(self, device: DeviceId, limits: bytes) -> None:
        """Keep some bytes for a device."""


class Broker(Protocol):
    """The middle itself."""

    @property
    def is_alone(self) -> bool:
        """Whether nobody but one bus is there and can be, so that telling others can be left out."""

    def open(self, gateway: GatewayId) -> AbstractAsyncContextManager[Link]:
        """Connect and subscribe; entered and left by the same task.

        Raises: `BusUnavailable`, perhaps inside an exception group.
        """
