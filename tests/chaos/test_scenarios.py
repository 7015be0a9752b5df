"""The quick scenarios, each once: no message is lost, doubled or out of place. How available it was decides no test."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos import runner
from chaos.needs import lacking
from chaos.runner import Order
from chaos.scenario import load_all
from tests.services import leave_out

QUICK = {name: scenario for name, scenario in load_all().items() if scenario.is_quick}


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.parametrize("name", QUICK)
async def test_a_quick_scenario_keeps_every_message(name: str, tmp_path: Path, seed: int) -> None:
    scenario = QUICK[name]
    if why := lacking(scenario):
        leave_out(why)
    outcome = await runner.run(Order(scenario, tmp_path / "run", seed))
    assert outcome.problem is None, outcome.problem
    assert outcome.violations == {}, outcome.verdict
