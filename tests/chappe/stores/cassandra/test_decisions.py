"""What the adapter decides without a server: how rows are batched, what is retried, what an error means."""

from __future__ import annotations

from typing import Any

import pytest
from cassandra import (
    InvalidRequest,
    OperationTimedOut,
    ReadTimeout,
    Unavailable,
    WriteTimeout,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionShutdown
from cassandra.policies import RetryPolicy
from cassandra.query import SimpleStatement
from hypothesis import given
from hypothesis import strategies as st

from chappe.errors import StoreUnavailable
from chappe.ids import MessageId
from chappe.stores.cassandra import faults
from chappe.stores.cassandra.batching import BATCH_BYTES, BATCH_ROWS, ROW_OVERHEAD_BYTES, Row, batches
from chappe.stores.cassandra.known import Known
from chappe.stores.cassandra.retries import RetryIdempotent
from chappe.stores.cassandra.statements import day_of, partition_key, uuids

ROWS = st.builds(Row, st.none(), st.just(()), st.binary(min_size=1, max_size=2), st.integers(0, 20_000))


@given(st.lists(ROWS, max_size=300))
def test_batches_hold_every_row_once_in_order_and_within_bounds(rows: list[Row]) -> None:
    made = batches(rows, lambda key: key[0] % 3)
    assert sorted(map(id, rows)) == sorted(id(row) for batch in made for row in batch)
    for owner in range(3):
        mine = [row for batch in made for row in batch if row.key[0] % 3 == owner]
        assert list(map(id, mine)) == [id(row) for row in rows if row.key[0] % 3 == owner]
    for batch in made:
        assert len({row.key[0] % 3 for row in batch}) == 1
        assert len(batch) <= BATCH_ROWS
        assert len(batch) == 1 or sum(row.size + ROW_OVERHEAD_BYTES for row in batch) <= BATCH_BYTES


def test_a_full_batch_is_followed_by_another() -> None:
    small = [Row(None, (), b"x", 10)] * (BATCH_ROWS + 1)
    assert [len(batch) for batch in batches(small, lambda _: 0)] == [BATCH_ROWS, 1]
    large = [Row(None, (), b"x", BATCH_BYTES)] * 2
    assert [len(batch) for batch in batches(large, lambda _: 0)] == [1, 1]


def ask(policy: RetryIdempotent, statement: Any, retry_num: int) -> list[int]:
    """Return what the policy says, called the way the driver calls it."""
    counts = {"consistency": 6, "required_responses": 2, "received_responses": 1}
    replicas = {"consistency": 6, "required_replicas": 2, "alive_replicas": 1}
    return [
        policy.on_read_timeout(statement, retry_num=retry_num, data_retrieved=False, **counts)[0],
        policy.on_write_timeout(statement, retry_num=retry_num, write_type=3, **counts)[0],
        policy.on_unavailable(statement, retry_num=retry_num, **replicas)[0],
        policy.on_request_error(statement, 6, error=OSError(), retry_num=retry_num)[0],
    ]


def test_what_is_idempotent_is_tried_once_more_elsewhere_and_nothing_else_is() -> None:
    policy = RetryIdempotent()
    idempotent, other = SimpleStatement("x", is_idempotent=True), SimpleStatement("x")
    assert ask(policy, idempotent, 0) == [RetryPolicy.RETRY_NEXT_HOST] * 4
    assert ask(policy, idempotent, 1) == [RetryPolicy.RETHROW] * 4
    assert ask(policy, other, 0) == [RetryPolicy.RETHROW] * 4


LOST = ConnectionShutdown("gone")


@pytest.mark.parametrize(
    ("error", "kind", "is_refused", "is_away"),
    [
        (Unavailable("x"), "unavailable", True, True),
        (WriteTimeout("x", write_type=0), "timeout", False, True),
        (ReadTimeout("x"), "timeout", False, True),
        (OperationTimedOut(), "timeout", False, True),
        (LOST, "unavailable", False, True),
        (NoHostAvailable("x", {}), "unavailable", True, True),
        (NoHostAvailable("x", {"a": Unavailable("x")}), "unavailable", True, True),
        (NoHostAvailable("x", {"a": Unavailable("x"), "b": LOST}), "unavailable", False, True),
        (NoHostAvailable("x", {"a": TypeError("a value")}), "unavailable", False, False),
        (InvalidRequest("x"), "invalid", False, False),
        (KeyError("x"), "error", False, False),
    ],
)
def test_what_an_error_means(error: Exception, kind: str, is_refused: bool, is_away: bool) -> None:
    assert faults.kind(error) == kind
    assert faults.is_refused(error) is is_refused
    assert isinstance(faults.translated(error), StoreUnavailable) is is_away


def test_a_bug_is_not_dressed_up() -> None:
    bug = TypeError("a value")
    assert faults.translated(NoHostAvailable("x", {"a": bug})) is bug
    assert faults.translated(bug) is bug


def test_known_forgets_what_was_not_used_for_the_longest_time() -> None:
    known = Known(2)
    assert [known.add(b"a", 1), known.add(b"b", 1), known.add(b"a", 5), known.add(b"c", 1)] == [1, 1, 6, 1]
    assert (b"a" in known, b"b" in known, b"c" in known) == (True, False, True)


def test_values_are_bound_as_the_driver_would() -> None:
    assert partition_key(b"k" * 16, 7) == b"\0\x10" + b"k" * 16 + b"\0" + b"\0\x04\0\0\0\x07\0"
    assert uuids([b"u" * 16]) == b"\0\0\0\x01\0\0\0\x10" + b"u" * 16
    assert day_of(MessageId((86_400_000).to_bytes(6, "big") + bytes(10))) == 1
