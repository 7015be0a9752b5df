"""The page that crashes parts of a node: not there unless somebody asked for it, and then on loopback only."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from pydantic import ValidationError

from chappe.app import Node
from chappe.settings import Settings, load
from supervisors.testing import wait_restarted
from tests.chappe.gateway.raw import running_node, settings


async def post(node: Node, path: str) -> tuple[int, str]:
    """Return status and body of a POST at the operators' port."""
    async with await trio.open_tcp_stream("127.0.0.1", node.http_port) as stream:
        await stream.send_all(f"POST {path} HTTP/1.1\r\nHost: chappe\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join([chunk async for chunk in stream]).decode()
    return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]


async def test_it_is_off_by_default(tmp_path: Path) -> None:
    assert not Settings().chaos.enabled
    async with running_node(settings(tmp_path)) as node:
        assert (await post(node, "/chaos/crash?path=presence"))[0] == 404
        presence = next(child for child in node.snapshot().children if child.name == "presence")
        assert presence.restarts == 0


async def test_it_crashes_the_child_at_a_path(tmp_path: Path) -> None:
    async with running_node(settings(tmp_path, chaos={"enabled": True})) as node:
        with trio.fail_after(30.0):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait_restarted, node.supervisor, "presence")
                await trio.testing.wait_all_tasks_blocked()
                assert await post(node, "/chaos/crash?path=presence") == (200, "presence crashes\n")
        status, why = await post(node, "/chaos/crash?path=nobody")
        assert status == 404
        assert "nobody" in why


async def test_it_has_the_child_at_a_path_hang_for_a_time(tmp_path: Path) -> None:
    async with running_node(settings(tmp_path, chaos={"enabled": True})) as node:
        with trio.fail_after(30.0):
            assert await post(node, "/chaos/hang?path=log-writers/0&for_s=0.2") == (
                200,
                "log-writers/0 hung for 0.2 s\n",
            )
        for query in ("for_s=61", "for_s=0", "for_s=nan", "for_s=long", ""):
            assert (await post(node, f"/chaos/hang?path=presence&{query}"))[0] == 400
        assert (await post(node, "/chaos/hang?path=nobody&for_s=1"))[0] == 404
        assert (await post(node, "/chaos/hang?path=&for_s=1"))[0] == 400


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_it_is_refused_where_others_could_reach_it(host: str) -> None:
    wrong = {"http": {"host": host}, "chaos": {"enabled": True}}
    with pytest.raises(ValidationError, match=r"set http\.host to 127\.0\.0\.1"):
        load().model_validate(wrong)
