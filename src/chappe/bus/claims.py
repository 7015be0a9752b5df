"""Which devices are connected to this gateway, and keeping the broker told of it.

The newest claim of a device wins, and the broker alone says which one that is. Whoever learns that a claim has lost
sees to its connection: the winner's gateway tells the loser's, and a gateway finds out by itself when it next refreshes
its claims, should that word be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import trio

from ..ids import DeviceId, UserId
from .broker import Claim, Holder, Link, Outcome
from .values import GatewayId

AT_ONCE = 256


class Claims:
    """The claims of one gateway. `on_loser` hears whose session is to be closed, here or elsewhere."""

    def __init__(self, gateway: GatewayId, on_loser: Callable[[DeviceId, Holder], None]) -> None:
        self._gateway = gateway
        self._on_loser = on_loser
        self._claims: dict[DeviceId, Claim] = {}

    def __len__(self) -> int:
        return len(self._claims)

    def add(self, device: DeviceId, user: UserId, session: int) -> Claim:
        """Make a claim. The broker does not know of it yet; an older session here has lost already."""
        older = self._claims.get(device)
        claim = self._claims[device] = Claim(device, user, session, trio.current_time())
        if older is not None:
            self._on_loser(device, Holder(self._gateway, older.session))
        return claim

    def drop(self, device: DeviceId, session: int) -> Claim | None:
        """Take out the claim of this session, if it still has one."""
        claim = self._claims.get(device)
        if claim is None or claim.session != session:
            return None
        return self._claims.pop(device)

    def is_current(self, claim: Claim) -> bool:
        """Whether a claim was neither dropped nor replaced."""
        return self._claims.get(claim.device) is claim

    async def enter(self, link: Link, claim: Claim) -> None:
        """Enter a claim that has just been made. Raises: `BusUnavailable`."""
        [outcome] = await link.register([claim], is_new=True)
        self._judge(claim, outcome)

    async def enter_all(self, link: Link) -> None:
        """Enter every claim again: the link is new. Raises: `BusUnavailable`."""
        for batch in self._batches():
            await self._renew(link, batch)

    async def refresh(self, link: Link, every_s: float) -> None:
        """Keep the claims from expiring, a few at a time, all within `every_s`. Raises: `BusUnavailable`."""
        while True:
            batches = list(self._batches()) or [[]]
            for batch in batches:
                await trio.sleep(every_s / len(batches))
                await self._renew(link, batch)

    def _batches(self) -> Iterator[list[Claim]]:
        remaining = iter(list(self._claims.values()))
        while batch := list(islice(remaining, AT_ONCE)):
            yield batch

    async def _renew(self, link: Link, claims: list[Claim]) -> None:
        # One dropped meanwhile must not be entered again: nothing may wait between this line and the command.
        current = [claim for claim in claims if self.is_current(claim)]
        if current:
            for claim, outcome in zip(current, await link.register(current, is_new=False), strict=True):
                self._judge(claim, outcome)

    def _judge(self, claim: Claim, outcome: Outcome) -> None:
        claim.stamp = outcome.stamp
        if outcome.stamp:
            if outcome.other is not None and outcome.other.gateway != self._gateway:
                self._on_loser(claim.device, outcome.other)
        elif self.is_current(claim):
            self._on_loser(claim.device, Holder(self._gateway, claim.session))
