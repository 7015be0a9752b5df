"""Cassandra for real: one node that loses nothing it acknowledged, and a ring that goes on without one of three."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from deploy.services import Cassandra, Misused
from deploy.services.cql import ALL, ONE, QUORUM, ask, query

from ..services import Services

pytestmark = [pytest.mark.system, pytest.mark.slow]

KEYSPACE = "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {}}}"


def nodetool(cassandra: Cassandra, number: int, *words: str) -> str:
    return subprocess.run(
        cassandra.nodetool(number, list(words)), check=True, capture_output=True, text=True
    ).stdout


def runner(cassandra: Cassandra, host: str, consistency: int) -> Callable[[str], bytes]:
    return lambda statement: query(host, cassandra.settings["port"], statement, consistency)


def insist(cassandra: Cassandra, consistency: int, statement: str) -> None:
    """Do a write that may be done twice, again while it times out: the outcome of such a write is unknown."""
    host = cassandra.address["contact_points"][0]
    deadline = time.monotonic() + 60
    while why := ask(host, cassandra.settings["port"], statement, consistency):
        assert time.monotonic() < deadline, why


def test_one_node_keeps_what_it_acknowledged_through_a_kill(services: Services) -> None:
    cassandra = services("cassandra").cassandra
    [host] = cassandra.address["contact_points"]
    run = runner(cassandra, host, ONE)
    run(KEYSPACE.format("kept", 1))
    run("CREATE TABLE IF NOT EXISTS kept.words (word text PRIMARY KEY)")
    run("INSERT INTO kept.words (word) VALUES ('telegraph')")
    [node] = cassandra.servers
    before = node.identity
    node.kill()
    assert not node.is_ready
    services("cassandra")
    assert node.identity != before
    assert b"telegraph" in run("SELECT word FROM kept.words")


def test_a_node_answers_after_the_disk_has_it(services: Services) -> None:
    cassandra = services("cassandra").cassandra
    [host] = cassandra.address["contact_points"]
    said = runner(cassandra, host, ONE)(
        "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'"
    )
    assert b"group" in said
    configuration = yaml.safe_load((cassandra.folder / "node1" / "cassandra.yaml").read_text())
    assert configuration["commitlog_sync"] == "group"
    assert configuration["listen_address"] == configuration["rpc_address"] == "127.0.0.1"


def test_nodetool_reaches_the_node(services: Services) -> None:
    said = nodetool(services("cassandra").cassandra, 1, "status")
    assert said.count("\nUN ") == 1
    assert "Datacenter: datacenter1" in said


def test_a_refusal_says_why(services: Services) -> None:
    cassandra = services("cassandra").cassandra
    why = ask("127.0.0.1", cassandra.settings["port"], "SELECT nothing", ONE)
    assert why is not None
    assert "expecting K_FROM" in why


def test_how_many_nodes_there_are_is_settled_once(services: Services) -> None:
    folder: Path = services("cassandra").folder
    with pytest.raises(Misused, match=r"holds a Cassandra of 1 node\(s\)"):
        Cassandra(folder, nodes=3).launch()
    assert len(Cassandra(folder).servers) == 1


def test_a_ring_goes_on_without_one_of_three(services: Services) -> None:
    cassandra = services("cassandra", nodes=3).cassandra
    first, _, third = cassandra.address["contact_points"]
    assert nodetool(cassandra, 2, "status").count("\nUN ") == 3
    run = runner(cassandra, first, QUORUM)
    run(KEYSPACE.format("kept", 3))
    run("CREATE TABLE IF NOT EXISTS kept.words (word text PRIMARY KEY)")
    insist(
        cassandra, ALL, "INSERT INTO kept.words (word) VALUES ('heliograph')"
    )  # now every node has the table

    lost = cassandra.servers[2]
    lost.kill()
    assert [server.is_ready for server in cassandra.servers] == [True, True, False]
    insist(cassandra, QUORUM, "INSERT INTO kept.words (word) VALUES ('telegraph')")
    assert b"telegraph" in run("SELECT word FROM kept.words WHERE word = 'telegraph'")
    assert ask(first, cassandra.settings["port"], "SELECT word FROM kept.words WHERE word = 'telegraph'", ALL)

    services("cassandra", nodes=3)
    assert b"telegraph" in runner(cassandra, third, ALL)(
        "SELECT word FROM kept.words WHERE word = 'telegraph'"
    )
