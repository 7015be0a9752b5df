"""The fixture `services` itself: what tests get when servers are there, when not, and after a killed session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deploy.services import Fleet, Unavailable
from deploy.services.redis import Redis

from ..services import Databases, Services, leave_out, sweep

ROOT = Path(__file__).parents[2]

ABANDON = """
import os
from tests.services import Services
services = Services()
services("redis")
print(services.folder, flush=True)
os._exit(9)
"""


@pytest.fixture
def own() -> Iterator[Services]:
    services = Services()
    yield services
    services.close()


def test_what_cannot_be_had_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAPPE_REQUIRE_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^Install it\.$"):
        leave_out("Install it.")


def test_where_nothing_may_be_wanting_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAPPE_REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match=r"^Install it\. \(CHAPPE_REQUIRE_SERVICES is set\.\)$"):
        leave_out("Install it.")


def test_what_is_missing_is_looked_for_once(own: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def missing(_: Redis) -> None:
        looked.append(1)
        raise Unavailable("Redis is not installed.")

    monkeypatch.delenv("CHAPPE_REQUIRE_SERVICES", raising=False)
    monkeypatch.setattr(Redis, "check", missing)
    for _ in range(2):
        with pytest.raises(pytest.skip.Exception, match="Redis is not installed"):
            own("redis")
    assert looked == [1]


def test_what_a_test_broke_is_whole_for_the_next(services: Services) -> None:
    services("redis").redis.servers[0].kill()
    assert services("redis").redis.servers[0].is_ready


@pytest.mark.system
def test_what_a_killed_session_left_is_removed_and_what_a_live_one_has_is_not(services: Services) -> None:
    mine = services("redis")
    done = subprocess.run(
        [sys.executable, "-c", ABANDON], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 9, done.stderr
    left = Path(done.stdout.strip())
    [server] = Fleet(left / "1").redis.servers
    identity = server.identity
    assert identity is not None
    sweep()
    assert not identity.is_alive()
    assert not left.exists()
    assert mine.redis.servers[0].is_ready
    assert json.loads((services.folder / "owner.json").read_text())["pid"] == os.getpid()


def test_each_clone_has_what_the_template_has_and_is_alone(services: Services) -> None:
    def fill(url: str) -> None:
        execute(url, "CREATE TABLE words (word text)")

    databases = Databases(services("postgres").postgres.address["url"], fill)
    with databases.clone() as first, databases.clone() as second:
        execute(first, "INSERT INTO words VALUES ('telegraph')")
        assert count(first) == 1
        assert count(second) == 0
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        count(first)


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute(statement)


def count(url: str) -> int:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        [(found,)] = connection.execute("SELECT count(*) FROM words").fetchall()
        return int(found)
