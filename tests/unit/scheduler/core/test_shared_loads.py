"""An instance of both stages has one load, whichever stage counts it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.shared_loads import loads_of


@given(
    num=st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 3)),
    changes=st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 5), st.integers(-9, 9)), max_size=30),
)
def test_what_one_stage_counts_the_other_shows(
    num: tuple[int, int, int], changes: list[tuple[bool, bool, int, int]]
) -> None:
    num_prefill, num_decode, num_both = num
    both = [f"a{i}" for i in range(num_both)]
    addresses = [f"p{i}" for i in range(num_prefill)] + both, [f"d{i}" for i in range(num_decode)] + both
    stages = loads_of(*addresses)
    expected: dict[tuple[bool, str], int] = {}
    for is_decode, is_tokens, index, amount in changes:
        names = addresses[is_decode]
        column = (stages[is_decode].requests, stages[is_decode].tokens)[is_tokens]
        column[index % len(names)] += amount
        key = is_tokens, names[index % len(names)]
        expected[key] = expected.get(key, 0) + amount
    for names, stage in zip(addresses, stages, strict=True):
        assert stage.requests == [expected.get((False, name), 0) for name in names]
        assert stage.tokens == [expected.get((True, name), 0) for name in names]


def test_stages_that_share_nobody_have_plain_columns() -> None:
    prefill, decode = loads_of(["p0"], ["d0"])
    assert type(prefill.tokens) is type(decode.requests) is list
