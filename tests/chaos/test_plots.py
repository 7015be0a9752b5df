"""The plots are well-formed, and show what they are given where it belongs."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from chaos.analysis.figures import Second
from chaos.outcome import Firing
from chaos.report.plots import LEFT, RIGHT, WIDTH, Frame, lanes, latencies, stacked

FRAME = Frame(0, 10_000, (2_000, 6_000))


def bars(svg: str, kind: str) -> list[dict[str, float]]:
    root = ElementTree.fromstring(svg)
    found = [one.attrib for one in root.iter("rect") if one.get("class") == kind]
    return [{name: float(value) for name, value in one.items() if name != "class"} for one in found]


def test_a_bar_is_as_high_as_what_it_counts() -> None:
    svg = stacked(FRAME, [Second(0, 10, 10), Second(3000, 10, 4), Second(4000, 0, 0)])
    good, bad = bars(svg, "good"), bars(svg, "bad")
    assert good[0]["height"] == pytest.approx(good[1]["height"] + bad[0]["height"], abs=0.2)
    assert bad[0]["height"] == pytest.approx(good[0]["height"] * 0.6, abs=0.2)
    assert bad[0]["y"] + bad[0]["height"] == pytest.approx(good[1]["y"], abs=0.2)
    assert len(bad) == 1


def test_the_fault_is_shaded_where_it_was() -> None:
    [fault] = bars(stacked(FRAME, [Second(0, 1, 1)]), "fault")
    width = WIDTH - LEFT - RIGHT
    assert fault["x"] == pytest.approx(LEFT + 0.2 * width, abs=0.2)
    assert fault["width"] == pytest.approx(0.4 * width, abs=0.2)


def test_a_longer_wait_is_drawn_higher() -> None:
    root = ElementTree.fromstring(latencies(FRAME, [(0, 1.0), (5000, 100.0), (9000, 30_000.0)]))
    heights = [float(dot.attrib["cy"]) for dot in root.iter("circle")]
    assert heights == sorted(heights, reverse=True)
    assert ElementTree.fromstring(latencies(FRAME, [])) is not None


def test_an_alert_has_a_lane_and_a_bar_for_each_time_within_the_plot() -> None:
    alerts = [Firing("page A", 1000, 3000), Firing("ticket B", 2000, 99_000), Firing("page A", 8000)]
    first, other, again = bars(lanes(FRAME, alerts), "alert")
    width = WIDTH - LEFT - RIGHT
    assert first["y"] == again["y"] < other["y"]
    assert first["x"] == pytest.approx(LEFT + 0.1 * width, abs=0.2)
    assert first["width"] == pytest.approx(0.2 * width, abs=0.2)
    for one in (other, again):
        assert one["x"] + one["width"] == pytest.approx(LEFT + width, abs=0.2)
