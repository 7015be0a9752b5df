"""What `doctor` looks at. Each check is a function that returns findings and never raises for what it looks
for.

Checks change nothing but a probe file that they remove again. They do not sign in: a doctor that needs a
passphrase is not run when it is needed most.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

import trio

from ..client.dial import dial
from ..errors import ChappeError, SettingsError
from ..protocol.frames import VERSION
from ..settings import Settings, load
from ..stores.folder import LOCK_FILE
from .output import visible
from .profile import DEFAULT_SERVER, Profile

MIB: Final = 1024 * 1024
LEAST_FREE_BYTES: Final = 100 * MIB
GOOD_FREE_BYTES: Final = 2048 * MIB
FILES_BESIDE_CONNECTIONS: Final = 256
WATCH_CLOCK_S: Final = 0.2
MOST_CLOCK_STEP_S: Final = 0.05
MOST_CLOCK_SKEW_S: Final = 2.0  # HTTP dates have whole seconds
SLOW_SYNC_S: Final = 0.05
ANSWER_WITHIN_S: Final = 3.0
OLDEST_SQLITE: Final = (3, 35, 0)  # DELETE .. RETURNING


class Level(Enum):
    """How bad a finding is."""

    FINE = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` says what to do, and is empty when all is fine."""

    check: str
    level: Level
    found: str
    advice: str = ""


def examine(config: Path | None, profile: Profile) -> list[Finding]:
    """Run every check; `config` is what `serve` would be given, `profile` what a client would."""
    findings = list(_programs())
    try:
        settings = load(config)
        findings.append(
            Finding("settings", Level.FINE, f"{config or 'defaults and environment'} can be used")
        )
    except SettingsError as error:
        findings.append(Finding("settings", Level.PROBLEM, str(error), "Correct it, then run this again."))
        settings = None
    findings += _clock()
    if settings is not None:
        findings += _files(settings)
        findings += _folder("data", settings.stores.data)
        findings += _server_clock(settings)
    findings += _folder("profile", profile.folder)
    findings += trio.run(_server, profile)
    return findings


def _programs() -> Iterator[Finding]:
    found = f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        yield Finding(
            "programs", Level.PROBLEM, found, "Use a Python that is built with SQLite 3.35 or later."
        )
    else:
        yield Finding("programs", Level.FINE, found)


def _files(settings: Settings) -> Iterator[Finding]:
    needed = settings.limits.connections + FILES_BESIDE_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        yield Finding("files", Level.FINE, f"{_files_word(soft)} may be open, {needed} are needed at most")
        return
    is_capped = hard != resource.RLIM_INFINITY and hard < needed
    raise_hard = f" (as root: the hard limit is {hard})" if is_capped else ""
    yield Finding(
        "files",
        Level.WARNING,
        f"{soft} files may be open; limits.connections lets {settings.limits.connections} clients in",
        f"Run `ulimit -n {needed}` before `chappe serve`, or LimitNOFILE={needed} in its systemd unit"
        f"{raise_hard}, or set limits.connections to {max(1, soft - FILES_BESIDE_CONNECTIONS)}.",
    )


