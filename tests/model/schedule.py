"""What the adversary may do, as values: a schedule is a list of these, and Hypothesis makes and shrinks them.

Times are in seconds of virtual time. Gateways, devices and conversations are numbers, taken modulo how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass

Delay = float | None
"""When a row becomes visible, in seconds from when it was sent; None is never."""


@dataclass(frozen=True)
class Wait:
    """Let time pass."""

    s: float


@dataclass(frozen=True)
class Say:
    """A device composes a message."""

    device: int
    conv: int = 0


@dataclass(frozen=True)
class Ping:
    """A device asks for a fresh cursor."""

    device: int


@dataclass(frozen=True)
class Move:
    """A device's connection breaks; after `away_s` it is at a gateway.

    `is_clean`: what it had posted still arrives. What was on its way to it is lost in any case.
    """

    device: int
    gateway: int
    away_s: float = 0.0
    is_clean: bool = False


@dataclass(frozen=True)
class Lag:
    """How long frames of a device take, up and down, from now on."""

    device: int
    up_s: float = 0.0
    down_s: float = 0.0


@dataclass(frozen=True)
class Fate:
    """What becomes of one append: of its log rows, and of its inbox rows by device, the last one for all the rest.

    A step is confirmed when all its rows are visible, unless `loses`: then no answer comes ("log" or "inbox").
    Without an answer it is given up after `patience_s`.
    """

    log: Delay = 0.0
    inbox: tuple[Delay, ...] = (0.0,)
    loses: str = ""
    patience_s: float = 5.0


@dataclass(frozen=True)
class Fates:
    """The fates of a gateway's next appends; after those all go well again."""

    gateway: int
    fates: tuple[Fate, ...]


@dataclass(frozen=True)
class Reads:
    """A gateway's reads, for a while: time before and after the moment that is read; or they fail."""

    gateway: int
    for_s: float
    before_s: float = 0.0
    after_s: float = 0.0
    fails: bool = False


@dataclass(frozen=True)
class Skew:
    """Set a gateway's wall clock, in milliseconds from the true time; at most S / 2."""

    gateway: int
    ms: int


@dataclass(frozen=True)
class Kill:
    """A gateway dies; after `back_s` it starts anew."""

    gateway: int
    back_s: float = 1.0


@dataclass(frozen=True)
class Freeze:
    """A gateway's reads, writes and frames stand still, while its clock goes on; devices first, or the bus, after."""

    gateway: int
    for_s: float
    devices_first: bool = False


@dataclass(frozen=True)
class Outage:
    """The bus' middle is away, and has forgotten everything."""

    for_s: float


@dataclass(frozen=True)
class Cut:
    """One gateway alone loses the bus, for a while; it goes on serving its devices."""

    gateway: int
    for_s: float


@dataclass(frozen=True)
class Loss:
    """The next wake-ups that a gateway sends over the bus are lost; the beats that tell of it are not."""

    gateway: int
    frames: int = 1


@dataclass(frozen=True)
class Slow:
    """A gateway's commands to the bus take so long, for a while."""

    gateway: int
    for_s: float
    command_s: float


Step = Wait | Say | Ping | Move | Lag | Fates | Reads | Skew | Kill | Freeze | Outage | Cut | Loss | Slow
