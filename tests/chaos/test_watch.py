"""Whoever watches a run: what is asked of Prometheus, and which alerts are seen, expected and missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos import runner
from chaos.faults.processes import killed, server_away
from chaos.lab import Lab
from chaos.outcome import Check, Firing, Outcome
from chaos.runner import Order, heard
from chaos.scenario import STEADY, People, Probe, Scenario
from chaos.stack.node import until
from chaos.watch import Watch
from deploy.services import Fleet

TWO = People(people=2, with_two=0, per_s=2.0, in_process=2)
FAULT_MS = (10_000, 20_000)
DOWN = "page NodeDown"


def test_an_alert_is_a_span_from_when_it_is_seen_to_when_it_is_not(tmp_path: Path) -> None:
    watch = Watch(Fleet(tmp_path))
    for at_ms, firing in enumerate([set(), {"a"}, {"a", "b"}, {"b"}, {"a", "b"}]):
        watch.note(firing, at_ms)
    assert watch.firing == {"a", "b"}
    assert watch.firings == (Firing("a", 1, 3), Firing("b", 2), Firing("a", 4))


@pytest.mark.parametrize(
    ("spans", "is_kept", "says"),
    [
        ([], False, "it did not fire"),
        ([(12_000, 21_500)], True, "after 2.0 s, for 9.5 s"),
        ([(22_000, 23_000)], True, "after 12.0 s, for 1.0 s"),  # it takes its time to see what is over
        ([(9_000, 21_000)], False, "it did not fire"),  # because of the fault, that is
        ([(40_000, 41_000)], False, "it did not fire"),
        ([(12_000, None)], False, "after 2.0 s, and fires still"),
        ([(12_000, 13_000), (30_000, None)], False, "after 2.0 s, and fires still"),
    ],
)
def test_a_promised_alert_begins_in_the_fault_and_is_over(
    spans: list[tuple[int, int | None]], is_kept: bool, says: str
) -> None:
    alerts = [Firing("page Other", 12_000), *(Firing(DOWN, *span) for span in spans)]
    check = heard(DOWN, alerts, FAULT_MS)
    assert (check.is_kept, check.found) == (is_kept, says)


async def carry_out(folder: Path, fault: object, **more: object) -> tuple[Outcome, dict[str, Check]]:
    scenario = Scenario("It holds.", "Nobody.", fault, people=TWO, name="made-up", **more)  # type: ignore[arg-type]
    outcome = await runner.run(Order(scenario, folder / "run", seed=1))
    assert outcome.problem is None
    return outcome, {check.title: check for check in outcome.checks}


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.usefixtures("watched")
async def test_an_alert_fires_and_is_over_though_prometheus_died_meanwhile(tmp_path: Path) -> None:
    async def fault(lab: Lab) -> None:
        async with killed(lab, lab.nodes[0]):
            await until(lambda: DOWN in lab.watch.firing, "it fires")
            async with server_away(lab, lab.watch.fleet.prometheus.servers[0], "kill"):
                with pytest.raises(OSError, match=r"refused|reset"):
                    lab.watch.value("up")
                assert DOWN in {f"page {alert['labels']['alertname']}" for alert in lab.watch.alerts()}
            fresh = "time() - timestamp(ALERTS) < 3"  # else it is gone before Prometheus tells anybody
            await until(lambda: lab.watch.query(fresh), "it fires again")

    outcome, checks = await carry_out(tmp_path, fault, alerts=(DOWN,))
    assert checks[f"{DOWN} fires in the fault, and is resolved after it"].is_kept, checks
    assert checks["steady state before"].is_kept, checks
    assert checks["steady state after"].is_kept, checks
    [down] = [one for one in outcome.alerts if one.alert == DOWN]
    assert outcome.fault_ms is not None
    assert down.to_ms is not None
    assert outcome.fault_ms[0] <= down.from_ms < down.to_ms


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.usefixtures("watched")
async def test_what_is_not_steady_and_who_is_not_told_break_the_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "STEADY_WITHIN_S", 2.0)
    probes = (*STEADY, Probe("nodes", 'count(up{job="chappe"})', low=2), Probe("nothing", "no_such_metric"))

    async def fault(lab: Lab) -> None:
        await lab.chat(2)

    outcome, checks = await carry_out(tmp_path, fault, steady=probes, alerts=(DOWN,))
    assert outcome.word == "BROKEN"
    says = checks["steady state after"].found
    assert says.endswith("nodes: 1 (!); nothing: Prometheus has nothing (!)")
    assert says.count("(!)") == 2
    assert checks[f"{DOWN} fires in the fault, and is resolved after it"].found == "it did not fire"
