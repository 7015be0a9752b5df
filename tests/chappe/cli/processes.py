"""Real processes for the tests of the command line: a server, commands on profiles of their own, and terminals."""

from __future__ import annotations

import json
import os
import pty
import queue
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from chappe.cli.main import app

CHAPPE = [sys.executable, "-m", "chappe.cli"]
WITHIN_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Running:
    """A process whose output can be waited for."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [*CHAPPE, *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.seen = {"stdout": "", "stderr": ""}
        self._lines: queue.Queue[str] = queue.Queue()
        self._threads = [threading.Thread(target=self._read, args=(name,)) for name in self.seen]
        for thread in self._threads:
            thread.start()

    def _read(self, name: str) -> None:
        for line in getattr(self.process, name):
            self.seen[name] += line
            self._lines.put(line)

    def until(self, pattern: str) -> re.Match[str]:
        """Wait for a line of output that the pattern is found in."""
        while True:
            try:
                found = re.search(pattern, self._lines.get(timeout=WITHIN_S))
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} in {self.seen}") from None
            if found:
                return found

    def until_event(self, **wanted: object) -> dict[str, Any]:
        """Wait for a JSON line with these values."""
        while True:
            event: dict[str, Any] = json.loads(self.until(r"^\{.*\}$")[0])
            if wanted.items() <= event.items():
                return event

    def type(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def end(self, number: signal.Signals | None = None) -> int:
        """Send a signal, if any, and wait for the end; return the exit code."""
        if number is not None:
            self.process.send_signal(number)
        try:
            return self.process.wait(WITHIN_S)
        finally:
            self.close()

    def close(self) -> None:
        """Leave nothing behind: no process, no thread, no pipe."""
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


class Person:
    """Sits at a pseudo-terminal, sees everything and types."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.fd, terminal = pty.openpty()
        self.mode = termios.tcgetattr(self.fd)
        self.process = subprocess.Popen(
            [*CHAPPE, *arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**environment, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
            start_new_session=True,
        )
        os.close(terminal)
        self.seen = ""

    def until(self, text: str) -> None:
        """Wait until this is on the screen, after everything that was waited for before."""
        deadline = time.monotonic() + WITHIN_S
        while not (found := re.search(text, self.seen)):
            ready, _, _ = select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no {text!r} in {self.seen!r}"
            self.seen += os.read(self.fd, 65536).decode()
        self.seen = self.seen[found.end() :]

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def end(self) -> int:
        """Wait for the end, and check that the terminal is as it was."""
        try:
            code = self.process.wait(WITHIN_S)
            assert termios.tcgetattr(self.fd)[:4] == self.mode[:4]
            return code
        finally:
            self.close()

    def close(self) -> None:
        if self.fd >= 0:
            self.process.kill()
            self.process.wait()
            os.close(self.fd)
            self.fd = -1


class World:
    """A server that can be stopped and started again, and people with profiles."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._options = options
        self.port, self.http_port = free_port(), free_port()
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("CHAPPE_")},
            "XDG_DATA_HOME": str(folder / "home"),
            "CHAPPE_PASSPHRASE": "opens the store",
            "CHAPPE_PASSWORD": "signs devices in",
            "CHAPPE_SERVER": f"ws://127.0.0.1:{self.port}",
            # Python's own warnings would be mistaken for the command's words.
            "PYTHONWARNINGS": "error",
        }
        self._started: list[Running] = []
        self.server = self.start_server()

    def close(self) -> None:
        """Kill whatever a failed test left running."""
        for command in self._started:
            command.close()

    def start_server(self) -> Running:
        server = self.start("serve", *self.server_options())
        server.until("listening")
        return server

    def server_options(self) -> list[str]:
        data = str(self.folder / "server")
        return ["--data", data, "--port", str(self.port), "--http-port", str(self.http_port), *self._options]

    def start(self, *arguments: str, profile: str = "default", **environment: str) -> Running:
        command = Running(list(arguments), {**self.environment, "CHAPPE_PROFILE": profile, **environment})
        self._started.append(command)
        return command

    def run(self, *arguments: str, profile: str, code: int = 0, **environment: str) -> str:
        """Run a command to its end, and return its standard output; of a failure, the one sentence.

        In this process, as the imports of a new one cost three times what the command does.
        """
        variables = {**self.environment, "CHAPPE_PROFILE": profile, **environment}
        result = CliRunner(env=variables).invoke(app, arguments)
        return outcome(result.exit_code, result.stdout, result.stderr, code)

    def run_process(self, *arguments: str, profile: str, code: int = 0) -> str:
        """Do the same in a process of its own."""
        command = self.start(*arguments, profile=profile)
        return outcome(command.end(), command.seen["stdout"], command.seen["stderr"], code)

    def register(self, name: str, phone: str) -> None:
        command = self.start("register", name, phone, profile=name)
        code = self.server.until(f"verification code for {re.escape(phone)}: (\\d+)")[1]
        command.type(f"{code}\n")
        assert command.end() == 0, command.seen
        assert command.seen["stdout"].startswith(f"You are {name}, on ws://127.0.0.1:{self.port}.")


def outcome(ended: int, stdout: str, stderr: str, code: int) -> str:
    assert ended == code, (stdout, stderr)
    if code == 0:
        return stdout
    [sentence] = stderr.splitlines()
    return sentence
