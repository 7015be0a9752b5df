"""A long fuzz run over codec and session: `python -m tests.chappe.protocol.fuzz --seconds 60 --seed 1`.

Each round takes its randomness from the seed and its own number, so a finding is reproduced by the two that
are printed with it. A round feeds both roles, in every state, with arbitrary, mutated and spliced messages;
anything but frames or a protocol error is a finding, as is a message that takes long for its size. The input
of a finding is written to a file. The exit code is 1 if there was one.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

import msgspec

from chappe.protocol.codec import decode, encode, join
from chappe.protocol.codes import ProtocolError
from chappe.protocol.frames import MAX_MESSAGE_BYTES, Ack, Event, Frame, Pong, Result
from chappe.protocol.session import MOVES, Role, Session, State

from .arbitrary import frame, message, mutated
from .dialogue import event, session_at

SLOW_S = 0.25
"""CPU time for one message: far above what a megabyte takes, far below what a heartbeat would notice."""

MAX_FINDINGS = 10
"""Enough to see a pattern; more would be the same again."""


def plausible(random: Random, session: Session, sender: Role) -> bytes:
    """Return a message that the session may well accept: the order is right and so are most numbers."""
    kinds = [kind for who, state, kind in MOVES if who is sender and state is session.state]
    frames: list[Frame] = []
    events = session.events
    for kind in random.choices(kinds, k=random.randint(1, 5)) if kinds else ():
        one = frame(random, kind)
        if isinstance(one, Event):
            events += 1
            one = msgspec.structs.replace(one, n=events)
        elif isinstance(one, Ack):
            one = Ack(random.randint(0, session.events))
        elif isinstance(one, Pong | Result) and random.randrange(4):
            one = msgspec.structs.replace(one, **{"n" if isinstance(one, Pong) else "rid": 7})
        frames.append(one)
    return join([encode(one) for one in frames]) if frames else message(random)


def hostile(random: Random, good: bytes) -> bytes:
    """Return the bytes of one WebSocket message that had better been something else."""
    match random.randrange(6):
        case 0:
            return random.randbytes(random.randrange(64))
        case 1:
            head = random.choice(
                (b"\x91\x93\x09\x01", b"\x91\x93\x0d\x01", b"\x91\x94\x08\x01\xa1x", b"\x91")
            )
            return head + random.choice((b"\x91", b"\x81\xa0", b"\xdc\x00\x01")) * random.choice(
                (10, 2000, 100_000)
            )
        case 2:
            other = message(random)
            return good[: random.randrange(len(good))] + other[random.randrange(len(other)) :]
        case 3:
            for _ in range(random.randint(2, 8)):
                good = mutated(random, good or b"\x90")
            return good
        case _:
            return mutated(random, good)


def check(random: Random, seen: Counter[str], inputs: list[bytes]) -> None:
    """One round: a session somewhere on its way hears messages until it hangs up. Raises what a session must
    not.
    """
    role = random.choice(list(Role))
    session = session_at(role, random.choice([state for state in State if state is not State.CLOSED]))
    while session.state is not State.CLOSED and len(inputs) < 20:
        data = plausible(random, session, role.peer)
        if not random.randrange(4):
            data = hostile(random, data)
        inputs.append(data)
        began = time.process_time()
        try:
            frames = session.receive(data)
        except ProtocolError as error:
            seen[f"refused with {error.close}"] += 1
            require(session.state is State.CLOSED, "A session that refused must be closed.")
            require(len(error.message) < 300, "A refusal must be short.")
        else:
            seen["accepted"] += 1
            require(len(data) <= MAX_MESSAGE_BYTES, "A message over the limit must be refused.")
            again = [encode(one) for one in frames]
            require(
                [encode(one) for one in decode(join(again))] == again,
                "What was accepted must survive the way.",
            )
            if role is Role.SERVER and session.state in {State.READY, State.LEAVING}:
                session.sending(event(session.events + 1))
        require(time.process_time() - began < SLOW_S, f"{len(data)} bytes must not take {SLOW_S} s.")


def require(holds: bool, otherwise: str) -> None:
    """Raise unless it holds; unlike assert also under -O."""
    if not holds:
        raise AssertionError(otherwise)


def run(seconds: float, seed: int, folder: Path) -> int:
    """Fuzz for `seconds`; return how many findings there were."""
    seen: Counter[str] = Counter()
    rounds = findings = 0
    began = reported = time.monotonic()
    while (now := time.monotonic()) - began < seconds and findings < MAX_FINDINGS:
        inputs: list[bytes] = []
        try:
            check(Random(f"{seed}/{rounds}"), seen, inputs)
        except Exception:  # noqa: BLE001  # finding out which exceptions there are is the purpose
            findings += 1
            folder.mkdir(parents=True, exist_ok=True)
            for i, data in enumerate(inputs):
                (folder / f"seed-{seed}-round-{rounds}-message-{i}.bin").write_bytes(data)
            print(f"\nFINDING in round {rounds} of seed {seed}; its messages are in {folder}")
            traceback.print_exc()
        rounds += 1
        if now - reported >= 1:
            reported = now
            print(f"\r{now - began:5.0f} s  {rounds:9,} rounds  {findings} findings", end="", flush=True)
    print(
        f"\n{rounds:,} rounds, {sum(seen.values()):,} messages: "
        + ", ".join(f"{v:,} {k}" for k, v in seen.items())
    )
    print(f"verdict: {'FAILED' if findings else 'passed'}, {findings} findings, seed {seed}")
    return findings


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Fuzz the codec and the session.")
    parser.add_argument("--seconds", type=float, default=600, help="how long to run (default 600)")
    parser.add_argument("--seed", type=int, default=None, help="where to begin (default: random, printed)")
    parser.add_argument(
        "--save", type=Path, default=Path("fuzz-findings"), help="folder for inputs of findings"
    )
    args = parser.parse_args()
    seed = Random().randrange(2**32) if args.seed is None else args.seed
    sys.exit(1 if run(args.seconds, seed, args.save) else 0)


if __name__ == "__main__":
    main()
