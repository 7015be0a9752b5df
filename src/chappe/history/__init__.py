"""Did the messenger keep its promise? Devices write down what they do and see; a pure check judges it.

The system tests and the chaos scenarios record one history a device and call `check`; the command
`python -m chappe.history FOLDER` does the same for histories on disk. The idea is Jepsen's (https://jepsen.io):
whatever faults there were, only the histories count.

>>> sent = Tick(conv="c", text="hi", state="sent", id="01")
>>> page = Page(conv="c", rows=(Row(text="hi", device="a1", id="01", state="sent"),))
>>> alice = (Start(user="a", device="a1"), Invoke(conv="c", to="b", text="hi"), sent, Finish(pages=(page,)))
>>> bob = (Start(user="b", device="b1"), Finish(pages=()))
>>> print(check([History("alice", alice), History("bob", bob)]).to_text())
NOT KEPT: 2 devices, 1 conversations, 1 messages (1 acknowledged, 0 failed, 0 unknown), 0 shown, 0 restarts
lost: an acknowledged message is missing on a device
    alice:3 told: sent 'hi' as 01
    bob:2 ends with 0 messages in c, not 'hi'
"""

from __future__ import annotations

from .check import check
from .records import (
    Finish,
    History,
    Invoke,
    Page,
    Read,
    Record,
    Recorder,
    Row,
    Shown,
    Start,
    Tick,
    load,
)
from .verdict import Rule, Step, Verdict, Violation

__all__ = [
    "Finish",
    "History",
    "Invoke",
    "Page",
    "Read",
    "Record",
    "Recorder",
    "Row",
    "Rule",
    "Shown",
    "Start",
    "Step",
    "Tick",
    "Verdict",
    "Violation",
    "check",
    "load",
]
