"""Who is let in, by hand and by law."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.policies.admission import (
    MIN_SAMPLES,
    AdmissionView,
    Always,
    SaturationShedding,
    SloEarlyReject,
    TokenBucket,
)
from scheduler.policies.waiting import WaitingRequest


def asks(tokens: int = 10, priority: int = 0, ttft_limit_ns: int = 1000, tpot_limit_ns: int = 50) -> WaitingRequest:
    return WaitingRequest(0, 100, tokens, priority, 0, ttft_limit_ns, tpot_limit_ns)


def test_always_is_always() -> None:
    assert Always().admits(asks(), AdmissionView(0))


@given(
    asked=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 40)), max_size=40),
    rate=st.sampled_from([0.1, 0.7, 3.0]),
    burst=st.integers(1, 60),
)
def test_a_bucket_never_lets_in_more_than_burst_and_rate(asked: list[tuple[int, int]], rate: float, burst: int) -> None:
    bucket, now_ns, admitted = TokenBucket(rate * 1e9, burst), 0, list[tuple[int, int]]()
    for gap_ns, tokens in asked:
        now_ns += gap_ns
        if bucket.admits(asks(tokens), AdmissionView(now_ns)):
            admitted.append((now_ns, tokens))
    for first in range(len(admitted)):
        since_ns = admitted[first][0]
        for last in range(first, len(admitted)):
            total = sum(tokens for _, tokens in admitted[first : last + 1])
            assert total <= burst + rate * (admitted[last][0] - since_ns) + 1e-6


def test_a_bucket_fills_again_up_to_its_burst() -> None:
    bucket = TokenBucket(1e9, 20)
    assert bucket.admits(asks(20), AdmissionView(0))
    assert not bucket.admits(asks(10), AdmissionView(9))
    assert bucket.admits(asks(10), AdmissionView(10))
    assert not bucket.admits(asks(21), AdmissionView(10_000))


@pytest.mark.parametrize(
    ("now_ns", "ttft_ns", "tpot_ns", "slack", "admitted"),
    [
        (100, 1000.0, 50.0, 1.0, True),
        (100, 1000.5, 50.0, 1.0, False),
        (101, 1000.0, 50.0, 1.0, False),
        (100, 10.0, 51.0, 1.0, False),
        (100, 1500.0, 75.0, 1.5, True),
    ],
)
def test_early_rejection_counts_what_has_passed_and_what_is_predicted(
    now_ns: int, ttft_ns: float, tpot_ns: float, slack: float, admitted: bool
) -> None:
    view = AdmissionView(now_ns, ttft_ns, tpot_ns, MIN_SAMPLES)
    assert SloEarlyReject(slack).admits(asks(), view) is admitted
    guess = AdmissionView(now_ns, ttft_ns, tpot_ns, MIN_SAMPLES - 1)
    assert SloEarlyReject(slack).admits(asks(), guess)
    assert SloEarlyReject(slack).admits(WaitingRequest(0, 100, 10), view)


def test_shedding_begins_with_the_least_important_at_saturation_one() -> None:
    shedding = SaturationShedding(least_priority=1)
    # Means of (4/5, 0.6/0.8) = 0.8 and (0/5, 0.9/0.8) = 1.125: 0.9625; then of 6/5 and 1.125: 1.1625.
    calm = AdmissionView(0, queues=(4, 0), kv_usages=(0.6, 0.9))
    busy = AdmissionView(0, queues=(6, 0), kv_usages=(0.6, 0.9))
    assert shedding.saturation(calm) == pytest.approx(0.9625)
    assert shedding.saturation(busy) == pytest.approx(1.1625)
    assert [shedding.admits(asks(priority=0), view) for view in (calm, busy)] == [True, False]
    assert [shedding.admits(asks(priority=1), view) for view in (calm, busy)] == [True, True]
    assert not shedding.admits(asks(), AdmissionView(0))
