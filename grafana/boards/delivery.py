"""How a message fares: stored, on the socket, acknowledged; what waits on the way, and the bus between nodes."""

from __future__ import annotations

from ..query import PROCESS, grown, now, quantiles, rate, series
from ..view import RED, Board, Kind, Query, Row, Scale, View, falling, rising

TIMES = (
    View(
        11,
        "To the recipient's socket",
        "From accepted by any node to written to the socket of a device that is there. The objective is a second.",
        Scale("s", soft_most=1.2),
        quantiles("chappe_delivery_seconds"),
        rising((1, RED)),
    ),
    View(
        12,
        "To SENT",
        "From the moment the SEND was read to durable; past 5 s it is refused as late.",
        Scale("s"),
        quantiles("chappe_send_seconds"),
        rising((5, RED)),
    ),
    View(
        13,
        "To the device's ACK",
        "From accepted to acknowledged; it has the client's network in it.",
        Scale("s"),
        quantiles("chappe_end_to_end_seconds"),
    ),
)

AMOUNTS = (
    View(
        21,
        "Messages",
        "Stored; put on the way to devices, one event each; acknowledged by them.",
        Scale("cps"),
        (
            Query(rate("chappe_messages_stored_total"), "stored"),
            Query(rate("chappe_events_sent_total"), "events sent"),
            Query(rate("chappe_events_acknowledged_total"), "acknowledged"),
            Query(rate("chappe_receipts_received_total"), "receipts"),
        ),
        width=12,
    ),
    View(
        22,
        "Done twice, late, or dropped",
        "Sends answered from an earlier try, groups stored after the write deadline, notes (typing, presence) and "
        "receipts dropped for want of room. None of it is a message that is lost.",
        Scale("cps"),
        (
            Query(rate("chappe_messages_duplicate_total"), "duplicates"),
            Query(rate("chappe_writes_late_total"), "late writes"),
            Query(rate("chappe_notes_dropped_total"), "notes dropped"),
            Query(rate("chappe_watermarks_dropped_total"), "receipts dropped"),
        ),
        width=12,
    ),
)

WAITING = (
    View(
        31,
        "Events that wait for a pump",
        "In all, and for the pump with the most: at `limits.live_events` (512) its inbox is read instead.",
        Scale("none"),
        (
            Query(now("chappe_live_queue_events"), "all"),
            Query(now("chappe_live_queue_max_events", how="max"), "the fullest"),
        ),
    ),
    View(
        32,
        "Sent and not yet acknowledged",
        "Events in the windows of all connections: clients that are slow to say that they have it.",
        Scale("none"),
        (Query(series("chappe_window_events"), PROCESS),),
        kind=Kind.STACK,
    ),
    View(
        33,
        "Inboxes read again",
        "A live queue overflowed, a wake may be lost, or the bus is down.",
        Scale("cps"),
        (Query(rate("chappe_inbox_rereads_total", "node, worker"), PROCESS),),
    ),
)

BUS = (
    View(
        41,
        "Bus up",
        "1 if wakes of other gateways arrive, 0 while inboxes are polled every 2 s: late, nothing lost.",
        Scale("none", most=1.1, decimals=0),
        (Query(series("chappe_bus_up"), PROCESS),),
        falling((0.5, RED)),
        Kind.STEPS,
        width=6,
    ),
    View(
        42,
        "Holes, silences, overflows",
        "Something was missing and inboxes were read again, a gateway fell silent, a queue was full. In 15 minutes. "
        "While a gateway is silent every look for it counts as a hole, until it is given up.",
        Scale("none", soft_most=6),
        (
            Query(grown("chappe_bus_holes_total", over="15m"), "holes"),
            Query(grown("chappe_bus_silences_total", over="15m"), "silences"),
            Query(grown("chappe_bus_overflows_total", over="15m"), "overflows"),
        ),
        rising((5, RED)),
        width=6,
    ),
    View(
        43,
        "Wakes and frames",
        "Wakes for single devices, and frames that carry them, beats included.",
        Scale("cps"),
        (
            Query(rate("chappe_bus_wakes_sent_total"), "wakes sent"),
            Query(rate("chappe_bus_frames_sent_total"), "frames sent"),
            Query(rate("chappe_bus_frames_received_total"), "frames received"),
        ),
        width=6,
    ),
    View(
        44,
        "Messages that wait for the bus",
        "What grows while Redis is slow or away.",
        Scale("none"),
        (Query(series("chappe_bus_queue_messages"), PROCESS),),
        kind=Kind.STACK,
        width=6,
    ),
)

BOARD = Board(
    "chappe-delivery",
    "Chappe: delivery",
    "How long messages take, how many there are, what waits, and the bus between nodes.",
    (
        Row("How long", TIMES),
        Row("How many", AMOUNTS),
        Row("What waits", WAITING),
        Row("Between nodes", BUS),
    ),
)
