"""What a claim of prekeys costs on a real SQL database: time, and CPU of this process, by how many claim at once.

`python -m bench.prekey_claims URL` makes a device of its own in a migrated database, uploads keys for every round
and claims them all. On PostgreSQL every claimer has a connection of its own. Run it twice: the first keys of a
device are next to each other, later ones share their pages with what was taken.
"""

from __future__ import annotations

import os
import resource
import sys
import time

import trio

from chappe.domain.accounts import Account, Device, Registration
from chappe.ids import DeviceId, UserId
from chappe.protocol.calls import OneTimeKem, OneTimeKey
from chappe.protocol.frames import PreKeys
from chappe.stores.sql.engine import open_database
from chappe.stores.sql.keys import SqlKeyStore
from chappe.stores.sql.lanes import SIZES, Lane
from chappe.stores.sql.users import SqlUserStore

CLAIMERS = (1, 10, 50)
CLAIMS = 1000
ROUNDS = 3
UPLOAD = 100


def cpu_s() -> float:
    """Return the CPU time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def registered(users: SqlUserStore) -> Registration:
    """Make an account with one device."""
    user, number = UserId(os.urandom(16)), int.from_bytes(os.urandom(4), "big")
    account = Account(user, f"bench{number}", f"+49{number}", "x", os.urandom(32), b"", 1)
    device = Device(DeviceId(os.urandom(16)), user, os.urandom(32), "", 0)
    prekeys = PreKeys(1, os.urandom(32), os.urandom(64), 0, os.urandom(1184), os.urandom(64))
    registration = Registration(account.phone, account, device, prekeys, b"", 3, 0)
    await users.create_account(registration)
    return registration


async def main(url: str) -> None:
    """Print a line for each number of claimers and each round."""
    print("claimers  round  claims/s  ms a claim  us CPU a claim  keys handed out  last resorts")
    for claimers in CLAIMERS:
        async with open_database(url, {**SIZES, Lane.KEYS: claimers}) as database:
            users, keys = SqlUserStore(database), SqlKeyStore(database)
            owner = await registered(users)
            for round_ in range(ROUNDS):
                await _one_round(keys, owner, claimers, round_)


async def _one_round(keys: SqlKeyStore, owner: Registration, claimers: int, round_: int) -> None:
    device = owner.device.device
    first = round_ * CLAIMS
    for number in range(first, first + CLAIMS, UPLOAD):
        ids = range(number, number + UPLOAD)
        await keys.add_one_time(
            device,
            [OneTimeKey(one, os.urandom(32)) for one in ids],
            [OneTimeKem(one, os.urandom(1184), os.urandom(64)) for one in ids],
        )
    taken: list[int | None] = []
    took_s: list[float] = []

    async def claim() -> None:
        for _ in range(CLAIMS // claimers):
            began = time.perf_counter()
            (bundle,) = await keys.claim(owner.account.user, [device])
            took_s.append(time.perf_counter() - began)
            taken.append(bundle.one_time.id if bundle.one_time else None)

    began, cpu = time.perf_counter(), cpu_s()
    async with trio.open_nursery() as nursery:
        for _ in range(claimers):
            nursery.start_soon(claim)
    wall_s, used_s = time.perf_counter() - began, cpu_s() - cpu
    given = {one for one in taken if one is not None}
    assert len(given) + taken.count(None) == len(taken) == CLAIMS, "a key went out twice"
    print(
        f"{claimers:8} {round_:6} {CLAIMS / wall_s:9.0f} {sum(took_s) / CLAIMS * 1e3:11.2f}"
        f" {used_s / CLAIMS * 1e6:15.0f} {len(given):16} {taken.count(None):13}"
    )


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
