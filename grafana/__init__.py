"""Dashboards for Grafana as code.

`python -m grafana` writes grafana/dashboards/*.json, which Grafana reads by the files in grafana/provisioning. A
dashboard is data (`view.py`), one module in `boards/` each; `build.py` alone knows Grafana's schema. The alerts of
`deploy.alerts` lead to panels of these dashboards, and the panels lead on to docs/runbook.md.
"""

from __future__ import annotations

from .book import BOARDS, FOLDER, rendered
from .view import Board, Kind, Query, Row, View

__all__ = ["BOARDS", "FOLDER", "Board", "Kind", "Query", "Row", "View", "rendered"]
