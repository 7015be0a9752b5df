"""What a page needs to draw a dashboard: its JSON, the answers to its queries, and the bands of scenarios."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any, Final

from ..ask import Range, Series, answers
from ..book import BOARDS, rendered
from ..marks import RUNNING
from ..view import Board, Query

WIDTH_PX: Final = 1500
HEAD_PX: Final = 48
CELL_PX: Final = 38


def everything(url: str, when: Range) -> dict[str, dict[str, Any]]:
    """Ask the Prometheus at `url` for all dashboards; return what to draw, by uid. It can be kept as JSON."""
    marks = bands(answers(url, Query(RUNNING, ""), when), when)
    return {
        board.uid: _one(url, board, when) | {"bands": marks if board.is_marked else []} for board in BOARDS
    }


def height_px(dashboard: dict[str, Any]) -> int:
    """Return how high a dashboard is on a page."""
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    return HEAD_PX + CELL_PX * max(int(place["y"] + place["h"]) for place in places)


def _one(url: str, board: Board, when: Range) -> dict[str, Any]:
    return {
        "dashboard": json.loads(rendered(board)),
        "range": asdict(when),
        "width": WIDTH_PX,
        "answers": {
            view.id: {
                letter: [_plain(series) for series in answers(url, query, when) if series.says_something]
                for letter, query in zip("ABCDEFGH", view.queries, strict=False)
            }
            for view in board.views
        },
    }


def _plain(series: Series) -> dict[str, Any]:
    points = [(at, value if math.isfinite(value) else None) for at, value in series.points]
    return {"labels": dict(series.labels), "points": points}


def bands(found: tuple[Series, ...], when: Range) -> list[dict[str, Any]]:
    """Join moments without a hole between them, as Grafana does for its annotations."""
    joined: list[dict[str, Any]] = []
    for series in found:
        for at, _ in series.points:
            if (
                joined
                and joined[-1]["text"] == series.labels["scenario"]
                and at - joined[-1]["to_s"] <= when.step_s
            ):
                joined[-1]["to_s"] = at
            else:
                joined.append({"text": series.labels["scenario"], "from_s": at, "to_s": at})
    return sorted(joined, key=lambda band: float(band["from_s"]))
