"""The quick histogram counts as the library's does; only codes decide whose fault a refusal is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from chappe.metrics import SECONDS, Metrics, Outcome, Timed, outcome_of
from chappe.protocol.codes import RETRYABLE, ErrorCode


@given(st.lists(st.floats(0, 20) | st.sampled_from(SECONDS)))
def test_it_prints_what_the_librarys_histogram_would(seconds: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    timed = Timed("a_seconds", "A text.")
    ours.register(timed)
    histogram = Histogram("a_seconds", "A text.", buckets=SECONDS, registry=theirs)
    for each in seconds:
        timed.observe(each)
        histogram.observe(each)
    assert generate_latest(ours) == generate_latest(theirs)


def test_several_at_once_count_as_often() -> None:
    metrics = Metrics()
    metrics.send_seconds.observe(0.02, 3)
    assert metrics.registry.get_sample_value("chappe_send_seconds_count") == 3
    assert metrics.registry.get_sample_value("chappe_send_seconds_sum") == 0.06
    assert metrics.registry.get_sample_value("chappe_send_seconds_bucket", {"le": "0.01"}) == 0
    assert metrics.registry.get_sample_value("chappe_send_seconds_bucket", {"le": "0.025"}) == 3


def test_what_is_ours_may_be_tried_again_or_is_a_bug() -> None:
    ours = {code for code in ErrorCode if outcome_of(code) is Outcome.FAILED}
    assert ours == RETRYABLE - {ErrorCode.RATE_LIMITED, ErrorCode.LINK_PENDING} | {ErrorCode.INTERNAL}
