"""Contacts, one-to-one conversations, settings and last seen by SQL: the other half of `users.py`."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ...domain.accounts import ContactRow, Direct, Person
from ...errors import Missing
from ...ids import ConversationId, UserId
from ...protocol.calls import Privacy, Settings
from .accounts import folded
from .engine import Database
from .lanes import Lane
from .schema import accounts, contacts, directs, people


class SqlPeople:
    """Whom people know and what they set, in a `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_contact(self, contact: ContactRow, most: int) -> bool:
        """Add a contact, or replace it; return False, changing nothing, when a new one would be more than `most`.

        Raises: `Missing` when one of the two accounts is not there.
        """
        of_owner = contacts.c.owner == contact.owner
        values = {"name": contact.name, "phone": contact.phone}

        def work(connection: Connection) -> bool:
            # One after the other: of two that add at the same time, the second one counts what the first one added.
            connection.execute(
                select(people.c.user).where(people.c.user == contact.owner).with_for_update()
            ).close()
            changed = update(contacts).where(of_owner, contacts.c.user == contact.user).values(values)
            if connection.execute(changed).rowcount:
                return True
            if connection.execute(select(func.count()).where(of_owner)).scalar_one() >= most:
                return False
            connection.execute(insert(contacts).values(owner=contact.owner, user=contact.user, **values))
            return True

        try:
            return await self._database.write(work, Lane.SETTINGS)
        except IntegrityError:
            raise Missing("There is no such account to be a contact.") from None

    async def remove_contact(self, owner: UserId, user: UserId) -> None:
        """Remove a contact; one that is not there is no error."""
        statement = delete(contacts).where(contacts.c.owner == owner, contacts.c.user == user)
        await self._database.write(lambda connection: connection.execute(statement).close(), Lane.SETTINGS)

    async def contacts(self, owner: UserId) -> list[ContactRow]:
        """Return somebody's contacts, by name; those without one by their user name."""
        statement = (
            select(contacts.c.owner, contacts.c.user, accounts.c.username, contacts.c.name, contacts.c.phone)
            .join(accounts, accounts.c.user == contacts.c.user)
            .where(contacts.c.owner == owner)
        )
        rows = await self._database.read(
            lambda connection: [ContactRow(*row) for row in connection.execute(statement)], Lane.SETTINGS
        )
        return sorted(rows, key=lambda row: (folded(row.name or row.username), row.user))

    async def who_has_contact(self, user: UserId, owners: Collection[UserId]) -> set[UserId]:
        """Return which of `owners` have `user` among their contacts."""
        statement = select(contacts.c.owner).where(contacts.c.user == user, contacts.c.owner.in_(owners))
        return await self._database.read(
            lambda connection: {UserId(owner) for owner in connection.execute(statement).scalars()},
            Lane.SETTINGS,
        )

    async def put_direct(self, direct: Direct) -> None:
        """Remember a one-to-one conversation; doing so twice is no error."""
        one, other = direct.members
        statement = self._database.insert(directs).values(conv=direct.conv, one=one, other=other)
        await self._database.write(
            lambda connection: connection.execute(statement.on_conflict_do_nothing()).close(), Lane.DIRECTORY
        )

    async def direct(self, conv: ConversationId) -> Direct | None:
        """Return a one-to-one conversation."""

        def work(connection: Connection) -> Direct | None:
            row = connection.execute(
                select(directs.c.one, directs.c.other).where(directs.c.conv == conv)
            ).one_or_none()
            return None if row is None else Direct(conv, (row.one, row.other))

        return await self._database.read(work, Lane.DIRECTORY)

    async def person(self, user: UserId) -> Person | None:
        """Return settings and last seen."""
        return (await self.people([user])).get(user)

    async def people(self, users: Collection[UserId]) -> dict[UserId, Person]:
        """Return settings and last seen of several accounts; unknown ones are left out."""
        columns = people.c.user, people.c.online, people.c.last_seen, people.c.last_seen_ms
        statement = select(*columns).where(people.c.user.in_(users))

        def work(connection: Connection) -> dict[UserId, Person]:
            return {
                user: Person(user, Settings(Privacy(online), Privacy(last_seen)), last_seen_ms)
                for user, online, last_seen, last_seen_ms in connection.execute(statement)
            }

        return await self._database.read(work, Lane.SETTINGS)

    async def put_settings(self, user: UserId, settings: Settings) -> None:
        """Replace somebody's settings."""
        statement = (
            update(people)
            .where(people.c.user == user)
            .values(online=settings.online.value, last_seen=settings.last_seen.value)
        )
        await self._database.write(lambda connection: connection.execute(statement).close(), Lane.SETTINGS)

    async def put_last_seen(self, seen: dict[UserId, int]) -> None:
        """Store last-seen times (UTC milliseconds) of several accounts at once; they only grow."""

        def work(connection: Connection) -> None:
            for user, at_ms in sorted(seen.items()):  # one order everywhere: no deadlock
                older = or_(people.c.last_seen_ms.is_(None), people.c.last_seen_ms < at_ms)
                connection.execute(
                    update(people).where(people.c.user == user, older).values(last_seen_ms=at_ms)
                )

        if seen:
            await self._database.write(work, Lane.SETTINGS)
