"""A small, whole store to damage: two people and what they said, written through the real stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from chappe.domain.accounts import Direct
from chappe.domain.messages import StoredMessage, Watermark
from chappe.ids import ConversationId, DeviceId, HybridClock, UserId, direct_conversation
from chappe.ports import MessageStore
from chappe.protocol.frames import Kind
from chappe.stores.sql.engine import open_database
from chappe.stores.sql.keys import SqlKeyStore
from chappe.stores.sql.users import SqlUserStore
from chappe.stores.survey.check import Check
from chappe.stores.survey.findings import Findings
from chappe.stores.survey.rules import Fault, Limits
from chappe.stores.survey.sources import Source, Users
from tests.contracts import samples

HOUR_MS, DAY_MS = 3_600_000, 24 * 3_600_000
NOW = 1_800_000_000_000
LONG = b"long" * 500


@dataclass
class World:
    """`revoked` is a device that was linked and is not any more; `said` is in the order of ids."""

    ann: UserId
    ben: UserId
    laptop: DeviceId
    phone: DeviceId
    revoked: DeviceId
    conv: ConversationId
    said: list[StoredMessage] = field(default_factory=list)

    async def talk(self, messages: MessageStore) -> None:
        """Store some messages of all kinds, from the last three days."""
        at_ms = NOW - 3 * DAY_MS
        clock = HybridClock(lambda: at_ms, node=1)
        for n in range(60):
            at_ms += HOUR_MS
            kind = Kind.CONTROL if n % 10 == 9 else Kind.MESSAGE
            body = LONG if n % 7 == 0 else b"short"
            self.said.append(
                samples.message(self.conv, self.laptop, self.phone, kind=kind, body=body, at=clock.next())
            )
        marks = [Watermark(self.conv, self.ben, self.said[5].id, self.said[3].id)]
        await messages.append(self.said[:40], marks)
        await messages.append(self.said[40:], [])


async def populate(url: str) -> World:
    """Register two people, one of them with a device that was revoked, and let them know each other."""
    async with open_database(url) as database:
        users, keys = SqlUserStore(database), SqlKeyStore(database)
        ann, ben = samples.registration(), samples.registration()
        for one in (ann, ben):
            await users.create_account(one)
            await keys.add_one_time(one.device.device, samples.one_time(1, 2, 3), samples.one_time_kem(1))
        user, third = ben.account.user, samples.pending(ben.account.user, expires_ms=NOW)
        await users.put_pending(third)
        await users.replace_device_list(user, b"2", 2, now_ms=0, link=(third.device, b"sealed"), revoke=[])
        await keys.add_one_time(third.device, samples.one_time(1), [])
        await users.replace_device_list(user, b"3", 3, now_ms=0, link=None, revoke=[third.device])
        conv = direct_conversation(ann.account.user, user)
        await users.put_direct(Direct(conv, (ann.account.user, user)))
        return World(ann.account.user, user, ann.device.device, ben.device.device, third.device, conv)


def checked(
    source: Source, users: Users, *, log_days: int = 0, repair: bool = False, **limits: int
) -> Findings:
    """Check a store as if it were `NOW`."""
    least = Limits(
        5_500, 30, log_days, limits.get("partition_bytes", 2**26), limits.get("partition_rows", 400_000)
    )
    told: list[tuple[str, float]] = []
    found = Check(least, lambda: NOW, None, repair).run(
        source, users, lambda what, done, rows: told.append((what, done))
    )
    for table in ("inbox", "chatlog", "receipts"):
        done = [share for what, share in told if what == table]
        assert done == sorted(done)
        assert done[-1] == 1.0
    return found


def counts(found: Findings) -> dict[Fault, int]:
    return {fault: count for fault, count in found.counts.items() if count}


def examples(found: Findings, fault: Fault, name: str) -> Sequence[object]:
    return [example[name] for example in found.examples[fault]]
