"""Prometheus and Alertmanager for real: what they are told to scrape, how fast, and whom to tell."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from deploy.services import WATCHERS, Fleet, Unavailable, Wishes
from deploy.services.__main__ import main

from ..services import leave_out
from ..webhook import Page, Webhook, serving

pytestmark = pytest.mark.system
PATIENCE_S = 30.0


@pytest.fixture(scope="module", autouse=True)
def _can_be_had(tmp_path_factory: pytest.TempPathFactory) -> None:
    fleet = Fleet(tmp_path_factory.mktemp("nothing"))
    for name in WATCHERS:
        try:
            fleet[name].check()
        except Unavailable as error:
            leave_out(str(error))


class NodePage(Page):
    """Targets, and the metrics of one."""

    server: Node

    def do_GET(self) -> None:  # noqa: N802 - the library calls it so
        labels = {"__metrics_path__": "/metrics/node", "node": "here", "worker": "node"}
        pages = {
            "/targets": json.dumps(
                [{"targets": [self.server.url.removeprefix("http://")], "labels": labels}]
            ),
            "/metrics/node": "chappe_bus_up 0.0\n",
        }
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if self.path == "/targets" else "text/plain")
        self.end_headers()
        self.wfile.write(pages[self.path].encode())


class Node(Webhook):
    """As far as these two can tell: a node whose bus is down, and whoever is told of it."""

    page = NodePage


def query(fleet: Fleet, expr: str) -> list[dict[str, Any]]:
    with urlopen(f"{fleet.prometheus.address['url']}/api/v1/query?query={quote(expr)}") as page:
        found: list[dict[str, Any]] = json.load(page)["data"]["result"]
        return found


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_alert_goes_from_a_node_to_the_webhook(place: Path) -> None:
    with serving(Node()) as node:
        fleet = Fleet(place, Wishes(scrape=[node.url], pace=60, webhook=node.url))
        fleet.up(WATCHERS)
        assert all(each["servers"][0]["ready"] for each in fleet.status().values())
        until(lambda: query(fleet, 'up{job="chappe"}'))
        [up] = query(fleet, 'up{job="chappe"}')
        assert up["metric"]["instance"] == "here/node"
        until(lambda: node.alerts("/tickets", "BusDown"))
    alert = node.alerts("/tickets", "BusDown")[0]
    assert (alert["status"], alert["labels"]["worker"]) == ("firing", "node")
    assert alert["annotations"]["summary"] == "here/node has no bus."
    assert alert["annotations"]["runbook_url"] == "docs/runbook.md#busdown"
    for command in (
        ["promtool", "check", "config", f"{place}/prometheus/prometheus.yml"],
        ["amtool", "check-config", f"{place}/alertmanager/alertmanager.yml"],
    ):
        subprocess.run(command, check=True, capture_output=True)


def test_what_is_asked_later_is_taken_without_a_restart_and_kept_after_a_crash(place: Path) -> None:
    with serving(Node()) as node, serving(Node()) as other:
        fleet = Fleet(place, Wishes(scrape=[node.url], pace=60))
        fleet.up(["prometheus"])
        pid = fleet.status()["prometheus"]["servers"][0]["pid"]
        until(lambda: query(fleet, 'up{job="chappe"} == 1'))
        fleet = Fleet(place, Wishes(scrape=[node.url, other.url]))
        fleet.up(["prometheus"])
        assert fleet.status()["prometheus"]["servers"][0]["pid"] == pid
        assert fleet.prometheus.address["nodes"] == [node.url, other.url]
        urls = (place / "prometheus" / "prometheus.yml").read_text()
        assert (urls.count("/targets"), "scrape_interval: 1s" in urls) == (2, True)
        before = fleet.status()["prometheus"]["url"]
        fleet.prometheus.servers[0].kill()
        Fleet(place).up(["prometheus"])
        assert Fleet(place).status()["prometheus"]["url"] == before
        assert Fleet(place).prometheus.address["nodes"] == [node.url, other.url]
        assert query(fleet, "count_over_time(up[1h])")  # what it knew


def test_they_are_started_by_name_only_and_stopped_with_the_rest(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    words = ["--folder", str(place)]
    assert main(["status", *words]) == 1
    assert "prometheus" not in capsys.readouterr().out
    assert main(["up", *words, "--only", "alertmanager"]) == 0
    assert capsys.readouterr().out.startswith("alertmanager http://127.0.0.1:")
    assert main(["status", *words]) == 1  # of the stores none runs
    assert "alertmanager http://127.0.0.1:" in capsys.readouterr().out
    assert main(["down", *words]) == 0
    assert "alertmanager: stopped" in capsys.readouterr().err
