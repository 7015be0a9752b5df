"""Whoever hears of alerts: an HTTP server of this process, in a thread, that keeps what Alertmanager posts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, TypeVar


class Page(BaseHTTPRequestHandler):
    """Takes what is posted."""

    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, json.loads(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Webhook(HTTPServer):
    """Listens on a free port of loopback."""

    page: type[Page] = Page

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.page)
        self.heard: list[tuple[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def alerts(self, path: str, name: str) -> list[dict[str, Any]]:
        """Return what was posted to a path of an alert, oldest first."""
        told = [alert for where, body in self.heard if where == path for alert in body["alerts"]]
        return [alert for alert in told if alert["labels"]["alertname"] == name]


W = TypeVar("W", bound=Webhook)


@contextmanager
def serving(webhook: W) -> Iterator[W]:
    """Serve in a thread."""
    with webhook:
        thread = Thread(target=webhook.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield webhook
        finally:
            webhook.shutdown()
            thread.join()
