"""What a person at a terminal meets: hidden prompts, the chat screen, and a terminal that is whole afterwards."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chappe.cli.exits import ExitCode

from .processes import Person, World

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("terminal"))
    try:
        yield world
    finally:
        world.close()


def test_secrets_are_asked_for_unseen_and_twice(world: World, tmp_path: Path) -> None:
    environment = {
        **world.environment,
        "XDG_DATA_HOME": str(tmp_path),
        "CHAPPE_PASSPHRASE": "",
        "CHAPPE_PASSWORD": "",
    }
    ann = Person(["register", "ann", "+33142685300"], environment)
    try:
        ann.until("Passphrase of profile default: ")
        ann.type("opens\n")
        ann.until("The same again: ")
        ann.type("opens\n")
        ann.until("Password of account ann: ")
        ann.type("signs in\n")
        ann.until("The same again: ")
        ann.type("signs out\n")
        ann.until("The two do not match")
        assert ann.end() == ExitCode.USAGE
        assert "sign" not in ann.seen
    finally:
        ann.close()


def test_two_people_chat(world: World) -> None:
    for name, phone in (("ann", "+33142685300"), ("ben", "+33320123456")):
        world.register(name, phone)
    world.run("contacts", "add", "ben", profile="ann")
    world.run("contacts", "add", "ann", profile="ben")
    ann, ben = (
        Person(["chat", friend], {**world.environment, "CHAPPE_PROFILE": name})
        for name, friend in (("ann", "ben"), ("ben", "ann"))
    )
    try:
        ann.until("ben · online")
        ben.until("ann · online")
        ann.type("helo")
        ann.type("\x1b[Dl\r")
        ann.until("… +you: hello")
        ben.until("ann: hello")
        ann.until("✔✔")
        ben.type("half a li")
        ann.until("ben · typing…")
        ann.type("are you there?\r")
        ben.until("ann: are you there\\?")
        ben.until("> half a li")
        ben.type("ne\r")
        ann.until("ben: half a line")
        ann.type("/safety\r")
        ann.until("-- [0-9 ]{60}")
        ann.type("\x04")
        assert ann.end() == ExitCode.OK
        ben.until("ann · offline, last seen")
        ben.process.send_signal(signal.SIGINT)
        assert ben.end() == ExitCode.INTERRUPTED
    finally:
        ann.close()
        ben.close()
