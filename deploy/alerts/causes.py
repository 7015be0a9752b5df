"""Alerts on causes: what breaks, or soon will, whether anybody who chats has noticed yet or not.

A page is for what people notice or will within the hour and a person has to end; everything else is a ticket. What
heals by itself is looked at only when it does so again and again.
"""

from __future__ import annotations

from collections.abc import Iterator

from .pace import Pace
from .rules import Alert

# Supervisors of one client's tasks: what happens there is that client's, or shows in the objectives.
OF_CLIENTS = ".*/connections/.*"
WHERE = "{{ $labels.node }}/{{ $labels.worker }}"


def cause_alerts(pace: Pace) -> Iterator[Alert]:
    """Yield the alerts, those of processes first."""
    yield from _processes(pace)
    yield from _stores_and_bus(pace)
    yield from _room(pace)


def _processes(pace: Pace) -> Iterator[Alert]:
    yield Alert(
        "NodeDown",
        'up{job="chappe"} == 0',
        "page",
        f"{WHERE} does not answer.",
        "Prometheus has not been able to scrape it. Its clients reconnect to other nodes, if there are any.",
        hold=pace("1m"),
    )
    yield Alert(
        "NoNodes",
        'absent(up{job="chappe"})',
        "page",
        "Prometheus knows of no node of Chappe.",
        "Service discovery finds no target: either nothing runs, or /targets is not where Prometheus looks.",
        hold=pace("5m"),
    )
    yield Alert(
        "WorkersMissing",
        "chappe_workers < chappe_workers_wanted",
        "ticket",
        "{{ $labels.node }} has {{ $value }} workers, fewer than it should.",
        "The parent starts missing workers by itself, with backoff; it has not succeeded for a while.",
        hold=pace("2m"),
    )
    yield Alert(
        "ChildRestarts",
        "sum by (job, node, worker, child)"
        f' (increase(chappe_child_restarts_total{{child!~"{OF_CLIENTS}"}}[{pace("15m")}])) > 2',
        "ticket",
        f"{{{{ $labels.child }}}} of {WHERE} was restarted again and again.",
        "A part of the node crashes; its supervisor heals it each time. The log has the traceback.",
    )
    yield Alert(
        "HeadroomSmall",
        f'chappe_supervisor_headroom_restarts{{supervisor!~"{OF_CLIENTS}"}}'
        f' <= 0.3 * chappe_supervisor_intensity_restarts{{supervisor!~"{OF_CLIENTS}"}}',
        "page",
        f"{{{{ $labels.supervisor }}}} of {WHERE} gives up after {{{{ $value }}}} more restarts.",
        "When a supervisor gives up, the one above restarts all of it; when the root does, the process ends.",
    )
    yield Alert(
        "SupervisorGaveUp",
        f'increase(chappe_supervisors_gave_up_total{{supervisor!~"{OF_CLIENTS}"}}[{pace("15m")}]) > 0',
        "ticket",
        f"{{{{ $labels.supervisor }}}} of {WHERE} gave up and was started anew.",
        "Its children crashed more often than its intensity allows.",
    )
    yield Alert(
        "ChildStuck",
        "chappe_children_stuck_now > 0",
        "ticket",
        f"{{{{ $labels.child }}}} of {WHERE} does not end, though it was cancelled.",
        "A task shields itself or sits in a call that never returns. The log names the frame (child_stuck).",
        hold=pace("1m"),
    )
    yield Alert(
        "EventLoopLate",
        "histogram_quantile(0.9, sum by (job, node, worker, le)"
        f" (rate(chappe_event_loop_lag_seconds_bucket[{pace('5m')}]))) > 0.25",
        "ticket",
        f"The event loop of {WHERE} is {{{{ $value | humanizeDuration }}}} late.",
        "The process has more work than one core does, or something blocks its loop.",
        hold=pace("5m"),
    )
    yield Alert(
        "ClockSkew",
        "abs(chappe_clock_skew_seconds) > 0.25 or chappe_clock_ahead_seconds > 0.25",
        "page",
        f"The clock of {WHERE} is off by {{{{ $value | humanizeDuration }}}}.",
        "Past timing.skew_s (0.5 s) the node is not ready, and the promise that nothing is missed does not hold.",
        hold=pace("1m"),
    )


