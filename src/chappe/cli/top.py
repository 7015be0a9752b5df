"""`top`: a running node's supervision tree in the terminal, drawn again and again.

It asks the node's operators' port, as a person with a browser would, and needs no profile. How the tree looks is in
`picture.py`. On anything but a terminal it prints one picture and ends.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import SplitResult, urlsplit

import typer

from .exits import CommandError, ExitCode
from .output import emit, say
from .profile import Json

if TYPE_CHECKING:
    import trio

    from .picture import Frame, TreeNode

ANSWER_WITHIN_S: Final = 5.0
MOST_BYTES: Final = 16 * 1024 * 1024
MOST_CHILDREN: Final = 1_000
"""What the node itself allows."""

_ENTER: Final = "\x1b[?1049h\x1b[?25l"
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_REST_OF_LINE: Final = "\x1b[K"
_REST_OF_SCREEN: Final = "\x1b[J"
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not listened on


def top(
    admin: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The node's operators' port, as in http://127.0.0.1:7401."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="CHAPPE_CONFIG",
            help="The settings that `serve` was given; without --admin they say where.",
        ),
    ] = None,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=3600.0, help="Wait so long between two pictures.")
    ] = 1.0,
    most: Annotated[
        int, typer.Option(min=1, max=MOST_CHILDREN, help="Show no more children of one supervisor.")
    ] = 20,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    json: Json = False,
) -> None:
    """Watch a running node's supervision tree: what runs, what was restarted, what is stuck.

    Of a supervisor's many children some are shown, those in trouble before others.
    HEADROOM is how many more restarts a supervisor allows before it gives up. `q` or
    Ctrl-C ends it. With --json, --once, or when its output is no terminal, it prints
    the tree once.

    Examples:
        chappe top
        chappe top --admin http://127.0.0.1:7401 --interval 5
        chappe top --json
    """
    from .running import run

    address = _address(admin, config)
    if json:
        import msgspec

        emit(msgspec.to_builtins(run(lambda: fetch(address, most))))
    elif once or not sys.stdout.isatty():
        from .picture import picture

        columns = _size()[0] if sys.stdout.isatty() else None
        tree = run(lambda: fetch(address, most))
        for line in picture(tree, [_heading(tree, address)], _frame(columns, None)):
            say(line)
    else:
        run(lambda: _watch(address, most, interval))


def _address(admin: str | None, config: Path | None) -> str:
    """Return where to ask, as scheme, host and port.

    Raises: `CommandError`, `SettingsError`.
    """
    if admin is None:
        from ..settings import load

        http = load(config).http
        if http.port == 0:
            raise CommandError("The settings let the node choose its port: give --admin.", ExitCode.USAGE)
        host = _EVERYWHERE.get(http.host, http.host)
        return f"http://[{host}]:{http.port}" if ":" in host else f"http://{host}:{http.port}"
    text = admin if "://" in admin else f"http://{admin}"
    parts = _split(text)
    if parts is None or parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise CommandError(f"{admin} is no address; write http://host:port.", ExitCode.USAGE)
    return f"http://{parts.netloc}"


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        is_port = parts.port != 0
    except ValueError:
        return None
    return parts if is_port else None


async def fetch(address: str, most: int) -> TreeNode:
    """Ask a node for its tree, of each supervisor at most so many children.

    Raises: `CommandError`, in one sentence. Cancelled: the question is left behind.
    """
    import msgspec
    import trio

    from .picture import TreeNode

    path = f"/tree?format=json&children={most}"
    body = await trio.to_thread.run_sync(_get, address, path, abandon_on_cancel=True)
    try:
        return msgspec.json.decode(body, type=TreeNode)
    except msgspec.DecodeError as error:
        raise _no_node(address) from error


def _get(address: str, path: str) -> bytes:
    # The standard library's client in a thread: none of the dependencies is one, and `doctor` asks the same way.
    from http.client import HTTPConnection, HTTPException

    parts = urlsplit(address)
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(MOST_BYTES)
    except HTTPException as error:  # before OSError: an answer that never began is both
        raise _no_node(address) from error
    except (OSError, UnicodeError) as error:  # UnicodeError: no name that a host can have
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        text = f"The node at {address} cannot be reached ({why}): is `chappe serve` running, and is this its HTTP port?"
        raise CommandError(text, ExitCode.UNREACHABLE) from error
    finally:
        connection.close()
    if response.status != 200:
        raise _no_node(address)
    return body


def _no_node(address: str) -> CommandError:
    return CommandError(
        f"What answers at {address} is not the operators' port of a Chappe node; see --admin.",
        ExitCode.UNREACHABLE,
    )


async def _watch(address: str, most: int, interval_s: float) -> None:
    """Draw until `q`. A node that stops answering is waited for, under its last picture."""
    import trio

    from .picture import picture
    from .terminal import key_by_key, watch_terminal

    tree = await fetch(address, most)  # an error here is told before the screen is ours
    heading, trouble = _heading(tree, address), ""
    has_keys = sys.stdin.isatty()
    hint = "q quits" if has_keys else "Ctrl-C quits"

    def draw() -> None:
        drawn = picture(tree, [f"{heading} · {hint}", *filter(None, [trouble])], _frame(*_size()))
        _write(_HOME + "\n".join(line + _REST_OF_LINE for line in drawn) + _REST_OF_SCREEN)

    with _own_screen(), key_by_key() if has_keys else nullcontext():
        async with trio.open_nursery() as nursery:
            if has_keys:
                nursery.start_soon(_until_q, nursery.cancel_scope)
                nursery.start_soon(watch_terminal, draw)
            while True:
                draw()
                await trio.sleep(interval_s)
                try:
                    tree = await fetch(address, most)
                    heading, trouble = _heading(tree, address), ""
                except CommandError as error:
                    trouble = str(error)


async def _until_q(scope: trio.CancelScope) -> None:
    from .running import Input

    keys = Input()
    while data := await keys.read():
        if b"q" in data or b"\x04" in data:
            break
    scope.cancel()


def _heading(tree: TreeNode, address: str) -> str:
    import time

    from .picture import duration

    up = "" if tree.running_s is None else f"up {duration(tree.running_s)}"
    return " · ".join(filter(None, ["chappe top", address, time.strftime("%H:%M:%S"), up]))


def _frame(columns: int | None, lines: int | None) -> Frame:
    from .picture import Frame

    is_coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return Frame(columns, lines, is_coloured)


@contextmanager
def _own_screen() -> Iterator[None]:
    """Use the terminal's other screen, so that what was on it is there again afterwards."""
    _write(_ENTER)
    try:
        yield
    finally:
        _write(_LEAVE)


def _size() -> tuple[int, int]:
    columns, rows = shutil.get_terminal_size()
    return columns, rows


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
