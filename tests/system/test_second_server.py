"""A second server on the data folder of a first: it says so and ends; the first goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from chaos.people.crowd import say, two_people
from chaos.stack.node import READY_S, Node, serving


@pytest.mark.system
async def test_a_second_server_on_the_same_data_folder_ends_with_one_sentence(tmp_path: Path) -> None:
    async with serving(tmp_path / "first") as first, two_people(first, tmp_path) as (alice, bob):
        await say(alice, bob, "before")
        second = Node(tmp_path / "second", data=first.data)
        process = await second.spawn()
        with trio.fail_after(READY_S):
            assert await process.wait() == 5
        complaint = second.logged.strip().splitlines()
        assert len(complaint) == 1, second.logged
        assert str(first.data) in complaint[0]
        await say(bob, alice, "after")
