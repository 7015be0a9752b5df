"""All dashboards, and the files that hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.alerts.rules import RUNBOOK

from .boards import chaos, connections, delivery, overview, stores, supervision
from .build import built
from .view import Board

FOLDER: Final = Path(__file__).with_name("dashboards")

BOARDS: Final = (
    overview.BOARD,
    connections.BOARD,
    delivery.BOARD,
    stores.BOARD,
    supervision.BOARD,
    chaos.BOARD,
)


def rendered(board: Board, runbook: str = RUNBOOK) -> str:
    """Return a dashboard's file. Panels lead to sections of `runbook`, a URL."""
    return JSONEncoder(sort_keys=True, indent=1).encode(built(board, runbook)) + "\n"
