"""`migrate`: brings the databases of a node to the schema that this Chappe needs.

What a migration may do, and why nodes of the release before keep working, is said in `stores/sql/migrations`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import ExitCode
from .output import Progress, emit, say
from .profile import Json

if TYPE_CHECKING:
    from ..stores.migrate import Migration, Report


def migrate(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", envvar="CHAPPE_CONFIG", help="The settings that `serve` would use."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; end with 1 when one is missing.")
    ] = False,
    to: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, help="Stop at this schema of accounts and keys.")
    ] = None,
    json: Json = False,
) -> None:
    """Bring the stores to the schema that this Chappe needs.

    That is the database of accounts and keys and, when the settings name
    Cassandra, the keyspace of the messages, which is made if need be and
    compacted as `stores.log_days` asks for.
    Run it once, before the first node of a new release starts; nodes of the
    release before go on meanwhile. What was applied stays applied: doing it
    again changes nothing, and there is no way back but a backup. Two at once
    wait for each other. SQLite files are also brought forward by `serve`.

    Examples:
        chappe migrate --config config/chappe.toml
        chappe migrate --check --json
    """
    from ..settings import load
    from ..stores.migrate import migrate_messages, migrate_users

    settings = load(config)
    stores = settings.stores
    with Progress("Looking" if check else "Migrating"):
        reports = [migrate_users(stores.users_url, stores.data, to, check=check)]
        if stores.messages == "cassandra":
            reports.append(migrate_messages(settings.cassandra, stores.log_days, check=check))
    if json:
        emit({"stores": [_report(report) for report in reports]})
    else:
        for report in reports:
            _say(report)
    if check and any(report.missing for report in reports):
        raise typer.Exit(ExitCode.FAILED)


def _listed(report: Report) -> dict[str, list[Migration]]:
    return {"applied": report.applied, "missing": report.missing}


def _report(report: Report) -> dict[str, object]:
    steps = {word: [_fields(one) for one in found] for word, found in _listed(report).items()}
    head = {"store": report.store, "engine": report.engine, "schema": report.schema}
    return {**head, **steps, "adjusted": report.adjusted}


def _say(report: Report) -> None:
    counts = ", ".join(f"{len(found)} {word}" for word, found in _listed(report).items())
    say(f"{report.store} ({report.engine}): schema {report.schema}, {counts}")
    for word, found in _listed(report).items():
        for one in found:
            say(f"  {word}  {one.number:04}  {one.title}{' (contract)' if one.is_contract else ''}")
    for change in report.adjusted:
        say(f"  adjusted  {change}")


def _fields(migration: Migration) -> dict[str, object]:
    return {"number": migration.number, "title": migration.title, "contract": migration.is_contract}
