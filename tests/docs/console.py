"""Runs the `console` blocks of a document, as the person reads them: one server, its commands in order.

Output that differs from run to run (times, digits, addresses, the machine's name) is compared by its shape. Secrets
come from the environment, so documents leave the prompts for them out; a verification code is typed in from the
server's output, as a reader would.
"""

from __future__ import annotations

import re
import shlex
import signal
from pathlib import Path

from sybil import Example

from tests.chappe.cli.processes import World

_CHANGING = [
    (r"\d{4}-\d\d-\d\d \d\d:\d\d|\b\d\d:\d\d\b", "<time>"),
    (r"ws://[\w.:]+", "<server>"),
    (r"This device is \S+\.", "This device is <name>."),
    (r"\b\d{5,6}\b", "<digits>"),
]


def shape(text: str) -> list[str]:
    """Return the lines of a text with what changes from run to run replaced."""
    for pattern, name in _CHANGING:
        text = re.sub(pattern, name, text)
    return [line.rstrip() for line in text.splitlines()]


def commands(block: str) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with the output that the document shows for it."""
    first, *parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
    assert not first.strip(), f"a console block begins with a command: {first!r}"
    return [(command.strip(), output) for command, _, output in (part.partition("\n") for part in parts)]


class Terminal:
    """Sybil's evaluator for one document's console blocks. The server is that of `world`, started before."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        # The home that documents mean by `~`.
        del self.world.environment["XDG_DATA_HOME"]
        self.world.environment["HOME"] = str(folder / "home")

    def __call__(self, example: Example) -> None:
        for command, expected in commands(example.parsed):
            program, *arguments = shlex.split(command)
            if program == "chappe" and arguments != ["serve"]:
                actual = self._run(arguments)
                assert not expected or shape(actual) == shape(expected), f"$ {command}\n{actual}"
            else:
                # The server runs, and the rest is not for a test of documents: that it exists is tested elsewhere.
                assert not expected

    def _run(self, arguments: list[str]) -> str:
        command = self.world.start(*arguments)
        assert command.process.stdin is not None
        code = ""
        if arguments[0] == "register":
            phone = re.escape(arguments[2])
            code = self.world.server.until(f"verification code for {phone}: (\\d+)")[1] + "\n"
            command.type(code)
        command.process.stdin.close()
        assert command.end() == 0, command.seen
        return command.seen["stderr"] + code + command.seen["stdout"]

    def close(self) -> None:
        """Stop the server."""
        self.world.server.end(signal.SIGTERM)
