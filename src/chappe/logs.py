"""Logging: structlog to standard error, one event a line, keys that stay the same.

`configure` is called once by the composition root. Logs carry ids in hex and counts, never a body, a key, a code or a
password. What the supervision tree reports becomes log lines in `on_supervisor_event`.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog

from supervisors import (
    Cause,
    ChildStarted,
    ChildStartFailed,
    ChildStuck,
    ChildTerminated,
    Event,
    KeyGaveUp,
    Reason,
    SupervisorGaveUp,
    SupervisorStopping,
)

from .settings import Log

log = structlog.get_logger("supervisors")


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
        # One write a line: the processes of a node share the stream, and between two writes another one's would fall.
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Lossy(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    # The libraries' own loggers speak of bytes on sockets; what matters of that is in the metrics.
    logging.getLogger("trio-websocket").setLevel(logging.CRITICAL)


class _Lossy:
    """A stream that drops what it cannot write: a full disk or a reader that left must not end who has news of it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def on_supervisor_event(event: Event) -> None:
    """Log what an operator should see of the supervision tree: crashes, restarts, what gave up or is stuck, and why
    something was stopped. That connections and requests come and go is no news: a pattern of one name is of the root,
    one of two names of its own children.
    """
    match event:
        case ChildTerminated(reason=Reason.CRASHED | Reason.ESCALATED as reason, report=report):
            log.error(
                "child_crashed",
                child=_name(event),
                reason=reason.value,
                will_restart=event.will_restart,
                report=report.text if report else "",
                **_why(event.because),
            )
        case ChildTerminated(reason=Reason.KILLED, because=because):
            log.warning("child_killed", child=_name(event), **_why(because))
        case ChildTerminated(path=(_, _), reason=Reason.SHUTDOWN, because=because):
            log.debug("child_stopped", child=_name(event), **_why(because))
        case ChildStartFailed(report=report):
            log.error("child_start_failed", child=_name(event), report=report.text)
        case ChildStarted(restarts=restarts) if restarts:
            log.warning("child_restarted", child=_name(event), restarts=restarts)
        case ChildStuck(frame=frame):
            log.error("child_stuck", child=_name(event), frame=frame)
        case SupervisorStopping(path=(_,), because=because):
            log.info("tree_stopping", supervisor=_name(event), **_why(because))
        case SupervisorGaveUp(child=culprit, because=because):
            log.error("supervisor_gave_up", supervisor=_name(event), culprit=culprit, **_why(because))
        case KeyGaveUp(key=key, because=because):
            log.error("key_gave_up", supervisor=_name(event), key=str(key), **_why(because))
        case _:
            pass


def _name(event: Event) -> str:
    return "/".join(event.path)


def _why(because: Cause | None) -> dict[str, str]:
    return {} if because is None else {"because": str(because)}
