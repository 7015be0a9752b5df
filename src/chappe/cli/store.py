"""`store`: how much the stores of a node hold, whether all of it is as it should be, and copies of it.

What is counted and what is wrong is decided in `stores/survey`, how copies are made in `stores/backup.py`; here it is
asked for and printed.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import CommandError, ExitCode
from .output import Bar, emit, iso, say
from .profile import Json

if TYPE_CHECKING:
    from ..settings import Settings
    from ..stores.survey.findings import Findings
    from ..stores.survey.sources import Source
    from ..stores.survey.users import UserSurvey

app = typer.Typer(
    help="What a node's stores hold, whether it is all there, and backups.", no_args_is_help=True
)

Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", envvar="CHAPPE_CONFIG", help="The settings that `serve` would use."),
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", metavar="ROWS", min=1, help="Read no more than so many rows a second."),
]


@app.command()
def stats(
    config: Config = None,
    scan: Annotated[
        bool,
        typer.Option("--scan", help="Read everything of Cassandra, too, instead of asking its nodes."),
    ] = False,
    rate: Rate = None,
    json: Json = False,
) -> None:
    """Print how much the stores hold: rows, bytes, the largest partitions, how it is spread.

    A SQLite file is read through, so its figures are exact. A Cassandra cluster
    is asked what its nodes know, which is what they have flushed, in whole MiB;
    --scan reads it all. Bytes of messages are those of the values, without what
    the store adds; those of accounts are on disk, indexes included. Nodes may be
    running meanwhile. Only ids are printed.

    Examples:
        chappe store stats --config config/chappe.toml
        chappe store stats --scan --rate 20000 --json
    """
    with _opened(config) as (_, source, users), Bar() as bar:
        found = {
            "messages": {"engine": source.engine, **_dated(source.summary(rate, bar.at, scan=scan))},
            "users": users.stats(),
        }
    if json:
        emit(found)
        return
    for store, values in found.items():
        say(f"{store}:")
        for line in _lines(values):
            say(f"  {line}")


@app.command()
def check(
    config: Config = None,
    rate: Rate = None,
    partition_mib: Annotated[
        int, typer.Option(metavar="MIB", min=1, help="Report partitions of more bytes than this.")
    ] = 64,
    partition_rows: Annotated[
        int, typer.Option(metavar="ROWS", min=1, help="Report partitions of more rows than this.")
    ] = 400_000,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Enter what the indexes of partitions lack; nothing else is changed."),
    ] = False,
    json: Json = False,
) -> None:
    """Read through all stores of a node and report what is not as it should be.

    Rows without what they belong to, rows in a wrong partition, partitions that
    an index lacks or that are too large, and rows kept for too long. Rows that
    are still being written are counted apart. Nodes may be running meanwhile;
    --rate spares them. Ends with 0 when nothing is broken or all was repaired,
    and with 1 when something is. Only ids are printed.

    Examples:
        chappe store check --config config/chappe.toml
        chappe store check --rate 5000 --json
    """
    from ..stores.survey.check import Check
    from ..stores.survey.rules import Limits

    with _opened(config) as (settings, source, users), Bar() as bar:
        stores = settings.stores
        limits = Limits(
            settings.timing.late_ms,
            stores.inbox_days,
            stores.log_days,
            partition_mib * 1024 * 1024,
            partition_rows,
        )
        found = Check(limits, lambda: time.time_ns() // 1_000_000, rate, repair).run(source, users, bar.at)
    if json:
        emit(found.to_dict())
    else:
        _print(found)
    if not found.is_clean:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def backup(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to put the copies; it must not be there yet.")
    ],
    config: Config = None,
    json: Json = False,
) -> None:
    """Copy the stores that are on SQLite, while the node goes on.

    Each copy is the database as it was at one moment, checked and on disk.
    FOLDER appears when everything in it is complete: what was interrupted leaves
    nothing. It holds what the data folder holds and is as secret. Of stores on
    PostgreSQL and Cassandra nothing is copied: they have tools of their own.
    docs/backup.md says how to use those, and how to restore.

    Examples:
        chappe store backup /backup/2026-11-26 --config config/chappe.toml
    """
    from ..settings import load
    from ..stores.backup import back_up, sqlite_files

    stores = load(config).stores
    with _reaching(), _ending_cleanly(), Bar("pages") as bar:
        copies = back_up(stores, folder, bar.at)
    left_out = [store for store in ("messages", "users") if store not in sqlite_files(stores)]
    if json:
        files = [{"store": one.store, "file": str(one.file), "bytes": one.size_bytes} for one in copies]
        emit({"files": files, "left_out": left_out})
        return
    for one in copies:
        say(f"{one.store}: {one.size_bytes:,} bytes in {one.file}")
    for store in left_out:
        say(f"{store}: not on SQLite; back it up with its own tools, see docs/backup.md")


@app.command()
def restored(config: Config = None, json: Json = False) -> None:
    """Tell the clients that stores were brought back to an earlier point.

    Run it after every restore of any store, and after `migrate` if that is
    needed, before the first node starts. It drops the one-time prekeys, some of
    which were used since the backup, and has every client give back at its next
    sign-in what the stores have forgotten: keys, its device list, contacts,
    conversations and how far they were read.

    Examples:
        chappe store restored --config config/chappe.toml
    """
    from ..settings import load
    from ..stores import backup as backups

    with _reaching():
        done = backups.restored(load(config).stores, time.time_ns() // 1_000_000)
    if json:
        emit({"restored_at": iso(done.at_ms), "dropped_keys": done.dropped_keys})
    else:
        say(
            f"clients will be told of a restore at {iso(done.at_ms)}; {done.dropped_keys:,} one-time keys dropped"
        )


@contextmanager
def _ending_cleanly() -> Iterator[None]:
    """Have SIGTERM end what is inside as Ctrl-C does, so that it can clean up."""

    def end(*_: object) -> None:
        raise CommandError("Ended by SIGTERM.", ExitCode.TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _reaching() -> Iterator[None]:
    """A store that is away ends with another code than one in which something was found."""
    from ..errors import StoreUnavailable

    try:
        yield
    except StoreUnavailable as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from error


@contextmanager
def _opened(config: Path | None) -> Iterator[tuple[Settings, Source, UserSurvey]]:
    """Open the stores."""
    from ..settings import load
    from ..stores.survey.opening import open_stores

    settings = load(config)
    with _reaching(), open_stores(settings.stores, settings.cassandra) as (source, users):
        yield settings, source, users


def _dated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return it with times as all commands print them, under names without their unit."""
    return {
        name.removesuffix("_ms"): iso(value) if name.endswith("_ms") else value
        for name, value in values.items()
    }


def _print(found: Findings) -> None:
    say("read: " + ", ".join(f"{count:,} rows of {table}" for table, count in found.rows.items()))
    for fault, count in found.counts.items():
        repaired = f", {found.repaired[fault]:,} repaired" if found.repaired[fault] else ""
        say(f"{'broken' if fault.is_broken else 'note':7} {count:,} {fault.words}{repaired}")
        for example in found.examples[fault]:
            say(f"{'':10}" + " ".join(f"{name}={value}" for name, value in example.items()))
    say("clean" if found.is_clean else "not clean")


def _lines(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, list):
            yield f"{name}:"
            yield from (f"  {_fields(one)}" for one in value)
        elif isinstance(value, Mapping) and name == "spreads":
            yield f"{name}:"
            yield from (f"  {one:28} {_fields(spread)}" for one, spread in value.items())
        else:
            yield f"{name}: {_shown(value)}"


def _fields(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_shown(value)}" for name, value in values.items() if value is not None)


def _shown(value: Any) -> str:
    return _fields(value) if isinstance(value, Mapping) else str(value)
