"""Each part of the rule is needed: without it the model finds a loss or a wrong order, by the schedule that shows it.

The same schedules do no harm to the product as it is. They are as short as they were found; times are from the moment
at which the first message gets its place, W is 5 s and S is 3 s here, clocks are S apart.
"""

from __future__ import annotations

import pytest

from .rules import Rules
from .schedule import Cut, Fate, Fates, Kill, Loss, Move, Ping, Reads, Say, Skew, Step, Wait
from .world import broken, play

SLOW = Fates(0, (Fate(inbox=(4.9,)),))  # stored just within W
APART = [Skew(0, -1500), Skew(1, 1500)]
SOON_BACK = [Move(1, 1), Wait(0.1), Move(1, 1, 3.0)]  # the reader, device 1, reads its inbox and leaves

OMISSIONS: dict[str, tuple[Rules, str, list[Step]]] = {
    "W in the horizon": (
        Rules(w=False),
        "has lost",
        # A reader comes at 4 s, while the row is on its way, and leaves before it is told.
        [SLOW, Say(0), Wait(4.0), *SOON_BACK],
    ),
    "S in the horizon": (
        Rules(s=False),
        "has lost",
        [*APART, SLOW, Say(0), Wait(4.0), *SOON_BACK],
    ),
    "a cursor moves by reading only": (
        Rules(do_cursors_follow_reads=False),
        "has lost",
        # The wake-up is lost, its gateway dies before it can tell, and the reader asks for a cursor after W + S.
        [SLOW, Loss(0), Say(0), Wait(4.95), Kill(0, 60.0), Wait(3.4), Ping(1), Wait(0.01), Move(1, 1, 1.0)],
    ),
    "no late write is acknowledged": (
        Rules(is_late_refused=False),
        "has lost",
        # The second message waits for the first, and is stored after 9.7 s.
        [
            Fates(0, (Fate(inbox=(4.9,)), Fate(inbox=(4.9,)))),
            Say(0),
            Wait(0.1),
            Say(2),
            Wait(8.2),
            *SOON_BACK,
        ],
    ),
    "what failed is stored once more": (
        Rules(is_stored_again=False),
        "has lost",
        [Fates(0, (Fate(inbox=(None,), patience_s=1.0),)), Say(0), Wait(5.0)],
    ),
    "a resend on another connection waits": (
        Rules(does_resend_wait=False),
        "under two ids",
        # The log row is not there yet when the other gateway looks for it.
        [Fates(0, (Fate(log=3.0),)), Say(0), Wait(0.5), Move(0, 1, 0.1), Wait(20.0)],
    ),
    "the log row comes first": (
        Rules(is_log_first=False),
        "under two ids",
        # A reader sees the inbox row; then the writer dies without a log row that the resend would find.
        [
            Fates(0, (Fate(log=None, patience_s=3.0),)),
            Say(0),
            Wait(0.5),
            Move(1, 1),
            Wait(1.0),
            Kill(0, 20.0),
            Wait(20.0),
        ],
    ),
}


@pytest.mark.parametrize("omission", OMISSIONS)
def test_what_is_left_out_is_missed(omission: str) -> None:
    rules, harm, steps = OMISSIONS[omission]
    assert harm in (broken(steps, rules) or "nothing")
    play(steps)


# What the model found in the product, by the schedules that showed it.

FOUND: dict[str, list[Step]] = {
    # A try fails at gateway 0 and leaves nothing; the next, at gateway 1, is half stored and shown; then back to 0.
    "a gateway remembers an id that another one has replaced": [
        Fates(0, (Fate(log=None, patience_s=3.0),)),
        Fates(1, (Fate(inbox=(0.0, None), patience_s=3.0),)),
        Say(0),
        Wait(0.1),
        Move(0, 1, 0.1),
        Wait(9.0),
        Move(1, 1, 0.1),
        Move(2, 1, 0.1),
        Wait(0.5),
        Move(0, 0, 0.1),
        Wait(20.0),
    ],
    # The log row of the first try turns up after the second has looked, that of the second after the third.
    "an id that nobody was shown turns up": [
        Fates(0, (Fate(log=15.0, patience_s=3.0), Fate(inbox=(0.0, None), patience_s=3.0))),
        Fates(1, (Fate(log=21.5, patience_s=3.0),)),
        Say(0),
        Wait(0.1),
        Move(0, 1, 0.1),
        Wait(8.2),
        Move(0, 0, 10.0),
        Wait(11.0),
        Move(1, 1, 0.1),
        Move(2, 1, 0.1),
        Wait(0.5),
        Move(0, 1, 15.0),
        Wait(20.0),
    ],
    # A gateway that only the bus does not reach goes on storing messages.
    "a gateway is cut off from the bus alone": [
        Wait(1.0),
        Cut(0, 40.0),
        Wait(10.0),
        Say(0),
        Wait(22.0),
        Ping(1),
        Wait(0.01),
        Move(1, 1),
    ],
    # Pages of two rows, read slowly: five newer messages, and a late one that lands behind the first page.
    "a row lands among pages that were read": [
        Move(2, 1),
        Wait(1.0),
        Move(1, 1, 1.2),
        Wait(1.0),
        Loss(0),
        SLOW,
        Say(0),
        Wait(0.05),
        *[Say(2)] * 5,
        Wait(0.1),
        Reads(1, 60.0, before_s=4.4),
        Wait(13.5),
        Move(1, 1, 3.0),
    ],
}


@pytest.mark.parametrize("found", FOUND)
def test_what_the_model_found_stays_mended(found: str) -> None:
    play(FOUND[found])
