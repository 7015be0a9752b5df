"""Children of a node's supervision tree that crash, as if their own code had raised an error, or hang for a time.

The node has to allow it (`chaos.enabled`, `BREAKABLE` here): nothing else in the product knows of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ..lab import Lab
from ..stack.node import Node

BREAKABLE: Final = {"chaos": "enabled = true"}


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
    return await _ask(lab, node, f"crash?path={path}")


async def hang(lab: Lab, node: Node, path: str, for_s: float) -> bool:
    """Have the child at a path take no step for a time, and return when that is over; False when it was gone."""
    return await _ask(lab, node, f"hang?path={path}&for_s={for_s:.3f}")


async def _ask(lab: Lab, node: Node, what: str) -> bool:
    lab.say(what.replace("?path=", " ").replace("&for_s=", ", seconds: "))
    answer = await node.page(f"/chaos/{what}", "POST")
    return answer.split()[1] == "200"
