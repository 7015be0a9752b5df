"""The real erl: compiles `oracle.erl` into a temporary folder, keeps one erl running, and has it play scripts.

`compare.py` and the tests use it. One erl plays thousands of scripts, `AT_ONCE` at a time, so that the real
milliseconds that a slow child takes there are shared.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .script import Script, to_erlang

AT_ONCE = 16
"""Scripts in flight. Their text and their answers stay below what two pipes hold, so nobody blocks for ever."""

ANSWER_S = 60.0
"""Real time in which a batch must be answered. It takes milliseconds; what takes longer hangs."""

SOURCE = Path(__file__).with_name("oracle.erl")


class NoErl(Exception):
    """There is no erl to ask."""


class ErlDied(Exception):
    """erl ended or hung while it played a script: a bug of the oracle."""


class Erl:
    """A running erl with the oracle in it. Use it as a context manager.

    Raises: `NoErl`.
    """

    def __init__(self) -> None:
        if not (shutil.which("erl") and shutil.which("erlc")):
            raise NoErl("The oracle needs Erlang/OTP 24 or later; on Debian: apt-get install erlang-base.")
        self._folder = tempfile.TemporaryDirectory(prefix="oracle-")
        subprocess.run(["erlc", "-Werror", "-o", self._folder.name, SOURCE], check=True)
        flags = ["-noinput", "+S", "1:1", "-pa", self._folder.name, "-s", "oracle", "main"]
        self._process = subprocess.Popen(["erl", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def play(self, scripts: Sequence[Script]) -> list[list[str]]:
        """Play these and return their traces.

        Raises: `ErlDied`.
        """
        traces: list[list[str]] = []
        for first in range(0, len(scripts), AT_ONCE):
            traces += self._play_batch(scripts[first : first + AT_ONCE])
        return traces

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def _play_batch(self, scripts: Sequence[Script]) -> list[list[str]]:
        assert self._process.stdin is not None
        guard = threading.Timer(ANSWER_S, self._process.kill)
        guard.start()
        try:
            for index, script in enumerate(scripts):
                text = f"{{{index},{to_erlang(script)}}}".encode()
                self._process.stdin.write(struct.pack(">I", len(text)) + text)
            self._process.stdin.flush()
            answers = dict(self._answer() for _ in scripts)
        except (OSError, struct.error) as error:
            raise ErlDied(f"erl ended, or was silent for {ANSWER_S:g} s, at one of {scripts}.") from error
        finally:
            guard.cancel()
        return [answers[index] for index in range(len(scripts))]

    def _answer(self) -> tuple[int, list[str]]:
        assert self._process.stdout is not None
        (size,) = struct.unpack(">I", self._process.stdout.read(4))
        index, *lines = self._process.stdout.read(size).decode().split("\n")
        return int(index), lines
