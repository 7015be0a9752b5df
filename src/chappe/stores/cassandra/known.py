"""Which index entries are known to be stored, so that one write a day (or ten) does for thousands of messages.

`append.py` asks before it writes an entry of `inbox_days` or `chatlog_buckets`, and tells when it is durable. It
also counts how many bytes this process wrote to each partition, since a key here names a partition there.
"""

from __future__ import annotations


class Known:
    """The keys of the last `limit` partitions that were written to, each with how many bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes: dict[bytes, int] = {}

    def __contains__(self, key: bytes) -> bool:
        return key in self._bytes

    def add(self, key: bytes, size: int) -> int:
        """Count `size` bytes for a partition whose entry is durable; return how many there are now.

        A partition that was forgotten meanwhile is counted from zero again.
        """
        total = self._bytes.pop(key, 0) + size
        self._bytes[key] = total
        if len(self._bytes) > self._limit:
            del self._bytes[next(iter(self._bytes))]  # the one not written to for the longest time
        return total
