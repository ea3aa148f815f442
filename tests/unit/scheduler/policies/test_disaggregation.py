"""On which side a prompt is computed, by hand at the edges that the sources name."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from scheduler.policies.disaggregation import DISAGGREGATIONS, DisaggregationView, make_rule
from scheduler.protocol.errors import ConfigError

VIEW = DisaggregationView(0, 4000, 1000, (0, 100), (500, 500), (0.5, 0.9))


def stays(spec: str, **view: object) -> bool:
    return make_rule(spec).stays(replace(VIEW, **view))


def test_always_and_never_look_at_nothing() -> None:
    assert not stays("always", uncached_tokens=0)
    assert stays("never", uncached_tokens=10**9)


def test_below_the_threshold_a_prompt_stays() -> None:
    assert stays("prefix_threshold:tokens=1001")
    assert not stays("prefix_threshold:tokens=1000")
    assert stays("prefix_threshold:tokens=0", uncached_tokens=10**9)  # llm-d: 0 is never


def test_isl_bounding_wants_both_strictly_and_is_vetoed_where_decode_is_busy() -> None:
    assert stays("isl_bounding", prompt_tokens=4000, uncached_tokens=2047)
    assert not stays("isl_bounding", prompt_tokens=4000, uncached_tokens=2048)
    assert not stays("isl_bounding", prompt_tokens=1000, uncached_tokens=700)
    assert stays("isl_bounding", prompt_tokens=1000, uncached_tokens=699)
    assert stays("isl_bounding:busy_kv=0.5")  # the emptiest decides, and 0.5 is not above 0.5
    assert not stays("isl_bounding:busy_kv=0.49")


def test_a_queue_counts_where_it_is_shortest() -> None:
    assert not stays("queue:threshold=1", prefill_queues=(500, 9999))
    assert stays("queue:threshold=1", prefill_queues=(501, 9999))
    assert not stays("queue:threshold=1,busy_kv=0.4", prefill_queues=(501, 9999))


def test_either_is_enough() -> None:
    assert stays("isl_or_load:threshold=1", prefill_queues=(501, 501), uncached_tokens=4000)
    assert stays("isl_or_load:threshold=1")
    assert not stays("isl_or_load:threshold=1", uncached_tokens=4000)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("sometimes", "sometimes"),
        ("queue:busy_kv=2", "option busy_kv=2 is no share; give 0 to 1"),
        ("queue:tokens=2", "tokens"),
    ],
)
def test_what_is_no_rule_is_one_line(spec: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_rule(spec)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_are_listed_with_their_sources() -> None:
    assert set(DISAGGREGATIONS) == {"always", "never", "prefix_threshold", "isl_bounding", "queue", "isl_or_load"}
    assert all(known.formula and known.source for known in DISAGGREGATIONS.values())
