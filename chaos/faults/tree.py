"""Children of a node's supervision tree that crash, as if their own code had raised an error.

The node has to allow it (`chaos.enabled`, `CRASHABLE` here): nothing else in the product knows of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ..lab import Lab
from ..stack.node import Node

CRASHABLE: Final = {"chaos": "enabled = true"}


async def paths(node: Node) -> list[str]:
    """Return the paths of all children that run now, without the root's name."""
    page = await node.page("/tree?format=json&children=1000")
    root = msgspec.json.decode(page.partition("\r\n\r\n")[2].encode())
    return [path for path in _walk(root, "") if path]


def _walk(tree: dict[str, Any], path: str) -> Iterator[str]:
    yield path
    for child in tree.get("children") or ():
        yield from _walk(child, f"{path}/{child['name']}".lstrip("/"))


async def crash(lab: Lab, node: Node, path: str) -> bool:
    """Crash the child at a path; False when it was gone meanwhile."""
    answer = await node.page(f"/chaos/crash?path={path}", "POST")
    is_done = answer.split()[1] == "200"
    if is_done:
        lab.say(f"crashed {path}")
    return is_done
