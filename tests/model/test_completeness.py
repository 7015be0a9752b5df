"""Whatever the adversary does within its bounds: what was acknowledged is at every device, once, at one place."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .schedule import Step
from .schedules import SCHEDULES
from .world import play

EXAMPLES = 25
LONG = int(os.environ.get("CHAPPE_TEST_SCHEDULES", "1000"))
GATEWAYS = st.sampled_from((2, 3))
# One seed in the default run, so that it fails for a change only. A failure prints its schedule: shrinking takes long.
DEFAULT = settings(
    max_examples=EXAMPLES, derandomize=True, phases=[Phase.explicit, Phase.generate], database=None
)


@DEFAULT
@given(SCHEDULES, GATEWAYS)
def test_nothing_is_lost_or_shown_twice_or_out_of_order(steps: Sequence[Step], gateways: int) -> None:
    play(steps, gateways=gateways)


@pytest.mark.slow
@settings(
    max_examples=LONG, database=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False
)
@given(SCHEDULES, GATEWAYS)
def test_a_longer_search_finds_nothing_either(steps: Sequence[Step], gateways: int) -> None:
    play(steps, gateways=gateways)
