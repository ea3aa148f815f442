"""SGLang's policies by hand."""

from __future__ import annotations

from scheduler.policies import make_routing_policy
from tests.unit.scheduler.policies.routing.views import DECODE, PREFILL, request_of, stage_of


def test_cache_aware_goes_by_match_while_loads_are_balanced() -> None:
    policy = make_routing_policy("cache_aware", PREFILL)
    # 31 % is more than 0.3; 30 % is not.
    assert policy.choose(stage_of([0, 64]), request_of(1000, [0, 310])) == 1
    assert policy.choose(stage_of([5, 3]), request_of(1000, [300, 0])) == 1
    # 65 - 0 > 64 and 65 > 1.5 * 0: load alone. 100 of 164 is over in difference and in ratio, 150 of 215 in difference.
    assert policy.choose(stage_of([0, 65]), request_of(1000, [0, 1000])) == 0
    assert policy.choose(stage_of([165, 100]), request_of(1000, [1000, 0])) == 1
    assert policy.choose(stage_of([215, 150]), request_of(1000, [1000, 0])) == 0


def test_cache_aware_sends_the_unknown_to_the_smallest_tree_where_older_versions_do() -> None:
    stage, request = stage_of([1, 0], sizes=[3, 4]), request_of(1000, [0, 0])
    assert make_routing_policy("cache_aware", PREFILL).choose(stage, request) == 1
    assert make_routing_policy("cache_aware:cold_by_tree=true", PREFILL).choose(stage, request) == 0


def test_cache_aware_decodes_where_least_is_outstanding() -> None:
    assert make_routing_policy("cache_aware", DECODE).choose(stage_of([2, 1]), request_of(9, [9, 0])) == 1


def test_lmetric_multiplies_new_work_and_load() -> None:
    policy = make_routing_policy("lmetric", PREFILL)
    # (1000 - 800) * 4 = 800 against 1000 * 1; then against (1000 - 300) * 1 = 700.
    assert policy.choose(stage_of([3, 0]), request_of(1000, [800, 0])) == 0
    assert policy.choose(stage_of([3, 0]), request_of(1000, [800, 300])) == 1
    # What the pool holds is at hand everywhere: (1000 - 800) * 4 = 800 against (1000 - 300) * 1 = 700.
    assert policy.choose(stage_of([3, 0]), request_of(1000, [800, 0], cached=300)) == 1


def test_lmetric_breaks_ties_by_load() -> None:
    # 500 * 2 = 1000 * 1 = 1000.
    assert make_routing_policy("lmetric", PREFILL).choose(stage_of([1, 0]), request_of(1000, [500, 0])) == 1
