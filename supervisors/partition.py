"""A supervisor of equal children among which keys are divided: each key always goes to the same one.

For what would be a bottleneck, or one point of failure, as a single child: each partition has its own task, state
and mailbox, and a crash takes the keys of one partition only. Applications ask it for the partition of a key;
everything else about it is `supervisor.py`.

Semantics: https://hexdocs.pm/elixir/PartitionSupervisor.html. Their number is given, where Elixir takes the number
of cores: trio runs on one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from .checks import is_a, is_callable, is_count, require
from .errors import NotRunning
from .events import Observer
from .flags import OnGiveUp
from .spec import INFINITY, ChildSpec, Strategy
from .supervisor import Supervisor
from .tree import Status


class PartitionSupervisor(Supervisor):
    """Keeps `partitions` children running: `make(0)`, `make(1)` and so on, whose ids become "0", "1" and so on.

    The other arguments are those of `Supervisor`. The intensity is for all partitions together, so give more of it
    than to one child.

    Raises: `BadSpec`.
    """

    __slots__ = ("_partitions",)

    def __init__(  # noqa: PLR0913 - OTP's supervisor flags
        self,
        make: Callable[[int], ChildSpec],
        *,
        partitions: int,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: int = 1,
        period_s: float = 5.0,
        name: str = "partitions",
        observer: Observer | None = None,
        on_give_up: OnGiveUp = "shutdown",
        max_failures: int | None = None,
        shutdown: float = INFINITY,
        random: Callable[[], float] = random.random,
    ) -> None:
        require(is_callable(make), "Partitions need a function that makes the spec of each", make)
        require(is_count(partitions, least=1), "The number of partitions is 1 or more", partitions)
        self._partitions = partitions
        super().__init__(
            [_numbered(make(number), number) for number in range(partitions)],
            strategy=strategy,
            intensity=intensity,
            period_s=period_s,
            name=name,
            observer=observer,
            on_give_up=on_give_up,
            max_failures=max_failures,
            shutdown=shutdown,
            random=random,
        )

    @property
    def partitions(self) -> int:
        """How many there are."""
        return self._partitions

    def partition_of(self, key: str | bytes | int) -> int:
        """Return the number of a key's partition: the same in every process, for the same number of partitions.

        An integer goes to its remainder, so that a caller can choose; text (as UTF-8) and bytes by their BLAKE2b
        hash, evenly. Python's own hash of text is another one in each process.

        Raises: TypeError.
        """
        if is_a(key, bool) or not is_a(key, (str, bytes, int)):
            raise TypeError(f"The key of a partition is a str, bytes or an int, not {key!r}.")
        if isinstance(key, int):
            return key % self._partitions
        data = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
        return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") % self._partitions

    def value_for(self, key: str | bytes | int) -> Any:
        """Return what the present run of a key's partition acknowledged with, as a `ServerRef`. Ask for each use:
        the next run has another one.

        Raises: `NotRunning`, while the partition is not running, be it only until its restart; `NotFound`, if it
        was deleted; TypeError.
        """
        slot = self._find(str(self.partition_of(key)))
        if slot.status is not Status.RUNNING or not slot.is_alive:
            # One that has just died is "running" until the supervisor has seen it.
            status = Status.RESTARTING if slot.status is Status.RUNNING else slot.status
            raise NotRunning(
                f"Partition {slot.id} of {'/'.join(self.path)} is not running now ({status.value})."
            )
        return slot.value


def _numbered(spec: ChildSpec, number: int) -> ChildSpec:
    require(is_a(spec, ChildSpec), "What makes partitions returns what child() returns", spec)
    return spec._replace(id=str(number))
