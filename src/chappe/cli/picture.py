"""A node's supervision tree as lines for a terminal: what `top` shows. Text and numbers in, text out.

`/tree?format=json` is read into `TreeNode`. When there is less room than tree, pools are shortened first, and what
does not run as it should stays. Names and crash reports are others' words, so they pass through `visible`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

import msgspec
from rich.cells import cell_len

from .output import visible
from .screen import clipped

BOLD: Final = "1"
DIM: Final = "2"
YELLOW: Final = "33"
RED: Final = "1;31"

_STYLES: Final = {"running": "", "stopped": RED}
_TITLES: Final = ("CHILD", "STATE", "RESTARTS", "HEADROOM", "MAILBOX", "UP", "LAST CRASH")
_GAP: Final = "  "
_FEWEST_CELLS: Final = 12
"""Columns that a child's name, and a crash, is worth at least; a narrower crash is left out."""


class TreeNode(msgspec.Struct):
    """A supervisor or worker, as the node's operators' port tells it."""

    name: str
    kind: str
    status: str
    restarts: int
    hidden: int
    children: list[TreeNode]
    running_s: float | None = None
    headroom: int | None = None
    mailbox: int | None = None
    is_stuck: bool = False
    last_crash: str = ""

    @property
    def is_calm(self) -> bool:
        """Whether it, and all that is shown below it, runs as it should."""
        return (
            self.status == "running" and not self.is_stuck and all(child.is_calm for child in self.children)
        )


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    style: str = ""


