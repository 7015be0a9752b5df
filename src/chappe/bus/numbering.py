"""Numbered streams between gateways: what was lost is noticed by whoever should have got it. Pure.

A stream goes from one sender to one receiver, or to all (`EVERYBODY`). Its frames count up from 1. A number is used up
when it is asked for: whether the frame then goes out, is lost or was never to go out is all the same, the receiver
sees a hole. A beat tells a stream's last number, so that a hole at the end is seen too.

Both sides remember a bounded number of streams. A sender that forgot one starts it again at 1 under a higher epoch;
as long as it has forgotten none, its epoch is 1, and only then is a stream that starts at 1 known to be whole.
`bus.py` calls both classes; what a hole means is up to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from .values import GatewayId

EVERYBODY: Final = GatewayId(b"")
BEATS: Final = 2
MOST_STREAMS: Final = 10_000


class Number(NamedTuple):
    """A frame's place: the stream's epoch, and the number in it."""

    epoch: int
    n: int


class Verdict(NamedTuple):
    """Whether a frame is to be handed over, and whether something before it is missing."""

    is_new: bool
    is_hole: bool


@dataclass(slots=True)
class _Sent:
    epoch: int
    n: int = 0
    beats_due: int = 0


class Outgoing:
    """The numbers of one sender."""

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self._most = most
        self._epoch = 1
        # The broadcasts' stream is never forgotten, so it stands beside the others.
        self._everybody = _Sent(1)
        self._streams: OrderedDict[GatewayId, _Sent] = OrderedDict()

    def next(self, to: GatewayId) -> Number:
        """Use up the next number of a stream."""
        sent = self._everybody if to == EVERYBODY else self._stream(to)
        sent.n += 1
        sent.beats_due = BEATS
        return Number(sent.epoch, sent.n)

    def beats(self) -> Iterator[tuple[GatewayId, Number]]:
        """Yield what has to be told: the broadcasts' last number always, that of others a few times."""
        yield EVERYBODY, Number(1, self._everybody.n)
        for to, sent in self._streams.items():
            if sent.beats_due:
                yield to, Number(sent.epoch, sent.n)

    def told(self, to: GatewayId, number: Number) -> None:
        """Note that a beat went out."""
        sent = self._streams.get(to)
        if sent is not None and sent.beats_due and number == (sent.epoch, sent.n):
            sent.beats_due -= 1

    def _stream(self, to: GatewayId) -> _Sent:
        sent = self._streams.get(to)
        if sent is None:
            if len(self._streams) >= self._most:
                self._forget_one()
            sent = self._streams[to] = _Sent(self._epoch)
        self._streams.move_to_end(to)
        return sent

    def _forget_one(self) -> None:
        # One whose last number is not told yet may hide a hole; it stays, even above the bound.
        for to, sent in self._streams.items():
            if not sent.beats_due:
                del self._streams[to]
                self._epoch += 1
                return


class Incoming:
    """What one receiver has seen of all senders, on its own streams and on those to everybody."""

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self._most = most
        self._seen: OrderedDict[tuple[GatewayId, bool], Number] = OrderedDict()
        self._heard: dict[GatewayId, float] = {}
        self._told: dict[GatewayId, float] = {}

    def take(
        self, sender: GatewayId, number: Number, now: float, *, is_broadcast: bool, is_beat: bool
    ) -> Verdict:
        """Judge a frame, or a beat (which is never handed over). Holes are told once."""
        self._heard[sender] = now
        self._told.pop(sender, None)
        key = (sender, is_broadcast)
        seen = self._seen.get(key)
        is_known = seen is not None
        if seen is None:
            # Unknown, so nothing was missed only if this sender has never forgotten a stream.
            seen = Number(1, 0)
        if number.epoch < seen.epoch:
            return Verdict(is_new=False, is_hole=False)
        is_hole = number.epoch > seen.epoch
        last = 0 if is_hole else seen.n
        is_hole |= number.n > last + (not is_beat)
        if number.n > last or number.epoch > seen.epoch or not is_known:
            self._remember(key, Number(number.epoch, max(last, number.n)))
        elif is_broadcast:
            self._seen.move_to_end(key)
        return Verdict(is_new=not is_beat and number.n > last, is_hole=is_hole)

    def left(self, sender: GatewayId) -> bool:
        """Note that a sender will not come again, so that its silence is no alarm; return whether it was there."""
        self._told.pop(sender, None)
        return self._heard.pop(sender, None) is not None

    def hear_all(self, now: float) -> None:
        """Start everybody's time anew: nobody could be heard until now."""
        self._heard = dict.fromkeys(self._heard, now)
        self._told.clear()

    def silent(self, now: float, after_s: float, gone_s: float) -> list[tuple[GatewayId, bool]]:
        """Return those who were not heard for so long, every `after_s` until they are gone, and whether for the first
        time: they may have died with something unsent, or be cut off from the bus alone and store messages still.
        """
        for sender in [sender for sender, at in self._heard.items() if now - at > gone_s]:
            self.left(sender)
        silent = [sender for sender, at in self._heard.items() if now - self._told.get(sender, at) > after_s]
        told = [(sender, sender not in self._told) for sender in silent]
        self._told.update(dict.fromkeys(silent, now))
        return told

    def _remember(self, key: tuple[GatewayId, bool], number: Number) -> None:
        self._seen[key] = number
        self._seen.move_to_end(key)
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
