"""When the driver may send a request again by itself: once, to another node, and only what is idempotent.

`session.py` hands it to the driver. The driver's own default also retries after a lost connection without asking
whether that is safe. All writes of messages are idempotent (`statements.py` says why); the lightweight transactions of
`migrate.py` are not, and are never sent twice.
"""

from __future__ import annotations

from typing import Any, Final

from cassandra.policies import RetryPolicy

RETRIES: Final = 1


class RetryIdempotent(RetryPolicy):  # type: ignore[misc] # the driver has no types
    """Another node, the same consistency; a coordinator that failed or timed out may be the reason for it."""

    def on_read_timeout(self, query: Any, *_: Any, retry_num: int, **__: Any) -> tuple[int, None]:
        """Decide after a coordinator waited in vain for replicas to read."""
        return self._decide(query, retry_num)

    def on_write_timeout(self, query: Any, *_: Any, retry_num: int, **__: Any) -> tuple[int, None]:
        """Decide after a coordinator waited in vain for replicas to write: some may have."""
        return self._decide(query, retry_num)

    def on_unavailable(self, query: Any, *_: Any, retry_num: int, **__: Any) -> tuple[int, None]:
        """Decide after a coordinator knew of too few live replicas; another may know of more."""
        return self._decide(query, retry_num)

    def on_request_error(self, query: Any, *_: Any, retry_num: int, **__: Any) -> tuple[int, None]:
        """Decide after a connection was lost or a coordinator failed: it may have done the work."""
        return self._decide(query, retry_num)

    def _decide(self, query: Any, retry_num: int) -> tuple[int, None]:
        if query.is_idempotent and retry_num < RETRIES:
            return self.RETRY_NEXT_HOST, None
        return self.RETHROW, None
