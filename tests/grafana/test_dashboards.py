"""The dashboards as files: current, complete, about metrics that exist, and at the other end of every alert's link."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest
import yaml
from grafana_foundation_sdk.models import units

from chaos.announce import announcing
from chappe.cli.metrics import catalogue
from deploy.alerts import FILE, alerts
from deploy.alerts.panels import PANELS, Panel
from grafana import BOARDS, FOLDER, Board, View, rendered
from grafana.__main__ import main
from grafana.marks import SCENARIO
from grafana.resolve import resolved

from ..services import leave_out

ROOT = Path(__file__).parents[2]
VIEWS = [(board, view) for board in BOARDS for view in board.views]
METRIC = re.compile(r"\b(?:chappe_|process_|slo:|up\b|ALERTS\b)[a-z0-9_:]*")
each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
each_view = pytest.mark.parametrize(
    ("board", "view"), VIEWS, ids=[f"{board.uid}-{view.id}" for board, view in VIEWS]
)


def used(expr: str) -> set[str]:
    """Return the metrics of an expression, its labels' values left out."""
    return set(METRIC.findall(re.sub(r'"[^"]*"', "", expr)))


def panels(board: Board) -> list[dict[str, Any]]:
    """Return the panels of the committed file, without the titles of rows."""
    dashboard = json.loads((FOLDER / f"{board.uid}.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_the_files_are_current_and_there_are_no_others() -> None:
    assert {file.stem: file.read_text() for file in FOLDER.iterdir()} == {
        board.uid: rendered(board) for board in BOARDS
    }, "run .venv/bin/python -m grafana"


@each_board
def test_ids_stay_apart_and_rows_are_full(board: Board) -> None:
    ids = [view.id for view in board.views]
    assert len(set(ids)) == len(ids)
    for row in board.rows:
        assert sum(view.width for view in row.views) % 24 == 0, row.title
    taken: set[tuple[int, int]] = set()
    for panel in panels(board):
        x, y, w, h = (panel["gridPos"][key] for key in "xywh")
        cells = {(column, line) for column in range(x, x + w) for line in range(y, y + h)}
        assert x + w <= 24
        assert not taken & cells, panel["title"]
        taken |= cells


@each_view
def test_a_panel_says_what_it_shows_and_in_what_unit(board: Board, view: View) -> None:
    assert view.title
    assert view.about.endswith(".")
    known = {value for name, value in vars(units).items() if name[0].isupper()}
    assert view.scale.unit in known or view.scale.unit.startswith("suffix:")
    assert view.queries
    assert all(query.legend for query in view.queries)
    [panel] = [panel for panel in panels(board) if panel["id"] == view.id]
    assert panel["fieldConfig"]["defaults"]["unit"] == view.scale.unit
    assert (panel["title"], panel["description"]) == (view.title, view.about)
    assert [target["expr"] for target in panel["targets"]] == [query.expr for query in view.queries]
    if view.marks is not None and panel["type"] == "timeseries":
        assert panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"] != "off"


@each_view
def test_it_shows_metrics_that_exist(board: Board, view: View) -> None:
    rules = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]
    known = {name for family in catalogue() for name in family.names}
    known |= {rule["record"] for rule in rules if "record" in rule} | {"up", "ALERTS", SCENARIO}
    for query in view.queries:
        assert used(query.expr)
        assert used(query.expr) <= known


def test_promtool_accepts_every_query(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        leave_out("promtool is not installed; on Debian: apt-get install prometheus.")
    queries = [resolved(query.expr, step_s=15, span_s=3600) for _, view in VIEWS for query in view.queries]
    assert not [query for query in queries if "$" in query]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_leads_to_a_panel_that_shows_what_it_is_about() -> None:
    assert set(PANELS) == {alert.name for alert in alerts()}
    shown = {Panel(board.uid, view.id): view for board, view in VIEWS}
    for alert in alerts():
        view = shown[PANELS[alert.name]]
        assert used(alert.expr) & {name for query in view.queries for name in used(query.expr)}, alert.name


def test_the_links_of_the_rules_open_these_panels() -> None:
    links = [
        rule["annotations"]["dashboard_url"]
        for group in yaml.safe_load(FILE.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert len(links) == len(alerts())
    for link in links:
        url = urlsplit(link)
        question = parse_qs(url.query)
        dashboard = json.loads((FOLDER / f"{url.path.removeprefix('/d/')}.json").read_text())
        assert dashboard["uid"] == url.path.removeprefix("/d/")
        assert int(question.pop("viewPanel")[0]) in {panel["id"] for panel in dashboard["panels"]}
        variables = {variable["name"] for variable in dashboard["templating"]["list"]}
        assert {name.removeprefix("var-") for name in question} <= variables


def test_panels_lead_on_to_the_runbook_and_to_nothing_else() -> None:
    sections = set(re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE))
    found = {}
    for board in BOARDS:
        for panel in panels(board):
            for link in panel.get("links", ()):
                name = link["title"].removeprefix("Runbook: ")
                assert link["url"] == f"docs/runbook.md#{name.lower()}"
                found[name] = Panel(board.uid, panel["id"])
    assert set(found) <= sections
    assert found == PANELS


@each_board
def test_nodes_and_workers_can_be_chosen(board: Board) -> None:
    dashboard = json.loads((FOLDER / f"{board.uid}.json").read_text())
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == [
        "datasource", "node", "worker",
    ]  # fmt: skip
    for view in board.views:
        for query in view.queries:
            own = {name for name in used(query.expr) if name.startswith(("chappe_", "process_", "up"))}
            assert not own - {SCENARIO} or "$node" in query.expr, view.title


def test_where_scenarios_ran_is_marked_beside_the_objectives() -> None:
    for uid in ("chappe-overview", "chappe-chaos"):
        dashboard = json.loads((FOLDER / f"{uid}.json").read_text())
        of_prometheus, by_hand = dashboard["annotations"]["list"]
        assert SCENARIO in of_prometheus["expr"]
        assert of_prometheus["titleFormat"] == "{{scenario}}"
        assert by_hand["target"]["tags"] == ["chaos"]


def test_grafana_is_told_where_the_data_and_the_dashboards_are() -> None:
    folder = ROOT / "grafana" / "provisioning"
    [source] = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    scraping = yaml.safe_load((ROOT / "config" / "prometheus" / "prometheus.yml").read_text())["global"]
    assert source["type"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == scraping["scrape_interval"]
    [provider] = yaml.safe_load((folder / "dashboards" / "chappe.yml").read_text())["providers"]
    assert provider["type"] == "file"
    assert Path(provider["options"]["path"]).is_absolute()


def test_the_command_line(tmp_path: Path) -> None:
    assert main(["--into", str(tmp_path / "new"), "--runbook", "https://wiki.example/x"]) == 0
    written = {file.stem: file.read_text() for file in (tmp_path / "new").iterdir()}
    assert set(written) == {board.uid for board in BOARDS}
    assert '"https://wiki.example/x#sendsfail"' in written["chappe-overview"]


def test_a_scenario_is_announced_while_it_runs() -> None:
    def page(url: str) -> str:
        with urlopen(url) as found:
            return str(found.read().decode())

    line = 'chappe_chaos_scenario{scenario="bus away"}'
    with announcing() as announcer:
        [group] = json.loads(page(f"{announcer.url}/targets"))
        [target] = group["targets"]
        assert group["labels"]["job"] != "chappe"  # or its end would be a NodeDown
        assert SCENARIO + "{" not in page(f"http://{target}/metrics")
        with announcer.running("bus away"):
            assert f"{line} 1.0" in page(f"http://{target}/metrics")
        assert f"{line} 0.0" in page(f"http://{target}/metrics")
