"""What is wrong with a row, without any store; and the sums that a scan makes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.ids import Cid, ConversationId, DeviceId, MessageId, UserId, floor_id
from chappe.protocol.frames import Kind
from chappe.stores.survey.findings import EXAMPLES, Findings
from chappe.stores.survey.rules import (
    DAY_MS,
    GRACE_MS,
    Fault,
    InboxEntry,
    Limits,
    LogEntry,
    Partition,
    Standing,
    Tally,
    inbox_faults,
    is_wide,
    log_faults,
    unlisted,
)
from chappe.stores.survey.spread import Spread
from chappe.stores.survey.tokens import FIRST, LAST, pieces

NOW = 1_800_000_000_000
LIMITS = Limits(late_ms=5_500, inbox_days=30, log_days=90, partition_bytes=1_000, partition_rows=10)
DEVICE, CONV, USER, CID = DeviceId(b"d" * 16), ConversationId(b"c" * 16), UserId(b"u" * 16), Cid(b"i" * 16)


def aged(ms: int) -> MessageId:
    return floor_id(NOW - ms)


def inbox(
    ms: int, kind: Kind = Kind.MESSAGE, *, id_ms: int | None = None, is_misplaced: bool = False
) -> InboxEntry:
    return InboxEntry(DEVICE, 1, aged(ms), aged(ms if id_ms is None else id_ms), CONV, kind, is_misplaced)


@pytest.mark.parametrize(
    ("row", "is_logged", "standing", "expected"),
    [
        (inbox(3_600_000), True, Standing.LINKED, []),
        (inbox(3_600_000), False, Standing.LINKED, [Fault.NO_LOG_ROW]),
        (inbox(3_600_000, Kind.CONTROL), False, Standing.LINKED, []),
        (inbox(5_501), False, Standing.LINKED, [Fault.NO_LOG_ROW]),
        (inbox(5_500), False, Standing.LINKED, [Fault.UNSETTLED]),
        (inbox(-400), False, Standing.LINKED, [Fault.UNSETTLED]),
        # Stored once more: its place is new although its id is not.
        (inbox(1_000, id_ms=60_000), False, Standing.LINKED, [Fault.UNSETTLED]),
        (inbox(3_600_000), True, Standing.UNKNOWN, [Fault.NO_DEVICE]),
        (inbox(3_600_000), True, Standing.REVOKED, [Fault.REVOKED_INBOX]),
        (inbox(3_600_000, is_misplaced=True), True, Standing.LINKED, [Fault.WRONG_DAY]),
        (inbox(30 * DAY_MS + GRACE_MS), True, Standing.LINKED, []),
        (inbox(30 * DAY_MS + GRACE_MS + 1), True, Standing.LINKED, [Fault.OLD_INBOX]),
        (inbox(99 * DAY_MS), False, Standing.UNKNOWN, [Fault.NO_LOG_ROW, Fault.NO_DEVICE, Fault.OLD_INBOX]),
    ],
)
def test_rows_of_inboxes(row: InboxEntry, is_logged: bool, standing: Standing, expected: list[Fault]) -> None:
    assert list(inbox_faults(row, LIMITS, NOW, is_logged=is_logged, standing=standing)) == expected


@pytest.mark.parametrize(
    ("row", "log_days", "is_known", "expected"),
    [
        (LogEntry(CONV, 1, aged(0)), 90, True, []),
        (LogEntry(CONV, 1, aged(0), is_misplaced=True), 90, True, [Fault.WRONG_BUCKET]),
        (LogEntry(CONV, 1, aged(0)), 90, False, [Fault.NO_CONVERSATION]),
        (LogEntry(CONV, 1, aged(90 * DAY_MS + GRACE_MS)), 90, True, []),
        (LogEntry(CONV, 1, aged(90 * DAY_MS + GRACE_MS + 1)), 90, True, [Fault.OLD_LOG]),
        (LogEntry(CONV, 1, aged(9_000 * DAY_MS)), 0, True, []),
    ],
)
def test_rows_of_the_log(row: LogEntry, log_days: int, is_known: bool, expected: list[Fault]) -> None:
    limits = Limits(5_500, 30, log_days, 1_000, 10)
    assert list(log_faults(row, limits, NOW, is_known=is_known)) == expected


def test_an_index_may_lag_behind_the_rows_for_a_moment() -> None:
    young, old = Partition(CONV, 1, 1, 1, aged(5_500)), Partition(CONV, 1, 1, 1, aged(5_501))
    assert unlisted(Fault.UNLISTED_DAY, young, LIMITS, NOW) is Fault.UNSETTLED
    assert unlisted(Fault.UNLISTED_DAY, old, LIMITS, NOW) is Fault.UNLISTED_DAY


@pytest.mark.parametrize(
    ("number", "rows", "size", "wide"),
    [(1, 10, 1_000, False), (1, 11, 10, True), (1, 1, 1_001, True), (None, 11, 1_001, False)],
)
def test_a_partition_is_wide_by_rows_or_bytes(number: int | None, rows: int, size: int, wide: bool) -> None:
    assert is_wide(Partition(CONV, number, rows, size, aged(0)), LIMITS) is wide


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 99), st.integers(1, 10**12))))
def test_every_row_is_in_one_partition(rows: list[tuple[int, int, int, int]]) -> None:
    rows.sort()
    tally = Tally()
    ended = [
        one
        for key, number, size, at in rows
        for one in tally.add(bytes([key]), number, size, floor_id(at))
    ]  # fmt: skip
    ended += tally.end()
    assert list(tally.end()) == []
    for one in ended:
        mine = [row for row in rows if (bytes([row[0]]), row[1]) == (one.key, one.number)]
        assert (one.rows, one.bytes) == (len(mine), sum(row[2] for row in mine))
        assert one.newest == floor_id(max(row[3] for row in mine))
    assert len(ended) == len({row[:2] for row in rows})


@given(st.lists(st.integers(FIRST, LAST), max_size=50), st.integers(1, 300))
def test_pieces_cover_the_ring_once_and_cross_no_token(tokens: list[int], least: int) -> None:
    found = pieces(tokens, least)
    assert len(found) >= least
    assert (found[0][0], found[-1][1]) == (FIRST, LAST)
    assert all(one[1] == following[0] for one, following in pairwise(found))
    ends = {end for piece in found for end in piece}
    assert set(tokens) <= ends


@given(st.lists(st.integers(0, 50), min_size=1))
def test_a_spread_is_exact(values: list[int]) -> None:
    spread = Spread()
    for value in values:
        spread.add(value)
    said = spread.to_dict()
    assert (said["of"], said["max"]) == (len(values), max(values))
    assert sum(value <= said["p50"] for value in values) * 2 >= len(values)
    assert sum(value < said["p50"] for value in values) * 2 <= len(values)
    assert sum(value <= said["p99"] for value in values) * 100 >= len(values) * 99


def test_a_spread_of_nothing() -> None:
    assert Spread().to_dict() == {"of": 0, "p50": 0, "p99": 0, "max": 0}


def test_findings_are_clean_when_what_is_broken_was_repaired() -> None:
    found = Findings()
    found.add(Fault.UNSETTLED, device=DEVICE)
    found.add(Fault.REVOKED_INBOX, device=DEVICE)
    assert found.is_clean
    found.add(Fault.UNLISTED_DAY, key=DEVICE, part=3)
    assert not found.is_clean
    found.repaired[Fault.UNLISTED_DAY] += 1
    assert found.is_clean


def test_findings_give_a_few_examples_by_id() -> None:
    found = Findings()
    for n in range(EXAMPLES + 3):
        found.add(Fault.WRONG_DAY, device=DEVICE, part=n, conv=None)
    said = found.to_dict()["faults"]
    assert isinstance(said, dict)
    assert set(said) == {fault.name.lower() for fault in Fault}
    assert said["wrong_day"]["count"] == EXAMPLES + 3
    assert said["wrong_day"]["examples"] == [{"device": DEVICE.hex(), "part": n} for n in range(EXAMPLES)]
