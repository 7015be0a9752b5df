"""Names for runs of children: who registers under a key is found by it, until it ends.

Children register themselves; others look them up, wait for them, or hold a `NamedRef` that survives restarts. An
entry goes when its run ends, before the supervisor hears of it (see `pid.py`), so the next run finds the key free.
What people share without a key to tell them apart is a process group: `groups.py`.

Nothing bounds a registry but the runs it knows: a pool's `max_children` does, if each registers so many keys.

Semantics: https://hexdocs.pm/elixir/Registry.html, with one table where Elixir has partitions for its cores.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

import trio

from .calls import Ref, ServerRef
from .checks import is_a, require
from .current import current_pid
from .errors import BadSpec, NotSupervised, SupervisorError
from .pid import Down, Pid
from .server import Server

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
S = TypeVar("S", bound=Server)


class Keys(Enum):
    """Whether one run may hold a key (`UNIQUE`), or any number, any number of times (`DUPLICATE`)."""

    UNIQUE = "unique"
    DUPLICATE = "duplicate"


class AlreadyRegistered(SupervisorError):
    """The key is taken. `pid` holds it."""

    def __init__(self, text: str, pid: Pid) -> None:
        super().__init__(text)
        self.pid = pid


@dataclass(frozen=True, slots=True)
class Entry(Generic[V]):
    """What is registered under a key: who, and the value that came with it."""

    pid: Pid
    value: V


class Registry(Generic[K, V]):
    """Keys, the runs that hold them, and a value for each. All but `wait_for` is without a checkpoint.

    `register` and `unregister` are for the calling child, unless they are given another `pid`.

    Raises: `BadSpec`.
    """

    __slots__ = ("_arrivals", "_holders", "_keys", "_kind", "name")

    def __init__(self, kind: Keys = Keys.UNIQUE, *, name: str = "registry") -> None:
        require(is_a(kind, Keys), "The keys of a registry are one of Keys' members", kind)
        self.name = name
        self._kind = kind
        self._holders: dict[K, dict[Pid, list[Entry[V]]]] = {}
        self._keys: dict[Pid, dict[K, None]] = {}
        self._arrivals: dict[K, trio.Event] = {}

    def __repr__(self) -> str:
        return f"<Registry {self.name}: {len(self)} entries, {self._kind.value}>"

    def __len__(self) -> int:
        """How many entries there are."""
        return sum(len(entries) for holders in self._holders.values() for entries in holders.values())

    def register(self, key: K, value: V, *, pid: Pid | None = None) -> Pid:
        """Hold `key` until the end of the run, and return which run that is.

        Raises: `AlreadyRegistered`, also when this run itself has a unique key; `NotSupervised`, if there is no
        run or it has ended.
        """
        pid = current_pid() if pid is None else pid
        if not pid.is_alive:
            raise NotSupervised(f"{pid!r} has ended and can hold no key.")
        holders = self._holders.setdefault(key, {})
        if holders and self._kind is Keys.UNIQUE:
            holder = next(iter(holders))
            raise AlreadyRegistered(f"{key!r} of {self.name} is held by {'/'.join(holder.path)}.", holder)
        if pid not in self._keys:
            self._keys[pid] = {}
            pid.watch(self, self._ended)
        self._keys[pid][key] = None
        holders.setdefault(pid, []).append(Entry(pid, value))
        arrival = self._arrivals.pop(key, None)
        if arrival is not None:
            arrival.set()
        return pid

    def unregister(self, key: K, *, pid: Pid | None = None) -> None:
        """Give up all the run holds under `key`; if that is nothing it is no error.

        Raises: `NotSupervised`.
        """
        pid = current_pid() if pid is None else pid
        keys = self._keys.get(pid, {})
        if key not in keys:
            return
        del keys[key]
        self._remove(key, pid)
        if not keys:
            del self._keys[pid]
            pid.unwatch(self)

    def lookup(self, key: K) -> tuple[Entry[V], ...]:
        """Return what is registered under a key, in the order the runs came."""
        return tuple(entry for entries in self._holders.get(key, {}).values() for entry in entries)

    def whereis(self, key: K) -> Pid | None:
        """Return the run that holds the key; with duplicate keys, the first of them."""
        return next(iter(self._holders.get(key, ())), None)

    def values(self, key: K, pid: Pid) -> tuple[V, ...]:
        """Return the values that a run registered under a key."""
        return tuple(entry.value for entry in self._holders.get(key, {}).get(pid, ()))

    def keys(self, pid: Pid) -> tuple[K, ...]:
        """Return the keys that a run holds, each once."""
        return tuple(self._keys.get(pid, ()))

    def dispatch(self, key: K, function: Callable[[tuple[Entry[V], ...]], object]) -> None:
        """Call `function` with the entries of a key, if there are any."""
        entries = self.lookup(key)
        if entries:
            function(entries)

    async def wait_for(self, key: K) -> Entry[V]:
        """Wait until somebody holds the key, and return the first entry. Always a checkpoint.

        It may wait for ever: bound it with `trio.fail_after`. A cancel gives up the waiting only.
        """
        await trio.lowlevel.checkpoint()
        while not (entries := self.lookup(key)):
            arrival = self._arrivals.setdefault(key, trio.Event())
            try:
                await arrival.wait()
            finally:
                if arrival.statistics().tasks_waiting == 0 and self._arrivals.get(key) is arrival:
                    del self._arrivals[key]
        return entries[0]

    def ref(self, kind: type[S], key: K) -> NamedRef[S]:
        """Return a reference to whichever server of this class holds the key, at the moment of each message.

        Raises: `BadSpec`, if keys are not unique, or that is no such class.
        """
        if self._kind is not Keys.UNIQUE:
            raise BadSpec(f"A key of {self.name} may have many holders: a reference needs unique keys.")
        require(is_a(kind, type) and issubclass(kind, Server), "A reference needs a class of Server", kind)
        return NamedRef(kind, self, key)

    def _ended(self, down: Down) -> None:
        for key in self._keys.pop(down.pid):
            self._remove(key, down.pid)

    def _remove(self, key: K, pid: Pid) -> None:
        holders = self._holders[key]
        del holders[pid]
        if not holders:
            del self._holders[key]


class NamedRef(Ref[S]):
    """A reference by name: each message goes to the server that holds the name then. Make it with `Registry.ref`.

    It outlives restarts. A call that its server leaves unanswered fails all the same; it is not sent again.
    """

    __slots__ = ("_key", "_kind", "_registry")

    def __init__(self, kind: type[S], registry: Registry[Any, Any], key: Hashable) -> None:
        self._kind = kind
        self._registry = registry
        self._key = key

    def __repr__(self) -> str:
        return f"<NamedRef of {self._kind.__qualname__} {self._name}>"

    @property
    def _name(self) -> str:
        return f"{self._key!r} of {self._registry.name}"

    def _find(self) -> ServerRef[S] | None:
        pid = self._registry.whereis(self._key)
        if pid is None:
            return None
        if pid.server is None or not issubclass(pid.server.kind, self._kind):
            raise TypeError(f"What holds {self._name} is no {self._kind.__qualname__}.")
        return pid.server
