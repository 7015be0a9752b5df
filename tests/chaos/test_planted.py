"""Bugs that are planted are found: each by a scenario, on real processes. Without this a green run proves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos import bugs, runner
from chaos.needs import lacking
from chaos.outcome import Outcome
from chaos.runner import Order
from chaos.scenario import load_all
from tests.services import Services, services

__all__ = ["services"]  # a fixture: pytest finds it here

# A bug, the scenario that finds it, and a rule of the history check that it breaks.
FOUND = {
    "early-ack": ("node-killed", "lost"),
    "no-deduplication": ("resetting-network", "renamed"),
    "drop-on-overflow": ("hot-conversation", "lost"),
    "arrival-order": ("node-killed", "disorder"),
    "no-completeness-rule": ("bus-and-replica", "lost"),
}
TRIES = 3


async def found(folder: Path, bug: str, services: Services) -> Outcome:
    name, rule = FOUND[bug]
    scenario = load_all()[name]
    if why := lacking(scenario):
        pytest.skip(why)  # Toxiproxy wants a newer Go than Debian has, so no run can ask for it
    fleet = None
    if scenario.stack.is_full:
        fleet = services("postgres", "redis", "cassandra", nodes=3)
    for seed in range(1, TRIES + 1):
        outcome = await runner.run(Order(scenario, folder / str(seed), seed, fleet, bug))
        if rule in outcome.violations:
            break
    return outcome


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lost will not come: wait less long for it."""
    monkeypatch.setattr(runner, "PATIENCE_S", 20.0)


def test_every_bug_has_its_finder() -> None:
    assert sorted(FOUND) == bugs.names()


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.parametrize("bug", FOUND)
async def test_a_planted_bug_is_found(bug: str, tmp_path: Path, services: Services) -> None:
    outcome = await found(tmp_path, bug, services)
    assert FOUND[bug][1] in outcome.violations, outcome
    assert outcome.word == "BROKEN"
