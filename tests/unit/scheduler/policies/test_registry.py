"""Names, options and what is said when they are wrong."""

from __future__ import annotations

import pytest

from scheduler.policies import ROUTING, check_routing_policy, make_routing_policy
from scheduler.protocol.errors import ConfigError


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("roundrobin", "unknown value 'roundrobin'; did you mean round_robin? known: aibrix_pd, cache_aware"),
        ("random:seed=1", "random takes no options, and was given 'seed=1'; leave it out"),
        ("dynamo_kv:temprature=1", "dynamo_kv: unknown option 'temprature'; did you mean temperature? known: overlap_"),
        ("dynamo_kv:temperature", "dynamo_kv: option temperature has no value; write temperature=0.0"),
        ("dynamo_kv:temperature=1,temperature=2", "dynamo_kv: option temperature is given twice; leave one out"),
        ("dynamo_kv:temperature=hot", "dynamo_kv: option temperature=hot is not a number of 0 or more; the default is"),
        ("dynamo_kv:temperature=nan", "dynamo_kv: option temperature=nan is not a number of 0 or more; the default is"),
        ("dynamo_kv:temperature=-1", "dynamo_kv: option temperature=-1 is not a number of 0 or more; the default is"),
        ("cache_aware:balance_abs=1.5", "cache_aware: option balance_abs=1.5 is not a whole number of 0 or more; the"),
        ("xllm_car:integer_division=1", "xllm_car: option integer_division=1 is not true or false; the default is"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(spec: str, said: str) -> None:
    for use in (check_routing_policy, make_routing_policy):
        with pytest.raises(ConfigError) as caught:
            use(spec)
        assert str(caught.value).startswith(said)
        assert "\n" not in str(caught.value)


def test_options_are_set_with_the_type_of_their_default() -> None:
    policy = make_routing_policy("cache_aware:balance_abs=7, cold_by_tree=yes,balance_rel=2")
    assert (policy.balance_abs, policy.cold_by_tree, policy.balance_rel) == (7, True, 2.0)  # pyright: ignore[reportAttributeAccessIssue]


def test_every_policy_tells_formula_and_source_and_makes_itself() -> None:
    for known in ROUTING.values():
        assert known.formula
        assert known.source
        assert "\n" not in known.formula + known.source
        assert make_routing_policy(known.name).reason.startswith(known.name)