def _stores_and_bus(pace: Pace) -> Iterator[Alert]:
    operations = "sum by (job, store) (rate(chappe_store_operation_seconds_count"
    five = pace("5m")
    failed = 'outcome=~"unavailable|unknown|error"'
    yield Alert(
        "StoreErrors",
        f"{operations}{{{failed}}}[{five}])) / {operations}[{five}])) > 0.01",
        "ticket",
        "{{ $value | humanizePercentage }} of what is asked of the store of {{ $labels.store }} fails.",
        "The database is away, full or too slow. Sending goes on from caches while only users or keys are away.",
        hold=pace("2m"),
    )
    yield Alert(
        "StoreSlow",
        "histogram_quantile(0.99, sum by (job, store, operation, le)"
        f' (rate(chappe_store_operation_seconds_bucket{{operation=~"append|inbox|history"}}[{pace("5m")}]))) > 1',
        "ticket",
        "{{ $labels.operation }} of the message store takes {{ $value | humanizeDuration }} at the 99th percentile.",
        "Writes past timing.write_deadline_s (5 s) are refused as late.",
        hold=pace("10m"),
    )
    yield Alert(
        "CassandraNodeDown",
        "chappe_store_nodes_up < chappe_store_nodes",
        "ticket",
        f"{WHERE} reaches only {{{{ $value }}}} nodes of Cassandra.",
        "With three replicas everything goes on while one is away, and nothing while two are.",
        hold=pace("2m"),
    )
    yield Alert(
        "BusDown",
        "chappe_bus_up == 0",
        "ticket",
        f"{WHERE} has no bus.",
        "It polls the inboxes of its devices every 2 s: messages from other nodes are late, none is lost.",
        hold=pace("1m"),
    )
    yield Alert(
        "BusGaps",
        f"increase(chappe_bus_holes_total[{pace('15m')}]) > 5",
        "ticket",
        f"{WHERE} missed something on the bus {{{{ $value | humanize }}}} times.",
        "Each time, inboxes were read again. Redis drops subscribers that are too slow, or connections break.",
    )


def _room(pace: Pace) -> Iterator[Alert]:
    yield Alert(
        "LogQueueNearlyFull",
        "chappe_log_queue_max_ratio > 0.8",
        "page",
        f"The queue for the message store of {WHERE} is {{{{ $value | humanizePercentage }}}} full.",
        "The store takes less than people send. At 100% the node stops reading from senders, who then wait.",
        hold=pace("1m"),
    )
    yield Alert(
        "ConnectionsNearlyFull",
        "chappe_connections > 0.9 * chappe_connections_limit",
        "ticket",
        f"{WHERE} has {{{{ $value }}}} connections, nearly all that limits.connections allows.",
        "Further clients are closed unheard.",
        hold=pace("5m"),
    )
    yield Alert(
        "FilesNearlyFull",
        'process_open_fds{job="chappe"} > 0.8 * process_max_fds{job="chappe"}',
        "ticket",
        f"{WHERE} has {{{{ $value }}}} files open, nearly all that it may.",
        "Past that, new connections wait and stores cannot reconnect.",
        hold=pace("5m"),
    )
    for severity, share in (("page", 0.05), ("ticket", 0.15)):
        yield Alert(
            "DiskNearlyFull",
            f"chappe_data_free_bytes < {share} * chappe_data_size_bytes",
            severity,
            f"The disk of {WHERE} has {{{{ $value | humanize1024 }}}}B left.",
            f"Less than {share:.0%} of it. On a full disk SQLite takes no more messages.",
            hold=pace("5m"),
        )
    for severity, days in (("page", 3), ("ticket", 21)):
        yield Alert(
            "CertificateEnds",
            f"chappe_tls_certificate_expiry_timestamp_seconds - time() < {days} * 86400",
            severity,
            f"The certificate of {WHERE} ends in {{{{ $value | humanizeDuration }}}}.",
            "After that no client connects.",
        )
