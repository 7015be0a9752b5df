"""`chappe top` against a real node: in a pipe, for programs, and at a terminal that is whole afterwards."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from chappe.cli.exits import ExitCode
from chappe.cli.main import app

from .processes import Person, World

pytestmark = pytest.mark.system

NAMES = [
    "http",
    "bus",
    "log-writers",
    "expiry",
    "clock",
    "presence",
    "rereads",
    "shared-limits",
    "requests",
    "connections",
    "sweeper",
    "drain",
    "listeners",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("top"))
    try:
        yield world
    finally:
        world.close()


def admin(world: World) -> str:
    return f"http://127.0.0.1:{world.http_port}"


def test_in_a_pipe_it_prints_the_tree_once(world: World) -> None:
    lines = world.run("top", "--admin", admin(world), profile="ann").splitlines()
    assert lines[0].startswith(f"chappe top · {admin(world)} · ")
    assert [line.split()[1] for line in lines if line.startswith(("├─ ", "└─ "))] == NAMES
    assert "\x1b" not in "".join(lines)


def test_for_programs(world: World) -> None:
    tree = json.loads(world.run("top", "--admin", admin(world), "--json", "--most", "3", profile="ann"))
    assert ([child["name"] for child in tree["children"]], tree["hidden"]) == (NAMES[:3], len(NAMES) - 3)
    assert tree["running_s"] > 0


def test_without_an_address_the_settings_say_where(world: World, tmp_path: Path) -> None:
    config = tmp_path / "chappe.toml"
    config.write_text(f'[http]\nhost = "0.0.0.0"\nport = {world.http_port}\n', encoding="utf-8")
    assert admin(world) in world.run("top", "--config", str(config), profile="ann")
    config.write_text("[http]\nport = 0\n", encoding="utf-8")
    assert "--admin" in world.run("top", "--config", str(config), profile="ann", code=ExitCode.USAGE)


def test_the_port_for_clients_is_not_the_one(world: World) -> None:
    address = f"http://127.0.0.1:{world.port}"
    sentence = world.run("top", "--admin", address, profile="ann", code=ExitCode.UNREACHABLE)
    assert (
        sentence
        == f"chappe: What answers at {address} is not the operators' port of a Chappe node; see --admin."
    )


class Stranger(BaseHTTPRequestHandler):
    """Says yes to everything, in words that no node uses."""

    answer = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        pass


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"name": 1}', b'{"name": "node"}', b"\xff"])
def test_what_is_no_node_is_said_so(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stranger, "answer", answer)
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        result = CliRunner().invoke(app, ["top", "--admin", f"127.0.0.1:{server.server_port}"])
        thread.join()
    assert result.exit_code == ExitCode.UNREACHABLE
    assert "is not the operators' port" in result.stderr


def at_a_terminal(world: World, *options: str) -> Person:
    arguments = ["top", "--admin", admin(world), "--interval", "0.1", *options]
    return Person(arguments, {**world.environment, "NO_COLOR": ""})


def test_at_a_terminal_it_draws_again_until_q(world: World) -> None:
    person = at_a_terminal(world)
    try:
        person.until("\x1b\\[\\?1049h")
        for _ in range(2):
            person.until("\x1b\\[H\x1b\\[1mchappe top")
            person.until("q quits")
            person.until("└─ accept-0 +running")
        person.type("q")
        person.until("\x1b\\[\\?25h\x1b\\[\\?1049l")
        assert person.end() == ExitCode.OK
    finally:
        person.close()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_leaves_the_terminal_as_it_was(world: World, number: signal.Signals, code: ExitCode) -> None:
    person = at_a_terminal(world)
    try:
        person.until("└─ accept-0")
        person.process.send_signal(number)
        person.until("\x1b\\[\\?25h\x1b\\[\\?1049l")
        assert person.end() == code
    finally:
        person.close()


def test_no_colour_for_who_wants_none(world: World) -> None:
    person = Person(["top", "--admin", admin(world), "--once"], {**world.environment, "NO_COLOR": "1"})
    try:
        person.until("chappe top")
        person.until("accept-0 +running")
        assert person.end() == ExitCode.OK
        assert "\x1b" not in person.seen
    finally:
        person.close()


def test_a_node_that_goes_away_is_waited_for(world: World) -> None:
    person = at_a_terminal(world)
    try:
        person.until("└─ accept-0")
        assert world.server.end(signal.SIGTERM) == 0
        person.until("The node at .* cannot be reached")
        person.until("└─ accept-0")
        world.server = world.start_server()
        person.until("q quits\x1b\\[0m\x1b\\[K\r\n16 running")
        person.type("\x04")
        assert person.end() == ExitCode.OK
    finally:
        person.close()