_Row = tuple[_Cell, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a picture goes: how many cells wide and lines high (None: as it comes), and whether in colour."""

    columns: int | None
    lines: int | None
    is_coloured: bool


def picture(node: TreeNode, heading: Sequence[str], frame: Frame) -> list[str]:
    """Return the heading, a summary and the tree, one row a child, in as many lines as the frame has."""
    room = None if frame.lines is None else max(1, frame.lines - len(heading) - 3)
    head = [_painted(clipped_to(line, frame.columns), BOLD, frame) for line in heading]
    head.append(clipped_to(_summary(node), frame.columns))
    table = [tuple(_Cell(title, DIM) for title in _TITLES), *_fitted(node, room)]
    return [*head, "", *_aligned(table, frame)]


def duration(seconds: float) -> str:
    """Return a time in the two units that matter: 42s, 7m05s, 2h13m, 3d04h."""
    whole = int(seconds)
    for unit, name, below, of_below in ((86_400, "d", "h", 3_600), (3_600, "h", "m", 60), (60, "m", "s", 1)):
        if whole >= unit:
            return f"{whole // unit}{name}{whole % unit // of_below:02}{below}"
    return f"{whole}s"


def clipped_to(text: str, cells: int | None) -> str:
    """Return as much of a text as fits, all of it if there is no limit."""
    if cells is None or cell_len(text) <= cells:
        return text
    return clipped(text, cells) if cells > 1 else "…"  # a mark that all is missing


def _summary(node: TreeNode) -> str:
    nodes = list(_all(node))
    states = Counter(each.status for each in nodes)
    parts = [
        f"{states.pop('running', 0):,} running",
        *(f"{count:,} {name}" for name, count in states.items()),
    ]
    if stuck := sum(each.is_stuck for each in nodes):
        parts.append(f"{stuck:,} stuck")
    if restarts := sum(each.restarts for each in nodes):
        parts.append(f"{restarts:,} {'restart' if restarts == 1 else 'restarts'}")
    if hidden := sum(each.hidden for each in nodes):
        parts.append(f"{hidden:,} more not looked at")
    return ", ".join(parts)


def _all(node: TreeNode) -> Iterator[TreeNode]:
    yield node
    for child in node.children:
        yield from _all(child)


def _fitted(node: TreeNode, room: int | None) -> list[_Row]:
    """Return the rows of the tree, with as many of each pool as there is room for."""
    rows = list(_rows(node, None))
    if room is None or len(rows) <= room:
        return rows
    widest = max((len(pool.children) for pool in node.children), default=0)
    for most in range(widest - 1, -1, -1):
        rows = list(_rows(node, most))
        if len(rows) <= room:
            return rows
    return [*rows[: room - 1], (_Cell(f"… and {len(rows) - room + 1} lines more", DIM),)]


def _rows(node: TreeNode, most: int | None, lead: str = "", turn: str = "", depth: int = 0) -> Iterator[_Row]:
    yield _row(node, lead + turn)
    below = lead + {"": "", "├─ ": "│  ", "└─ ": "   "}[turn]
    # Pools are the node's own children; the few below each of theirs would tell little one by one.
    shown = node.children if most is None or depth != 1 else _worth_seeing(node.children, most)
    hidden = node.hidden + len(node.children) - len(shown)
    for index, child in enumerate(shown, 1):
        is_last = index == len(shown) and not hidden
        yield from _rows(child, most, below, "└─ " if is_last else "├─ ", depth + 1)
    if hidden:
        yield (_Cell(f"{below}└─ and {hidden:,} more", DIM),)


def _worth_seeing(children: list[TreeNode], most: int) -> list[TreeNode]:
    odd = [index for index, child in enumerate(children) if not child.is_calm]
    # A dict, for it keeps the order: the odd ones first, then the oldest.
    chosen = set(islice(dict.fromkeys(chain(odd, range(len(children)))), most))
    return [child for index, child in enumerate(children) if index in chosen]


def _row(node: TreeNode, lead: str) -> _Row:
    style = RED if node.is_stuck else _STYLES.get(node.status, YELLOW)
    return (
        _Cell(lead + visible(node.name), style),
        _Cell(node.status + (", stuck" if node.is_stuck else ""), style),
        _Cell(f"{node.restarts:,}" if node.restarts else "", YELLOW),
        _Cell("" if node.headroom is None else str(node.headroom), "" if node.headroom else RED),
        _Cell("" if node.mailbox is None else f"{node.mailbox:,}"),
        _Cell("" if node.running_s is None else duration(node.running_s)),
        _Cell(visible(node.last_crash), YELLOW),
    )


def _aligned(table: Sequence[_Row], frame: Frame) -> Iterator[str]:
    """Yield the rows in columns; one that is empty everywhere is left out."""
    filled = [[row[at].text for row in table[1:] if len(row) > at] for at in range(len(_TITLES))]
    kept = [at for at, texts in enumerate(filled) if at == 0 or any(texts)]
    widths = {at: max(map(cell_len, [_TITLES[at], *filled[at]])) for at in kept}
    crash = len(_TITLES) - 1
    if frame.columns is not None:
        fixed = sum(widths[at] + len(_GAP) for at in kept if at not in {0, crash})
        widths[0] = max(_FEWEST_CELLS, min(widths[0], frame.columns - fixed))
        if crash in widths:
            widths[crash] = frame.columns - widths[0] - fixed - len(_GAP)
            if widths[crash] < _FEWEST_CELLS:
                kept.remove(crash)
    for row in table:
        cells = ((row[at], widths[at], at) for at in kept if at < len(row))
        yield _line(cells, frame)


def _line(cells: Iterable[tuple[_Cell, int, int]], frame: Frame) -> str:
    """Return one row: names, states and crashes flush left, numbers flush right; never wider than the frame."""
    parts: list[str] = []
    used = 0
    for cell, width, at in cells:
        gap = _GAP if parts else ""
        room = width if frame.columns is None else min(width, frame.columns - used - len(gap))
        if room <= 0:
            break
        text = clipped_to(cell.text, room)
        pad = " " * (room - cell_len(text))
        painted = _painted(text, cell.style, frame)
        parts.append(gap + (pad + painted if 1 < at < len(_TITLES) - 1 else painted + pad))
        used += len(gap) + room
    return "".join(parts).rstrip()


def _painted(text: str, style: str, frame: Frame) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if style and text and frame.is_coloured else text
