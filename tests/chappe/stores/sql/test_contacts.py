"""A contact list on a real PostgreSQL, added to over many connections at once."""

from __future__ import annotations

import threading

import trio
from sqlalchemy import Connection, text

from chappe.domain.accounts import ContactRow
from chappe.stores.sql.engine import migrate_database, open_database
from chappe.stores.sql.lanes import SIZES, Lane
from chappe.stores.sql.users import SqlUserStore
from tests.contracts import samples

AT_ONCE = 20
MOST = 3


async def test_a_list_does_not_outgrow_its_limit_over_many_connections(postgres_url: str) -> None:
    await trio.to_thread.run_sync(migrate_database, postgres_url)
    together = threading.Barrier(AT_ONCE)

    def meet(connection: Connection) -> None:
        connection.execute(text("SELECT 1")).close()
        together.wait(20)

    async with open_database(postgres_url, {**SIZES, Lane.SETTINGS: AT_ONCE}) as database:
        users = SqlUserStore(database)
        owner, *others = [samples.registration() for _ in range(1 + AT_ONCE)]
        for registration in (owner, *others):
            await users.create_account(registration)
        added: list[bool] = []

        async def add(row: ContactRow) -> None:
            await database.read(meet, Lane.SETTINGS)  # every connection is open before the race
            added.append(await users.put_contact(row, MOST))

        async with trio.open_nursery() as nursery:
            for other in others:
                account = other.account
                nursery.start_soon(
                    add, ContactRow(owner.account.user, account.user, account.username, "", None)
                )
        assert len(await users.contacts(owner.account.user)) == sum(added) == MOST
