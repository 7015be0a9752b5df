"""Prometheus and Alertmanager beside a run: what the steady state is, and which alerts fire.

They are real, have the project's rules, as a rule sixty times faster, and scrape every process of the site through
`/targets`. They are started for one run and end with it; with `--keep` what they stored stays in its folder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote
from urllib.request import urlopen

import trio

from deploy.services import WATCHERS, Fleet, Service, Wishes

from .journal import Journal
from .outcome import Firing
from .stack.node import Node
from .undo import EndServer

LOOK_S: Final = 0.5
ANSWER_WITHIN_S: Final = 10.0
NOBODY: Final = "http://127.0.0.1:9"  # who is told of alerts: the runner asks Alertmanager instead


class Watch:
    """Who watches a site. `query`, `value` and `alerts` block, and raise `OSError` when nobody answers."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._since_ms: dict[str, int] = {}
        self._over: list[Firing] = []

    @classmethod
    async def start(cls, folder: Path, nodes: Sequence[Node], journal: Journal, pace: float) -> Self:
        """Have nodes watched. The two servers are the journal's to end. Raises: `ServicesError`."""
        fleet = Fleet(folder, Wishes(scrape=[node.http_url for node in nodes], pace=pace, webhook=NOBODY))
        for name in WATCHERS:
            journal.intend(EndServer(str(folder / name / "process.json")))
        await trio.to_thread.run_sync(partial(fleet.up, WATCHERS))
        return cls(fleet)

    def query(self, promql: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each sample of Prometheus's answer."""
        page = _get(self.fleet.prometheus, f"/api/v1/query?query={quote(promql)}")
        return [(one["metric"], float(one["value"][1])) for one in page["data"]["result"]]

    def value(self, promql: str) -> float | None:
        """Return the value of the first sample, None if there is none."""
        found = self.query(promql)
        return found[0][1] if found else None

    def alerts(self) -> list[dict[str, Any]]:
        """Return what fires by Alertmanager's account, also what it keeps back because of another alert."""
        found: list[dict[str, Any]] = _get(self.fleet.alertmanager, "/api/v2/alerts")
        return found

    @property
    def firing(self) -> set[str]:
        """What fires now, such as "page SendsFail"."""
        return set(self._since_ms)

    @property
    def firings(self) -> tuple[Firing, ...]:
        """All that fired since `look_on`, in the order in which it began."""
        still = [Firing(alert, from_ms) for alert, from_ms in self._since_ms.items()]
        return tuple(sorted([*self._over, *still], key=lambda one: one.from_ms))

    async def look_on(self) -> None:
        """Keep asking Alertmanager, and remember what fired from when to when."""
        while True:
            with suppress(OSError):
                alerts = await trio.to_thread.run_sync(self.alerts)
                self.note({_named(one["labels"]) for one in alerts}, time.time_ns() // 1_000_000)
            await trio.sleep(LOOK_S)

    def note(self, firing: set[str], at_ms: int) -> None:
        """Take down what fires at a time."""
        for alert in firing - self.firing:
            self._since_ms[alert] = at_ms
        for alert in self.firing - firing:
            self._over.append(Firing(alert, self._since_ms.pop(alert), at_ms))


def _named(labels: dict[str, str]) -> str:
    return f"{labels['severity']} {labels['alertname']}"


def _get(service: Service, path: str) -> Any:
    try:
        with urlopen(service.address["url"] + path, timeout=ANSWER_WITHIN_S) as page:
            return json.load(page)
    except HTTPException as error:  # it died in the middle of its answer
        raise OSError(f"{service.name} does not answer: {error}") from error
