"""Which settings a fleet refuses, and what its workers get of them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import AsyncExitStack

import pytest

from chappe.errors import SettingsError
from chappe.fleet.parent import job_of, refuse_lonely_stores
from chappe.settings import Settings, load
from chappe.sockets import listen, reserve

SHARED: dict[str, dict[str, object]] = {
    "gateway": {"workers": 2, "port": 0},
    "stores": {"messages": "cassandra", "users_url": "postgresql+psycopg://u:hush@h/d"},
    "bus": {"url": "redis://h"},
}


@pytest.mark.parametrize(
    ("section", "key", "value", "named"),
    [
        ("stores", "messages", "sqlite", 'set stores.messages = "cassandra".'),
        ("stores", "users_url", None, "set stores.users_url on PostgreSQL."),
        ("stores", "users_url", "sqlite:///users.sqlite", "set stores.users_url on PostgreSQL."),
        ("bus", "url", None, "set bus.url."),
    ],
)
def test_what_workers_could_not_share_is_refused(section: str, key: str, value: object, named: str) -> None:
    refuse_lonely_stores(load().model_validate(SHARED))
    sections = {name: dict(values) for name, values in SHARED.items()}
    sections[section][key] = value
    with pytest.raises(SettingsError, match=r"gateway\.workers = 2 needs") as refused:
        refuse_lonely_stores(load().model_validate(sections))
    assert str(refused.value).endswith(named)


def test_the_command_line_refuses_in_one_sentence() -> None:
    command = [sys.executable, "-m", "chappe.cli", "serve", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "chappe: gateway.workers = 2 needs what workers can share: "
        'set stores.messages = "cassandra", stores.users_url on PostgreSQL, bus.url.\n'
    )


def test_a_worker_gets_the_settings_that_are_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAPPE_NODE_LIMITS__REQUESTS", "77")
    settings = load().model_validate(SHARED)
    job = job_of(settings, 7777)
    assert "hush" not in repr(job)
    assert "hush" not in " ".join(job.command)
    assert not any(name.startswith("CHAPPE_NODE_") for name in job.environment)
    monkeypatch.delenv("CHAPPE_NODE_LIMITS__REQUESTS")  # as the worker's environment is
    got = Settings.model_validate_json(job.order)
    assert (got.gateway.port, got.http.host, got.http.port) == (7777, "127.0.0.1", 0)
    same = {"gateway": got.gateway, "http": got.http}
    assert got == settings.model_copy(update=same)


def test_the_workers_program_is_not_for_people() -> None:
    command = [sys.executable, "-m", "chappe.fleet", "worker-1"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, "start that" in done.stderr) == (2, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_a_reserved_port_is_shared_by_those_who_listen(host: str) -> None:
    async with AsyncExitStack() as stack:
        port = await reserve(stack, host, 0)
        first = await listen(stack, host, port, 8, is_shared=True)
        second = await listen(stack, host, port, 8, is_shared=True)
        assert {one.socket.getsockname()[1] for one in first + second} == {port}
        with pytest.raises(
            SettingsError, match=rf"Cannot listen on {host} port {port}: Address already in use"
        ):
            await reserve(stack, host, port)  # a second fleet would get the clients of the first
        with pytest.raises(SettingsError):
            await listen(stack, host, port, 8)
