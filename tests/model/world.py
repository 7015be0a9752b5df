"""Gateways, devices and an adversary in one trio run: plays a schedule, lets everything come to rest, and judges.

Two people with two devices and one, a third with one; two conversations, on different log writers where they can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

import trio
from trio.testing import MockClock

from chappe.domain.accounts import Device as Account
from chappe.domain.accounts import Direct
from chappe.gateway import pump
from chappe.ids import ConversationId, UserId

from .device import Device, Violation
from .gateway import Everything, Gateway
from .rules import Rules
from .schedule import (
    Cut,
    Fates,
    Freeze,
    Kill,
    Lag,
    Loss,
    Move,
    Outage,
    Ping,
    Reads,
    Say,
    Skew,
    Slow,
    Step,
    Wait,
)

ALICE, BOB, CAROL = (UserId(bytes([n]) * 16) for n in range(3))
OWNERS = (ALICE, BOB, ALICE, CAROL)
CONVS = {ConversationId(bytes([4]) * 16): (ALICE, BOB), ConversationId(bytes([5]) * 16): (ALICE, CAROL)}
PAGE_ROWS = 2
ALL = Rules()
REST_S = 30.0
PATIENCE_S = 600.0


class World:
    """One run."""

    def __init__(self, rules: Rules, gateways: int) -> None:
        self.devices = [Device(n, owner, self._place) for n, owner in enumerate(OWNERS)]
        accounts = {device.id: Account(device.id, device.user, device.key, "", 1) for device in self.devices}
        directs = {conv: Direct(conv, members) for conv, members in CONVS.items()}
        self._shared = Everything(rules, accounts, directs)
        self._skews = [0] * gateways
        self._gateways: list[Gateway] = []
        for device in self.devices:
            for conv, members in CONVS.items():
                if device.user in members:
                    others = {other.id for other in self.devices if other.user in members} - {device.id}
                    device.peers[conv] = sorted(others)

    async def run(self, steps: Sequence[Step]) -> None:
        """Play. Raises: `Violation`, perhaps in a group."""
        async with trio.open_nursery() as self._nursery:
            for number in range(len(self._skews)):
                self._gateways.append(self._start(number))
            for device in self.devices:
                self._nursery.start_soon(device.run)
            await trio.sleep(1)
            for step in steps:
                await self._play(step)
            await self._rest()
            self._judge()
            self._nursery.cancel_scope.cancel()

    def _start(self, number: int) -> Gateway:
        gateway = Gateway(self._shared, self._skews[number])
        self._nursery.start_soon(gateway.run)
        return gateway

    def _place(self, wanted: int) -> Gateway | None:
        """Return the gateway that a balancer would send a device to."""
        for n in range(len(self._gateways)):
            gateway = self._gateways[(wanted + n) % len(self._gateways)]
            if not gateway.is_dead:
                return gateway
        return None

    async def _play(self, step: Step) -> None:  # noqa: C901, PLR0912 - one case a step
        soon = self._nursery.start_soon
        if not isinstance(step, Wait | Say | Ping | Move | Lag | Outage):
            number = step.gateway % len(self._gateways)
            gateway = self._gateways[number]
        if isinstance(step, Say | Ping | Move | Lag):
            device = self.devices[step.device % len(self.devices)]
        match step:
            case Wait(s):
                await trio.sleep(s)
            case Say(conv=conv):
                convs = sorted(device.peers)
                device.say(convs[conv % len(convs)])
            case Ping():
                device.ping()
            case Move():
                device.move(step.gateway, step.away_s, is_clean=step.is_clean)
            case Lag():
                device.up_s, device.down_s = step.up_s, step.down_s
            case Fates():
                gateway.store.fates += step.fates
            case Reads(for_s=for_s):
                gateway.store.reads = (trio.current_time() + for_s, step)
            case Skew():
                self._skews[number] = gateway.skew_ms = step.ms
            case Kill():
                if not gateway.is_dead:
                    gateway.kill()
                    soon(self._revive, number, step.back_s)
            case Freeze():
                soon(self._freeze, gateway, step)
            case Outage(for_s):
                if not self._shared.bus.is_stopped:
                    self._shared.bus.stop()
                    soon(self._restore, for_s)
            case Cut(for_s=for_s):
                gateway.middle.cut(for_s)
            case Loss():
                gateway.middle.losses += step.frames
            case Slow():
                gateway.middle.slow = (trio.current_time() + step.for_s, step.command_s)
        await trio.lowlevel.checkpoint()

    async def _revive(self, number: int, after_s: float) -> None:
        await trio.sleep(after_s)
        self._gateways[number] = self._start(number)

    async def _freeze(self, gateway: Gateway, step: Freeze) -> None:
        for gate in gateway.gates.values():
            gate.shut()
        await trio.sleep(step.for_s)
        for name in ("devices", "bus", "store") if step.devices_first else ("bus", "devices", "store"):
            if not gateway.is_dead:
                gateway.gates[name].open()
                await trio.sleep(0.001)

    async def _restore(self, after_s: float) -> None:
        await trio.sleep(after_s)
        self._shared.bus.start()

    async def _rest(self) -> None:
        """Let all calm down, until everybody has an answer to everything; then have everybody connect once more."""
        with trio.move_on_after(PATIENCE_S) as scope:
            await trio.sleep(1)
            while any(device.unsent for device in self.devices) or self._shared.bus.is_stopped:  # noqa: ASYNC110 - a model
                await trio.sleep(1)
        if scope.cancelled_caught:
            raise Violation("somebody waits for an answer for ever")
        await trio.sleep(REST_S)
        for device in self.devices:
            device.up_s = device.down_s = 0.0
            device.move(device.gateway, 0.0, is_clean=True)
        await trio.sleep(REST_S)
        if not all(device.is_drained for device in self.devices):
            raise Violation("a device is not drained")

    def _judge(self) -> None:
        if self._shared.bugs:
            raise Violation("a task crashed:\n" + "\n".join(self._shared.bugs))
        for device in self.devices:
            last = dict.fromkeys(device.peers, b"")
            for draft in device.drafts:
                assert draft.id is not None
                name = f"message {draft.cid[:2].hex()}"
                if draft.seen is not None and draft.seen >= draft.id:
                    raise Violation(f"{name} sorts before what it answers")
                if draft.id <= last[draft.conv]:
                    raise Violation(f"{name} sorts before an earlier one of its device")
                last[draft.conv] = draft.id
                for other in self.devices:
                    if draft.conv in other.peers:
                        found = other.memory.get((device.id, draft.cid))
                        if found is None:
                            raise Violation(f"device {other.number} has lost {name}")
                        if found != draft.id:
                            raise Violation(f"device {other.number} has {name} at another place")


def play(steps: Sequence[Step], rules: Rules = ALL, gateways: int = 2) -> None:
    """Play a schedule from beginning to end. Raises: `Violation`."""
    try:
        with patch.object(pump, "PAGE_ROWS", PAGE_ROWS):
            trio.run(World(rules, gateways).run, steps, clock=MockClock(autojump_threshold=0))
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def broken(steps: Sequence[Step], rules: Rules = ALL) -> str | None:
    """Return what a schedule breaks, if anything."""
    try:
        play(steps, rules)
    except Violation as violation:
        return violation.text
    return None
