"""The parts of the drawing that need neither a browser nor a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grafana import BOARDS, rendered
from grafana.ask import Range, Series
from grafana.drawing.__main__ import main
from grafana.drawing.data import CELL_PX, HEAD_PX, bands, height_px
from grafana.resolve import resolved

FOLDER = Path(__file__).parents[2] / "grafana" / "drawing"
WHEN = Range(0.0, 100.0, 1.0, 1.0)


def ran(scenario: str, *moments: float) -> Series:
    return Series({"scenario": scenario}, tuple((at, 1.0) for at in moments))


def test_a_scenario_that_ran_twice_has_two_bands() -> None:
    found = bands((ran("a", 10, 11, 12, 50, 51), ran("b", 30)), WHEN)
    assert found == [
        {"text": "a", "from_s": 10, "to_s": 12},
        {"text": "b", "from_s": 30, "to_s": 30},
        {"text": "a", "from_s": 50, "to_s": 51},
    ]


@pytest.mark.parametrize(
    ("step_s", "scraped_s", "interval"), [(15, 15, "60000ms"), (600, 15, "615000ms"), (1, 1, "4000ms")]
)
def test_the_rate_interval_is_grafanas(step_s: float, scraped_s: float, interval: str) -> None:
    expr = 'rate(x{node=~"$node",worker=~"$worker"}[$__rate_interval]) + y[$__range]'
    assert resolved(expr, step_s=step_s, span_s=3600, scraped_s=scraped_s) == (
        f'rate(x{{node=~".*",worker=~".*"}}[{interval}]) + y[3600000ms]'
    )


def test_a_picture_has_room_for_the_lowest_panel() -> None:
    dashboard = json.loads(rendered(BOARDS[0]))
    last = dashboard["panels"][-1]["gridPos"]
    assert height_px(dashboard) == HEAD_PX + CELL_PX * (last["y"] + last["h"])


def test_what_comes_from_npm_is_pinned_and_says_not_from_where() -> None:
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    locked = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    for name, package in locked.items():
        assert "resolved" not in package, name
        assert not name or package.get("link") or package["integrity"].startswith("sha512-"), name


@pytest.mark.parametrize("words", [["--only", "nothing"], ["--from", "x", "--prometheus", "y"]])
def test_wrong_words_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
