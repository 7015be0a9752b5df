"""Schedules for Hypothesis: everything that the rule allows the adversary, and nothing beyond it.

The bounds: rows of what is acknowledged are visible W after the message got its place; two clocks differ by S; a posted
SEND is taken in soon after its connection ended, or never; a command to the bus takes under 2 s, or fails. A gateway is
frozen for less than a wake-up may be missing: see the known gaps in docs/architecture.md.
"""

from __future__ import annotations

from hypothesis import strategies as st

from .network import IN_FLIGHT_S
from .rules import TIMING
from .schedule import (
    Cut,
    Fate,
    Fates,
    Freeze,
    Kill,
    Lag,
    Loss,
    Move,
    Outage,
    Ping,
    Reads,
    Say,
    Skew,
    Slow,
    Step,
    Wait,
)

HALF_MS = int(TIMING.skew_s * 500)
NUMBERS = st.integers(0, 3)
WAITS = st.sampled_from((0.01, 0.5, 1.0, 2.5, 5.0, 8.1, 13.0, 16.1, 21.1))
SHORT = st.sampled_from((0.1, 1.0, 3.0, 9.0))
DELAYS = st.sampled_from((0.0, 0.0, 0.1, 2.0, 4.9, 5.1, 9.0, 20.0, 40.0, None))
FATES = st.builds(
    Fate,
    DELAYS,
    st.lists(DELAYS, min_size=1, max_size=2).map(tuple),
    st.sampled_from(("", "", "", "log", "inbox")),
    st.sampled_from((0.5, 3.0, 5.0)),
)
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Wait, WAITS),
    st.builds(Say, NUMBERS, st.integers(0, 1)),
    st.builds(Say, NUMBERS, st.integers(0, 1)),
    st.builds(Fates, NUMBERS, st.lists(FATES, min_size=1, max_size=3).map(tuple)),
    st.builds(Fates, NUMBERS, st.lists(FATES, min_size=1, max_size=3).map(tuple)),
    st.builds(Move, NUMBERS, NUMBERS, st.sampled_from((0.0, 0.5, 5.0, 20.0)), st.booleans()),
    st.builds(Move, NUMBERS, NUMBERS, st.sampled_from((0.0, 0.5, 5.0, 20.0)), st.booleans()),
    st.builds(Ping, NUMBERS),
    st.builds(Skew, NUMBERS, st.sampled_from((-HALF_MS, 0, HALF_MS))),
    st.builds(Kill, NUMBERS, SHORT),
    st.builds(Freeze, NUMBERS, SHORT.filter(lambda s: s < 5), st.booleans()),
    st.builds(Outage, SHORT),
    st.builds(Cut, NUMBERS, st.sampled_from((3.0, 20.0, 40.0))),
    st.builds(Loss, NUMBERS, st.integers(1, 3)),
    st.builds(Slow, NUMBERS, st.sampled_from((5.0, 30.0)), st.sampled_from((0.5, 1.9))),
    st.builds(Lag, NUMBERS, st.sampled_from((0.0, IN_FLIGHT_S)), st.sampled_from((0.0, 0.3, 3.0))),
    st.builds(
        Reads, NUMBERS, st.sampled_from((2.0, 10.0)), st.sampled_from((0.0, 3.0)),
        st.sampled_from((0.0, 3.0)), st.booleans(),
    ),
)  # fmt: skip
SCHEDULES = st.lists(STEPS, max_size=16)
