"""Tells Prometheus which scenario runs, so that dashboards mark its time.

A page of metrics on loopback with `chappe_chaos_scenario{scenario="..."}`, 1 while it runs and 0 afterwards, and
`/targets` beside it, as a node has: `python -m deploy.services up --only prometheus --scrape URL` finds it. It has a
job of its own, so that no alert takes the end of the page for the end of a node.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, Gauge, make_wsgi_app

HOST: Final = "127.0.0.1"
LABELS: Final = {"job": "chaos", "node": "chaos", "worker": "runner"}


class Announcer:
    """The page. Its methods may be called from any thread."""

    def __init__(self, url: str, scenarios: Gauge) -> None:
        self.url = url
        self._scenarios = scenarios

    @contextmanager
    def running(self, scenario: str) -> Iterator[None]:
        """Say that a scenario runs, for as long as the block does."""
        gauge = self._scenarios.labels(scenario)
        gauge.set(1)
        try:
            yield
        finally:
            gauge.set(0)


@contextmanager
def announcing(port: int = 0) -> Iterator[Announcer]:
    """Serve the page, on a free port unless one is given; it is gone at the end of the block."""
    registry = CollectorRegistry()
    scenarios = Gauge(
        "chappe_chaos_scenario", "Whether a scenario of that name runs.", ["scenario"], registry=registry
    )
    metrics = make_wsgi_app(registry)

    def page(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/targets":
            answer: Iterable[bytes] = metrics(environ, start)
            return answer
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps([{"targets": [f"{HOST}:{server.server_port}"], "labels": LABELS}]).encode()]

    with make_server(HOST, port, page, handler_class=_Silent) as server:
        thread = Thread(target=server.serve_forever, name="chaos-announcer", daemon=True)
        thread.start()
        try:
            yield Announcer(f"http://{HOST}:{server.server_port}", scenarios)
        finally:
            server.shutdown()
            thread.join()


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called there
        pass
