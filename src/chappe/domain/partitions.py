"""How much may be said in one conversation: a cap that keeps the partitions of a replicated chat log small.

The router asks before it accepts a message. Ten days of a conversation are one partition in Cassandra
(docs/architecture.md, "Wide rows"), and one over a hundred megabytes makes trouble for every node that has it. People
never write that much; programs do. So each conversation has a budget of bytes that fills again over ten days. Rejected:
buckets that are cut by size instead of time, since a reader must know which there are before it can ask for one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ..ids import ConversationId
from ..protocol.buckets import LeakyBucket

MOST_CONVERSATIONS: Final = 100_000


class Budgets:
    """The budgets of the conversations that this gateway heard of last.

    Gateways do not share them, and a conversation that fell out begins anew: a partition may get as many times the
    budget as there are gateways. That is still a bound, and it costs no round trip.
    """

    def __init__(self, burst_bytes: int, bytes_per_s: float, most: int = MOST_CONVERSATIONS) -> None:
        self._burst_bytes = burst_bytes
        self._bytes_per_s = bytes_per_s
        self._most = most
        self._buckets: OrderedDict[ConversationId, LeakyBucket] = OrderedDict()

    def take(self, conv: ConversationId, size: int, now: float) -> float:
        """Take `size` bytes from a conversation's budget; return 0, or the seconds to wait, and then nothing was taken.

        Raises: `ValueError` for more than the burst.
        """
        bucket = self._buckets.get(conv)
        if bucket is None:
            bucket = self._buckets[conv] = LeakyBucket(self._burst_bytes, self._bytes_per_s)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(conv)
        return bucket.take(now, size)
