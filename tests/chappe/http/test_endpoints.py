"""What operators see, over a real socket."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

import pytest
import trio

from chappe.app import Node
from chappe.errors import DataFolderInUse, SettingsError, StoreUnavailable
from chappe.stores.sql.users import SqlUserStore
from chappe.stores.sqlite.messages import SqliteMessageStore
from supervisors import Supervisor

from ..gateway.conftest import codes, node
from ..gateway.raw import running_node, settings

__all__ = ["codes", "node"]


async def get(node: Node, path: str) -> tuple[int, str]:
    """Get a path; return status and body."""
    async with await trio.open_tcp_stream("127.0.0.1", node.http_port) as stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join([chunk async for chunk in stream]).decode()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


async def test_health_and_readiness(node: Node) -> None:
    assert await get(node, "/healthz") == (200, "ok\n")
    assert await get(node, "/readyz") == (200, "ready\n")
    assert (await get(node, "/nothing"))[0] == 404


@pytest.mark.parametrize("store", [SqlUserStore, SqliteMessageStore])
async def test_a_store_that_does_not_answer_makes_it_not_ready(
    node: Node, store: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_self: object) -> None:
        raise StoreUnavailable("it is away")

    monkeypatch.setattr(store, "ping", away)
    status, body = await get(node, "/readyz")
    assert status == 503
    assert "it is away" in body
    assert (await get(node, "/healthz"))[0] == 200


async def test_a_clock_that_was_set_back_makes_it_not_ready(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = node.clock.next()
    assert len(made) == 16
    real = node.clock._now_ms
    monkeypatch.setattr(node.clock, "_now_ms", lambda: real() - 120_000)
    status, body = await get(node, "/readyz")
    assert status == 503
    assert "wall clock" in body


async def test_the_tree_as_text_and_json(node: Node) -> None:
    status, text = await get(node, "/tree")
    assert status == 200
    assert text.splitlines()[0] == "node"
    assert [child["name"] for child in json.loads((await get(node, "/tree?format=json"))[1])["children"]] == [
        "http", "bus", "log-writers", "expiry", "clock", "presence", "rereads", "shared-limits", "requests",
        "connections", "sweeper", "drain", "listeners",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("format=xml", "text or json"),
        ("children=0", "from 1 to 1000"),
        ("children=1001", "from 1 to 1000"),
        ("children=-1", "from 1 to 1000"),
        ("children=many", "from 1 to 1000"),
        ("children=" + "9" * 5000, "from 1 to 1000"),
    ],
    ids=lambda value: value[:20],
)
async def test_a_tree_that_cannot_be_shown_is_refused(node: Node, query: str, says: str) -> None:
    status, body = await get(node, f"/tree?{query}")
    assert (status, says in body) == (400, True)


async def test_the_tree_is_cut_where_it_is_wide(node: Node) -> None:
    picture = json.loads((await get(node, "/tree?format=json&children=2"))[1])
    assert ([child["name"] for child in picture["children"]], picture["hidden"]) == (
        ["http", "bus"],
        11,
    )
    assert (await get(node, "/tree?children=2"))[1].splitlines()[-1] == "└─ and 11 more"
    assert 0 < picture["running_s"] < 60


async def test_a_child_in_trouble_is_not_what_is_cut(node: Node) -> None:
    await node.supervisor.terminate_child("sweeper")
    picture = json.loads((await get(node, "/tree?format=json&children=2"))[1])
    assert [child["name"] for child in picture["children"]] == ["http", "sweeper"]
    picture = json.loads((await get(node, "/tree?format=json&children=13"))[1])
    assert [child["name"] for child in picture["children"]][:2] == ["http", "bus"]


async def test_metrics_are_prometheus_text(node: Node) -> None:
    status, body = await get(node, "/metrics")
    assert status == 200
    assert "# TYPE chappe_messages_stored_total counter" in body
    assert "chappe_connections 0.0" in body
    assert 'chappe_supervisor_headroom_restarts{supervisor="node"} 10.0' in body


async def test_targets_are_for_prometheus(node: Node) -> None:
    status, body = await get(node, "/targets")
    assert status == 200
    assert json.loads(body) == [
        {
            "targets": ["x"],  # where it was asked
            "labels": {"__metrics_path__": "/metrics", "node": socket.gethostname(), "worker": "node"},
        }
    ]


async def test_the_http_child_restarts_on_the_same_port(node: Node) -> None:
    tree = node.supervisor
    assert isinstance(tree, Supervisor)
    await tree.terminate_child("http")
    await tree.restart_child("http")
    assert await get(node, "/healthz") == (200, "ok\n")


async def test_a_second_node_on_the_same_folder_is_refused_and_the_first_goes_on(node: Node) -> None:
    with pytest.raises(DataFolderInUse):
        async with running_node(settings(node.settings.stores.data)):
            pass
    assert await get(node, "/readyz") == (200, "ready\n")


async def test_a_port_in_use_is_named(node: Node, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"Cannot listen on 127\.0\.0\.1 port {node.http_port}"):
        async with running_node(settings(tmp_path / "other", http={"port": node.http_port})):
            pass


async def test_tls_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    data = tmp_path / "data"
    config = settings(data, gateway={"self_signed": True})
    for _ in range(2):  # the authority survives a restart, or clients would have to trust another one
        async with running_node(config) as node:
            context = ssl.create_default_context(cafile=data / "tls" / "ca.pem")
            async with await trio.open_ssl_over_tcp_stream(
                "localhost", node.gateway_port, ssl_context=context
            ) as stream:
                await stream.do_handshake()
                assert stream.version() in {"TLSv1.2", "TLSv1.3"}
    assert (data / "tls" / "server.pem").stat().st_mode & 0o077 == 0


async def test_certificate_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nonsense")
    config = settings(tmp_path / "data", gateway={"certificate": wrong, "private_key": wrong})
    with pytest.raises(SettingsError, match=r"wrong\.pem"):
        async with running_node(config):
            pass
