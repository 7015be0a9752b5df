"""Every panel of every dashboard, asked of a real Prometheus over a real Chappe with people on it, a worker of which
was killed: no query is refused, and whatever must have something has."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from chaos.stack.node import until
from deploy.services import ServicesError
from grafana import BOARDS, Query
from grafana.ask import Range, answers
from grafana.drawing.scene import SCRAPED_S, Scene, scene

from ..services import Services, leave_out, services

__all__ = ["services"]

pytestmark = [pytest.mark.system, pytest.mark.slow]

PATIENCE_S = 240.0

FIRST_TIME = "a series of a label's value is there from its first time on"
NOBODY_ELSE = "nothing is broken here but one worker"
MAY_BE_EMPTY = {
    ("chappe-connections", "rejected: {{reason}}"): FIRST_TIME,
    ("chappe-connections", "{{code}}"): FIRST_TIME,
    ("chappe-stores", "away: {{operation}}"): NOBODY_ELSE,
    ("chappe-stores", "SEND: {{code}}"): NOBODY_ELSE,
    ("chappe-stores", "warning: {{kind}}"): "Cassandra warns of nothing when little is in it",
    ("chappe-supervision", "{{supervisor}}"): NOBODY_ELSE,
    ("chappe-supervision", "a key of {{supervisor}}"): NOBODY_ELSE,
}
"""Queries by dashboard and legend. No panel may: of these, some other query has something."""


def newest(scene: Scene, expr: str) -> float:
    """Return the latest value of an expression's first series, 0 if there is none."""
    found = answers(scene.prometheus, Query(expr, "", at_end=True), span(60))
    return found[0].points[-1][1] if found else 0.0


def span(seconds: float) -> Range:
    now = time.time()
    return Range(now - seconds, now, 1.0, SCRAPED_S)


async def wait(scene: Scene, expr: str, least: float) -> None:
    await until(lambda: newest(scene, expr) >= least, f"{expr} is {least}", PATIENCE_S)


async def test_every_panel_has_an_answer(services: Services, tmp_path: Path) -> None:
    stores = services("postgres", "redis", "cassandra")
    began = time.time()
    try:
        async with scene(tmp_path, stores) as there:
            await wait(there, "sum(chappe_messages_stored_total)", 200)
            with there.announcer.running("worker killed"):
                victim, pid = next(iter(there.node.workers().items()))
                os.kill(pid, signal.SIGKILL)
                await until(
                    lambda: there.node.workers().get(victim) not in {None, pid}, "it is back", PATIENCE_S
                )
                await wait(there, "sum(chappe_child_restarts_total)", 1)
                await wait(there, "sum(chappe_child_down_seconds_count)", 1)
                await wait(there, "chappe_chaos_scenario", 1)
            for slo in ("send", "delivery", "history"):
                await wait(there, f'count(slo:burn_rate:ratio_rate1h{{slo="{slo}"}} >= 0)', 1)
                await wait(there, f'count(slo:errors:ratio_rate5m{{slo="{slo}"}} >= 0)', 1)
            await wait(there, "sum(chappe_messages_stored_total)", 400)
            when = span(time.time() - began)
            found = {
                (board.uid, view.id): {
                    query.legend: [
                        one for one in answers(there.prometheus, query, when) if one.says_something
                    ]
                    for query in view.queries
                }
                for board in BOARDS
                for view in board.views
            }
    except ServicesError as error:
        leave_out(str(error))
    assert not {panel for panel, queries in found.items() if not any(queries.values())}
    silent = {
        (uid, legend)
        for (uid, _), queries in found.items()
        for legend, series in queries.items()
        if not series
    }
    assert silent <= set(MAY_BE_EMPTY)