def _files_word(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else str(limit)


def _clock() -> Iterator[Finding]:
    wall, steady = time.time(), time.monotonic()
    time.sleep(WATCH_CLOCK_S)
    step = (time.time() - wall) - (time.monotonic() - steady)
    advice = "Keep it right with chrony or systemd-timesyncd: message ids come from the clock."
    if abs(step) > MOST_CLOCK_STEP_S:
        yield Finding("clock", Level.PROBLEM, f"it jumped by {step:+.3f} s while being watched", advice)
    else:
        yield Finding("clock", Level.FINE, f"it runs steadily ({step * 1000:+.1f} ms in {WATCH_CLOCK_S} s)")


def _server_clock(settings: Settings) -> Iterator[Finding]:
    connection = HTTPConnection(settings.http.host, settings.http.port, timeout=ANSWER_WITHIN_S)
    where = f"http://{settings.http.host}:{settings.http.port}/readyz"
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read().decode(errors="replace").strip()
        skew = time.time() - parsedate_to_datetime(response.headers["Date"]).timestamp() - 0.5
    except (OSError, HTTPException, TypeError, ValueError) as error:
        yield Finding(
            "node",
            Level.WARNING,
            f"nothing usable answers at {where}: {_reason(error)}",
            "Is `chappe serve` running?",
        )
        return
    finally:
        connection.close()
    if response.status == 200:
        yield Finding("node", Level.FINE, f"{where} says ready")
    else:
        yield Finding(
            "node", Level.PROBLEM, f"{where} says {body[:200]!r}", "Look at the log of `chappe serve`."
        )
    if abs(skew) > MOST_CLOCK_SKEW_S:
        yield Finding(
            "clock",
            Level.PROBLEM,
            f"{skew:+.0f} s away from the node's",
            "Set both by the same time servers.",
        )
    else:
        yield Finding("clock", Level.FINE, "it agrees with the node's to the second")


def _folder(check: str, folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():
        there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
            yield Finding(check, Level.FINE, f"{folder} is not there yet and can be made")
        else:
            advice = f"Choose another, or see to it that {there} is a folder that you can write."
            yield Finding(check, Level.PROBLEM, f"{folder} cannot be made", advice)
        return
    yield _written(check, folder)
    yield _lock(check, folder)
    free = shutil.disk_usage(folder).free
    level = (
        Level.PROBLEM if free < LEAST_FREE_BYTES else Level.WARNING if free < GOOD_FREE_BYTES else Level.FINE
    )
    yield Finding(
        check,
        level,
        f"{free // MIB} MiB free on the disk of {folder}",
        "" if level is Level.FINE else "Free some space: a full disk refuses every message.",
    )


def _written(check: str, folder: Path) -> Finding:
    probe = folder / f".doctor-{os.getpid()}"
    try:
        fd = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(fd, b"chappe doctor")
            began = time.monotonic()
            os.fsync(fd)
            took = time.monotonic() - began
        finally:
            os.close(fd)
            probe.unlink()
    except OSError as error:
        return Finding(
            check,
            Level.PROBLEM,
            f"{folder} cannot be written: {_reason(error)}",
            "Give the user that runs Chappe write access.",
        )
    found = f"{folder} can be written, a sync takes {took * 1000:.1f} ms"
    if folder.stat().st_mode & 0o077:
        return Finding(
            check, Level.WARNING, f"{found}, but others may look into it", f"Run `chmod 700 {folder}`."
        )
    if took > SLOW_SYNC_S:
        return Finding(check, Level.WARNING, found, "Every message waits for a sync: use a faster disk.")
    return Finding(check, Level.FINE, found)


def _lock(check: str, folder: Path) -> Finding:
    try:
        fd = os.open(folder / LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:
        return Finding(check, Level.FINE, "no process has it open")
    except OSError as error:
        return Finding(
            check,
            Level.PROBLEM,
            f"its lock cannot be opened: {_reason(error)}",
            f"Look at the owner of {folder}.",
        )
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        owner = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
        return Finding(check, Level.FINE, f"process {owner} has it open, and only one at a time can")
    finally:
        os.close(fd)
    return Finding(check, Level.FINE, "no process has it open")


async def _server(profile: Profile) -> list[Finding]:
    where = profile.server or DEFAULT_SERVER
    try:
        with trio.fail_after(ANSWER_WITHIN_S):
            async with dial(where, profile.ssl_context()) as wire:
                challenge = await wire.challenge()
        if VERSION in challenge.versions:
            return [Finding("server", Level.FINE, f"{where} answers as {visible(challenge.server)!r}")]
        problem = f"it does not offer version {VERSION} of the protocol: update the older side."
    except trio.TooSlowError:
        problem = f"no answer within {ANSWER_WITHIN_S:g} s."
    except ChappeError as error:
        problem = str(error)
    advice = "Start it, or check --server, --ca, the network and the firewall."
    return [Finding("server", Level.WARNING, f"{where} cannot be used: {problem}", advice)]


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
