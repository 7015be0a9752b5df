"""Who is connected, who comes and goes and why, and how near the limits of a process are."""

from __future__ import annotations

from ..query import PROCESS, now, quantile, rate, series, split
from ..view import GREEN, ORANGE, RED, YELLOW, Board, Kind, Query, Row, Scale, View, falling, rising

DAY_S = 86_400
JOB = 'job="chappe"'

HERE = (
    View(
        11,
        "Who is here",
        "Open connections, devices that are signed in, accounts of theirs, and connections with nothing under way.",
        Scale("none"),
        tuple(
            Query(now(metric), name)
            for metric, name in (
                ("chappe_connections", "connections"),
                ("chappe_devices_online", "devices"),
                ("chappe_accounts_online", "accounts"),
                ("chappe_connections_idle", "idle"),
            )
        ),
    ),
    View(
        12,
        "Room for connections, in use",
        "Of `limits.connections`; at 100% further clients are closed unheard.",
        Scale("percentunit", soft_most=1),
        (Query(f"{series('chappe_connections')} / {series('chappe_connections_limit')}", PROCESS),),
        rising((0.7, YELLOW), (0.9, RED)),
    ),
    View(
        13,
        "Accounts that are watched",
        "Whose presence somebody who is connected here wants to know.",
        Scale("none"),
        (Query(series("chappe_presence_watches"), PROCESS),),
        kind=Kind.STACK,
    ),
)

COMING_AND_GOING = (
    View(
        21,
        "Coming",
        "Connections accepted, sign-ins with a cursor (resumed), and connections closed unheard, by why.",
        Scale("cps"),
        (
            Query(rate("chappe_connections_accepted_total"), "accepted"),
            Query(rate("chappe_sessions_resumed_total"), "resumed"),
            Query(rate("chappe_connections_rejected_total", "reason"), "rejected: {{reason}}"),
        ),
    ),
    View(
        22,
        "Going, by close code",
        "1000 and 1001 are goodbyes, other is a connection that broke off, 1011 a fault of ours, 4408 a client that "
        "is too slow, further 44xx what clients did wrong, 4503 a node that is too busy (docs/protocol.md).",
        Scale("cps"),
        split("chappe_connections_closed_total", "code"),
        colours={"1000": GREEN, "1011": RED, "4503": ORANGE},
    ),
    View(
        23,
        "Calls and sign-ups answered",
        "By whose fault it was: refused is the client's, failed ours.",
        Scale("reqps"),
        (Query(rate("chappe_calls_total", "outcome"), "{{outcome}}"),),
        colours={"ok": GREEN, "refused": YELLOW, "failed": RED},
    ),
)

WAITING = (
    View(
        31,
        "Bytes that wait for sockets",
        "In all, and for the socket with the most: a client that does not read. Past `limits.outbox_bytes` it goes.",
        Scale("bytes"),
        (
            Query(now("chappe_outbox_bytes"), "all"),
            Query(now("chappe_outbox_max_bytes", how="max"), "the fullest"),
        ),
    ),
    View(
        32,
        "Calls: how long, 99%",
        "From a call or sign-up to its answer, the slowest five.",
        Scale("s"),
        (Query(f"topk(5, {quantile(0.99, 'chappe_call_seconds', 'call')})", "{{call}}"),),
    ),
    View(
        33,
        "Frames refused, by error",
        "The client's fault or ours, see docs/protocol.md. A code has its line from its first frame on.",
        Scale("cps"),
        split("chappe_errors_total", "code"),
    ),
)

LIMITS = (
    View(
        41,
        "Files in use",
        "Of as many as the process may have. Each connection is one.",
        Scale("percentunit", soft_most=1),
        (Query(f"{series('process_open_fds', JOB)} / {series('process_max_fds', JOB)}", PROCESS),),
        rising((0.6, YELLOW), (0.8, RED)),
        width=12,
    ),
    View(
        42,
        "The certificate ends in",
        "After that no client connects. Without TLS in this process a proxy has the certificate: look there.",
        Scale("s", least=None),
        (Query(f"{series('chappe_tls_certificate_expiry_timestamp_seconds')} - time()", PROCESS),),
        falling((3 * DAY_S, RED), (21 * DAY_S, YELLOW)),
        Kind.NUMBERS,
        width=12,
        empty="no TLS in these processes",
    ),
)

BOARD = Board(
    "chappe-connections",
    "Chappe: connections",
    "Who is connected, who comes and goes and why, and how near the limits are.",
    (
        Row("Here", HERE),
        Row("Coming, going, asking", COMING_AND_GOING),
        Row("Slow clients, slow calls", WAITING),
        Row("Limits", LIMITS),
    ),
)
