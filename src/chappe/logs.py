"""Logging: structlog to standard error, one event a line, keys that stay the same.

`configure` is called once by the composition root. Logs carry ids in hex and counts, never a body, a key, a code or a
password. What the supervision tree reports becomes log lines in `on_supervisor_event`.
"""

from __future__ import annotations

import logging
import sys

import structlog

from supervisors import (
    ChildStarted,
    ChildStartFailed,
    ChildStuck,
    ChildTerminated,
    Event,
    Reason,
    SupervisorGaveUp,
)

from .settings import Log


def configure(settings: Log) -> None:
    """Set up structlog for this process."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # The libraries' own loggers speak of bytes on sockets; what matters of that is in the metrics.
    logging.getLogger("trio-websocket").setLevel(logging.CRITICAL)


def on_supervisor_event(event: Event) -> None:
    """Log what an operator should see of the supervision tree: crashes, restarts, what gave up, what is stuck."""
    log = structlog.get_logger("supervisors")
    child = "/".join(event.path)
    match event:
        case ChildTerminated(
            reason=Reason.CRASHED | Reason.ESCALATED as reason, report=report, will_restart=will_restart
        ):
            text = report.text if report else ""
            log.error(
                "child_crashed", child=child, reason=reason.value, will_restart=will_restart, report=text
            )
        case ChildStartFailed(report=report):
            log.error("child_start_failed", child=child, report=report.text)
        case ChildStarted(restarts=restarts) if restarts:
            log.warning("child_restarted", child=child, restarts=restarts)
        case ChildStuck(frame=frame):
            log.error("child_stuck", child=child, frame=frame)
        case SupervisorGaveUp(child=culprit):
            log.error("supervisor_gave_up", supervisor=child, culprit=culprit)
        case _:
            pass
