"""The stores as their callers feel them, the queue in front of the message store, Cassandra, and the disk."""

from __future__ import annotations

from ..query import PROCESS, now, quantile, rate, series
from ..view import RED, YELLOW, Board, Query, Row, Scale, View, falling, rising

OPERATIONS = "chappe_store_operation_seconds"
NO_MESSAGES = 'store!="messages"'
ALL = f"{OPERATIONS}_count"
FAILED = 'outcome=~"unavailable|unknown|error"'
FAILURES = f"{rate(ALL, 'store', FAILED)} or 0 * {rate(ALL, 'store')}"  # 0, not nothing, while all is well

AS_FELT = (
    View(
        11,
        "Operations",
        "What is asked of each store: messages, users, keys.",
        Scale("ops"),
        (Query(rate(ALL, "store"), "{{store}}"),),
    ),
    View(
        12,
        "Message store: how long, 99%",
        "With the wait for a thread or slot. Appends past 5 s are refused as late.",
        Scale("s", soft_most=1.2),
        (
            Query(
                quantile(0.99, OPERATIONS, "operation", 'operation=~"append|inbox|history"'), "{{operation}}"
            ),
        ),
        rising((1, RED)),
    ),
    View(
        13,
        "Failures",
        "The share of operations that were unavailable, unknown (a write that may have happened) or a bug.",
        Scale("percentunit", soft_most=0.02),
        (
            Query(
                f"({FAILURES}) / {rate(ALL, 'store')}",
                "{{store}}",
            ),
        ),
        rising((0.01, RED)),
    ),
    View(
        14,
        "Users and keys: how long, 99%",
        "The slowest six operations.",
        Scale("s"),
        (
            Query(
                f"topk(6, {quantile(0.99, OPERATIONS, 'store, operation', NO_MESSAGES)})",
                "{{store}}.{{operation}}",
            ),
        ),
        width=12,
    ),
    View(
        15,
        "Trouble",
        "Times that a store was away, by what for; SENDs answered with an error, by code; what Cassandra warned of "
        "(tombstones, large_read, batch, partition). Each kind has its line from its first time on.",
        Scale("cps"),
        (
            Query(f"{rate('chappe_store_failures_total')} or vector(0)", "away"),
            Query(rate("chappe_store_failures_total", "operation"), "away: {{operation}}"),
            Query(rate("chappe_send_errors_total", "code"), "SEND: {{code}}"),
            Query(rate("chappe_store_warnings_total", "kind"), "warning: {{kind}}"),
        ),
        width=12,
    ),
)

LOG = (
    View(
        21,
        "How full the fullest log queue is",
        "At 100% the node stops reading from senders, who then wait.",
        Scale("percentunit", soft_most=1),
        (Query(series("chappe_log_queue_max_ratio"), PROCESS),),
        rising((0.5, YELLOW), (0.8, RED)),
    ),
    View(
        22,
        "Messages in one append",
        "The more wait, the more go together: batches are how a store keeps up. One of receipts alone has none.",
        Scale("none", decimals=1),
        (
            Query(
                f"{rate('chappe_append_batch_messages_sum')} / {rate('chappe_append_batch_messages_count')}",
                "mean",
            ),
            Query(quantile(0.95, "chappe_append_batch_messages"), "95%"),
        ),
    ),
    View(
        23,
        "On the way to the log",
        "Messages that wait for a log writer, and sends that are not yet durable.",
        Scale("none"),
        (
            Query(now("chappe_log_queue_messages"), "waiting"),
            Query(now("chappe_sends_in_flight"), "in flight"),
        ),
    ),
)

CASSANDRA = (
    View(
        31,
        "Nodes of Cassandra that are away",
        "As each process sees it. With three replicas all goes on while one is away, and nothing while two are.",
        Scale("none", soft_most=2, decimals=0),
        (Query(f"{series('chappe_store_nodes')} - {series('chappe_store_nodes_up')}", PROCESS),),
        rising((1, YELLOW), (2, RED)),
    ),
    View(
        32,
        "Requests",
        "To Cassandra, by how they ended.",
        Scale("reqps"),
        (Query(rate("chappe_store_request_seconds_count", "outcome"), "{{outcome}}"),),
        colours={"ok": "green", "timeout": "red", "unavailable": "dark-red"},
    ),
    View(
        33,
        "How long, 99%",
        "One request, by what for.",
        Scale("s"),
        (Query(f"topk(6, {quantile(0.99, 'chappe_store_request_seconds', 'operation')})", "{{operation}}"),),
    ),
)

DISK = (
    View(
        41,
        "Disk of the data folder, free",
        "On a full disk SQLite takes no more messages. Nodes that have nothing on their own disk are not here.",
        Scale("percentunit", most=1),
        (Query(f"{series('chappe_data_free_bytes')} / {series('chappe_data_size_bytes')}", PROCESS),),
        falling((0.05, RED), (0.15, YELLOW)),
        width=12,
        empty="no node has a data folder",
    ),
    View(
        42,
        "Bytes that wait for the log",
        "Bodies and wraps, by process.",
        Scale("bytes"),
        (Query(series("chappe_log_queue_bytes"), PROCESS),),
        width=12,
    ),
)

BOARD = Board(
    "chappe-stores",
    "Chappe: stores",
    "The stores as their callers feel them, the queue before the message store, Cassandra, and the disk.",
    (
        Row("As felt by whoever asks", AS_FELT),
        Row("The way into the log", LOG),
        Row("Cassandra", CASSANDRA),
        Row("Room", DISK),
    ),
)
