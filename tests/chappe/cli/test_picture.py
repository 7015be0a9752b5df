"""The tree as `top` draws it: what is shown, what is left out when there is no room, and that it always fits."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from chappe.cli.picture import Frame, TreeNode, duration, picture
from supervisors import Node, Status

WIDE = Frame(columns=None, lines=None, is_coloured=False)


def worker(name: str, **facts: Any) -> TreeNode:
    return TreeNode(**{"name": name, "kind": "worker", "status": "running", "restarts": 0, "hidden": 0,
                       "children": [], **facts})  # fmt: skip


def supervisor(name: str, *children: TreeNode, **facts: Any) -> TreeNode:
    return worker(name, kind="supervisor", children=list(children), **facts)


def drawn(node: TreeNode, frame: Frame = WIDE) -> list[str]:
    """Return the lines below the heading."""
    return picture(node, ["heading"], frame)[1:]


def connections(count: int, *, hidden: int = 0, in_trouble: int | None = None) -> TreeNode:
    """Return a node with a pool; the pump of connection `in_trouble` waits for its restart."""
    members = [
        worker(str(n), children=[worker("pump", status="restarting" if n == in_trouble else "running")])
        for n in range(count)
    ]
    return supervisor("node", worker("http"), supervisor("pool", *members, hidden=hidden), worker("last"))


def test_a_tree_with_everything_in_it() -> None:
    node = supervisor(
        "node",
        worker("http", running_s=62.0, mailbox=1_200),
        supervisor(
            "pool",
            worker("1", status="restarting", restarts=2, last_crash="OSError: away\nreally"),
            hidden=9_980,
            headroom=0,
        ),
        worker("slow", status="stopping", is_stuck=True),
        headroom=10,
    )
    assert drawn(node) == [
        "3 running, 1 restarting, 1 stopping, 1 stuck, 2 restarts, 9,980 more not looked at",
        "",
        "CHILD                 STATE            RESTARTS  HEADROOM  MAILBOX     UP  LAST CRASH",
        "node                  running                          10",
        "├─ http               running                                1,200  1m02s",
        "├─ pool               running                           0",
        "│  ├─ 1               restarting              2                            OSError: away␊really",
        "│  └─ and 9,980 more",
        "└─ slow               stopping, stuck",
    ]


def test_what_a_node_tells_can_be_read() -> None:
    told = Node("node", True, Status.RUNNING, 0, (Node("a", False, Status.STOPPED, 3, ()),), headroom=1)
    read = msgspec.json.decode(msgspec.json.encode(told.to_dict()), type=TreeNode)
    assert msgspec.to_builtins(read) == told.to_dict()


def test_a_column_that_would_be_empty_is_left_out() -> None:
    assert drawn(supervisor("node"))[2:] == ["CHILD  STATE", "node   running"]


def test_a_pool_is_shortened_first_and_trouble_stays_in_the_picture() -> None:
    node = connections(9, hidden=100, in_trouble=7)
    assert drawn(node, Frame(None, 12, is_coloured=False))[3:] == [
        "node                running",
        "├─ http             running",
        "├─ pool             running",
        "│  ├─ 7             running",
        "│  │  └─ pump       restarting",
        "│  └─ and 108 more",
        "└─ last             running",
    ]
    assert drawn(node, Frame(None, 9, is_coloured=False))[3:] == [
        "node                running",
        "├─ http             running",
        "├─ pool             running",
        "│  └─ and 109 more",
        "└─ last             running",
    ]


def test_with_no_room_at_all_it_says_how_much_is_missing() -> None:
    assert drawn(connections(3), Frame(None, 7, is_coloured=False))[3:] == [
        "node                running",
        "├─ http             running",
        "… and 3 lines more",
    ]


def test_a_crash_gives_way_before_a_name_does() -> None:
    node = supervisor("node", worker("a-name-of-twenty-two", last_crash="OSError: the disk is full"))
    assert drawn(node, Frame(55, None, is_coloured=False))[-1].endswith("OSError: the disk is…")
    assert drawn(node, Frame(40, None, is_coloured=False))[-1] == "└─ a-name-of-twenty-two  running"
    assert drawn(node, Frame(24, None, is_coloured=False))[-1] == "└─ a-name-of-t…  running"


def test_colour_only_where_it_is_wanted() -> None:
    node = supervisor("node", worker("a", status="stopped"), worker("b", status="restarting"), worker("c"))
    lines = drawn(node, Frame(None, None, is_coloured=True))
    assert "\x1b[1;31mstopped\x1b[0m" in lines[-3]
    assert "\x1b[33mrestarting\x1b[0m" in lines[-2]
    assert "\x1b" not in lines[-1]
    assert not any("\x1b" in line for line in drawn(node))


def test_a_name_cannot_reach_the_terminal() -> None:
    lines = drawn(supervisor("node", worker("\x1b[2J", last_crash="\x9b2J\u202e")))
    assert not any(re.search("[\x00-\x1f\x7f-\x9f\u202e]", line) for line in lines)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (59.9, "59s"), (60, "1m00s"), (3_599, "59m59s"), (3_600, "1h00m"), (90_000, "1d01h")],
)
def test_a_time_in_the_two_units_that_matter(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def a_node(children: st.SearchStrategy[list[TreeNode]]) -> st.SearchStrategy[TreeNode]:
    return st.builds(
        TreeNode,
        name=st.text(max_size=20),
        kind=st.sampled_from(["supervisor", "worker"]),
        status=st.sampled_from([status.value for status in Status]),
        restarts=st.integers(0, 10**9),
        hidden=st.integers(0, 10**6),
        children=children,
        running_s=st.none() | st.floats(0, 1e9),
        headroom=st.none() | st.integers(0, 100),
        mailbox=st.none() | st.integers(0, 10**6),
        is_stuck=st.booleans(),
        last_crash=st.text(max_size=80),
    )


TREES = st.recursive(a_node(st.just([])), lambda inner: a_node(st.lists(inner, max_size=5)), max_leaves=30)


@given(tree=TREES, columns=st.integers(1, 120), lines=st.integers(6, 40))
def test_it_always_fits(tree: TreeNode, columns: int, lines: int) -> None:
    picture_ = picture(tree, ["heading", "trouble"], Frame(columns, lines, is_coloured=False))
    assert len(picture_) <= lines
    assert max(map(cell_len, picture_)) <= columns
