"""A session of two people through real processes: server, commands, signals, a terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chappe.cli.exits import ExitCode

from .processes import CHAPPE, World

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("session"))
    try:
        world.register("ann", "+33142685300")
        world.register("ben", "+33320123456")
        world.run("contacts", "add", "ben", profile="ann")
        world.run("contacts", "add", "+33142685300", "--name", "Ann (Paris)", profile="ben")
        yield world
    finally:
        world.close()


def rows(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_contacts_have_ones_own_names(world: World) -> None:
    [ann] = rows(world.run("contacts", "list", "--json", profile="ben"))
    assert (ann["username"], ann["name"], ann["phone"]) == ("ann", "Ann (Paris)", "+33142685300")
    world.run("contacts", "rename", "Ann (Paris)", "Ann", profile="ben")
    assert rows(world.run("contacts", "list", "--json", profile="ben"))[0]["name"] == "Ann"
    assert world.run("contacts", "list", profile="ann").split() == ["ben", "ben"]
    world.run("contacts", "remove", "ben", profile="ann")
    assert world.run("contacts", "list", profile="ann") == ""
    world.run("contacts", "add", "ben", profile="ann")


def test_a_message_arrives_is_read_and_is_in_both_histories(world: World) -> None:
    listener = world.start("listen", "--json", "--read", profile="ben")
    listener.until_event(event="connection", state="online")
    sent = json.loads(
        world.run_process("send", "ben", "hello there", "--wait", "read", "--json", profile="ann")
    )
    assert (sent["state"], sent["mine"], sent["peer_name"]) == ("read", True, "ben")
    heard = listener.until_event(event="message", text="hello there")
    assert (heard["id"], heard["sender_name"], heard["mine"]) == (sent["id"], "Ann", False)
    assert listener.end(signal.SIGINT) == ExitCode.INTERRUPTED
    assert listener.seen["stderr"] == ""
    for who, friend in (("ann", "ben"), ("ben", "Ann")):
        last = rows(world.run_process("history", friend, "--json", profile=who))[-1]
        assert (last["id"], last["text"], last["state"]) == (sent["id"], "hello there", "read")
    assert world.run("history", "ben", "--limit", "1", profile="ann").endswith(" ✔✔ you: hello there\n")


def test_text_may_come_from_standard_input(world: World) -> None:
    command = world.start("send", "ben", "-", profile="ann")
    command.type("two\nlines\n")
    assert command.process.stdin is not None
    command.process.stdin.close()
    assert command.end() == 0
    assert rows(world.run("history", "ben", "--json", profile="ann"))[-1]["text"] == "two\nlines"


def test_nobody_by_that_name(world: World) -> None:
    sentence = world.run("send", "cleo", "hi", profile="ann", code=ExitCode.FAILED)
    assert "chappe contacts add cleo" in sentence
    sentence = world.run("contacts", "add", "cleo", profile="ann", code=ExitCode.REFUSED)
    assert sentence.startswith("chappe: ")


def test_a_profile_in_use_or_locked(world: World) -> None:
    listener = world.start("listen", profile="ben")
    listener.until("online")
    sentence = world.run("history", "ann", profile="ben", code=ExitCode.STORE)
    assert "Another process is using" in sentence
    assert listener.end(signal.SIGTERM) == ExitCode.TERMINATED
    sentence = world.run("history", "ann", profile="ben", code=ExitCode.STORE, CHAPPE_PASSPHRASE="no")
    assert "passphrase" in sentence


def test_registering_again_changes_nothing(world: World) -> None:
    command = world.start("register", "ann", "+33142685300", profile="ann")
    assert command.end() == ExitCode.FAILED
    command = world.start("register", "ann", "+33142685399", profile="ann2")
    assert command.end() == ExitCode.REFUSED
    assert "Traceback" not in command.seen["stderr"]


def test_both_see_the_same_safety_number(world: World) -> None:
    [one] = rows(world.run("safety-number", "ben", "--json", profile="ann"))
    [other] = rows(world.run("safety-number", "Ann", "--json", profile="ben"))
    assert one["number"] == other["number"]
    assert len(one["number"]) == 60
    lines = world.run("safety-number", "ben", profile="ann").splitlines()
    assert "".join("".join(lines).split()) == one["number"]


def test_settings_are_kept(world: World) -> None:
    world.run("settings", "--last-seen", "nobody", profile="ben")
    [now] = rows(world.run("settings", "--json", profile="ben"))
    assert now == {"online": "everyone", "last_seen": "nobody"}


def test_a_second_device_is_linked_and_revoked(world: World) -> None:
    new = world.start("login", "ann", "--device", "tablet", "--json", profile="tablet")
    code = new.until("chappe devices link (.+)")[1]
    linked = json.loads(world.run("devices", "link", code, "--name", "tablet", "--json", profile="ann"))
    assert new.end() == 0, new.seen
    assert json.loads(new.seen["stdout"])["device"] == linked["device"]
    devices = rows(world.run("devices", "list", "--json", profile="ann"))
    assert sorted((one["name"] == "tablet", one["current"]) for one in devices) == [
        (False, True),
        (True, False),
    ]

    listener = world.start("listen", "--json", profile="tablet")
    listener.until_event(event="connection", state="online")
    world.run("send", "ben", "from my laptop", profile="ann")
    assert listener.until_event(event="message", text="from my laptop")["mine"]
    world.run("devices", "revoke", "tablet", profile="ann")
    assert listener.end() == ExitCode.REFUSED
    assert len(rows(world.run_process("devices", "list", "--json", profile="ann"))) == 1


def test_what_cannot_be_sent_now_goes_out_later(world: World) -> None:
    assert world.server.end(signal.SIGINT) == 0
    sentence = world.run("send", "ben", "later", "--timeout", "1", profile="ann", code=ExitCode.UNREACHABLE)
    assert "is stored" in sentence
    sentence = world.run("devices", "list", "--timeout", "1", profile="ann", code=ExitCode.UNREACHABLE)
    assert f"Cannot sign in at ws://127.0.0.1:{world.port} within 1 s" in sentence
    assert rows(world.run("history", "ben", "--json", profile="ann"))[-1]["state"] == "queued"
    world.server = world.start_server()
    world.run("send", "ben", "now", profile="ann")
    listener = world.start("listen", "--json", profile="ben")
    heard = [listener.until_event(event="message")["text"] for _ in range(2)]
    while "now" not in heard:
        heard.append(listener.until_event(event="message")["text"])
    assert heard[-2:] == ["later", "now"]
    assert listener.end(signal.SIGINT) == ExitCode.INTERRUPTED


def test_a_second_server_on_the_same_folder(world: World) -> None:
    sentence = world.run_process("serve", *world.server_options(), profile="ann", code=ExitCode.STORE)
    assert f"process {world.server.process.pid}" in sentence


def test_doctor_finds_the_server(world: World, tmp_path: Path) -> None:
    config = tmp_path / "chappe.toml"
    config.write_text(f'[stores]\ndata = "{world.folder}/server"\n[http]\nport = {world.http_port}\n')
    report = json.loads(world.run("doctor", "--json", "--config", str(config), profile="ann"))
    found = {one["check"]: one["level"] for one in report["findings"]}
    assert (found["server"], found["node"], found["profile"], found["clock"]) == ("ok", "ok", "ok", "ok")


def test_chat_through_a_pipe(world: World) -> None:
    chat = world.start("chat", "ben", profile="ann")
    chat.type("first\n/safety\n//not a command\nlast")
    assert chat.process.stdin is not None
    chat.process.stdin.close()
    assert chat.end() == 0, chat.seen
    assert "you: /not a command" in chat.seen["stdout"]
    texts = [
        (one["text"], one["state"]) for one in rows(world.run("history", "ben", "--json", profile="ann"))
    ]
    assert texts[-3:] == [("first", "sent"), ("/not a command", "sent"), ("last", "sent")]


def test_a_reader_that_leaves_is_no_traceback(world: World) -> None:
    command = [*CHAPPE, "history", "ben", "--profile", "ann"]
    read, write = os.pipe()
    os.close(read)
    try:
        ended = subprocess.run(
            command, stdout=write, stderr=subprocess.PIPE, text=True, env=world.environment, check=False
        )
    finally:
        os.close(write)
    assert (ended.returncode, ended.stderr) == (
        ExitCode.FAILED,
        "chappe: Nobody reads the output any more.\n",
    )


def test_a_private_certificate(tmp_path: Path) -> None:
    world = World(tmp_path, "--self-signed")
    try:
        doctor = ("doctor", "--json", "--server", f"wss://127.0.0.1:{world.port}")

        def found(*options: str) -> dict[str, str]:
            report = json.loads(world.run(*doctor, *options, profile="ann"))
            [finding] = [one for one in report["findings"] if one["check"] == "server"]
            return finding

        assert "certificate" in found()["found"].lower()
        assert found("--ca", f"{tmp_path}/server/tls/ca.pem")["level"] == "ok"
    finally:
        world.close()
