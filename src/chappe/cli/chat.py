"""`chat`: a conversation in the terminal. What is shown is `talk`'s, the terminal is `terminal`'s and
`screen`'s.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from .profile import Ca, Profile, ProfileName, Server, Who

if TYPE_CHECKING:
    from ..client import Client
    from ..ids import UserId

SENT_WITHIN_S = 10.0  # what is left then goes out the next time this profile connects


def chat(who: Who, profile: ProfileName = "default", server: Server = None, ca: Ca = None) -> None:
    """Talk with somebody: history, ticks, typing and presence, until Ctrl-D, Ctrl-C or /quit.

    Type /help for what else can be done. Without a terminal every line of
    standard input is a message, and the command ends when all of them were
    sent.

    Examples:
        chappe chat ben
        chappe chat ben --profile work
    """
    from .session import find, run_local
    from .terminal import is_interactive

    async def body(client: Client) -> None:
        peer = await find(client, who)
        await (_at_terminal if is_interactive() else _in_pipe)(client, peer)

    run_local(Profile.of(profile, server, ca), body)


async def _at_terminal(client: Client, peer: UserId) -> None:
    import trio

    from .editor import Edited, Ended, Line, LineEditor
    from .running import Input
    from .screen import Screen
    from .talk import Talk
    from .terminal import key_by_key, watch_terminal

    screen = Screen(_write, _size)
    talk, editor, keys = Talk(client, peer, screen), LineEditor(), Input()
    with key_by_key():
        try:
            async with client.events() as stream, trio.open_nursery() as nursery:
                await talk.open()
                nursery.start_soon(talk.hear, stream)
                nursery.start_soon(watch_terminal, screen.resized)
                while data := await keys.read():
                    actions = editor.feed(data)
                    screen.input(editor.text, editor.cursor)
                    for action in actions:
                        match action:
                            case Line(text):
                                is_open = await talk.line(text)
                            case Edited():
                                is_open = True
                                await talk.edited(editor.text)
                            case Ended():
                                is_open = False
                        if not is_open:
                            nursery.cancel_scope.cancel()
                            return
        finally:
            screen.close()


async def _in_pipe(client: Client, peer: UserId) -> None:
    import trio

    from .running import Input
    from .talk import PlainLines, Talk

    talk, lines = Talk(client, peer, PlainLines()), Input()
    async with client.events() as stream, trio.open_nursery() as nursery:
        await talk.open()
        nursery.start_soon(talk.hear, stream)
        while (text := await lines.line()) is not None and await talk.line(text):
            pass
        with trio.move_on_after(SENT_WITHIN_S):
            await talk.all_sent()
        nursery.cancel_scope.cancel()


def _size() -> tuple[int, int]:
    columns, rows = shutil.get_terminal_size()
    return columns, rows


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
