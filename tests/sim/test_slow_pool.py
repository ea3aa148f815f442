"""A pool that is slow or full: what it is worth shrinks to nothing, and it costs no request more than computing."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.naive.case import Case, Row
from tests.naive.simulation import run_naive
from tests.naive.strategies import QUICK_PHASES
from tests.sim.build import RealSystem, build_real

NUM_PROMPTS = 6
APART_NS = 5_000_000
"""One prompt after the other, so that each has the instance to itself."""


def ran(case: Case) -> RealSystem:
    """Its run, equal to the naive one's."""
    system = build_real(case)
    assert system.run() == run_naive(case)
    return system


@settings(phases=QUICK_PHASES, max_examples=60)
@given(
    prompt=st.integers(100, 1_000),
    bytes_per_s=st.sampled_from([1_000, 1_000_000, 100_000_000, 10**10]),
    cache_blocks=st.sampled_from([0, 1, 5, 100]),
    ssd_blocks=st.sampled_from([0, 5]),
    blocks=st.integers(1, 15),
)
def test_no_first_token_is_later_than_without_a_pool_by_more_than_computing_takes(
    prompt: int, bytes_per_s: int, cache_blocks: int, ssd_blocks: int, blocks: int
) -> None:
    block_ids = tuple(range(1, -(-prompt // 64) + 1))[:blocks]
    rows = tuple(Row(APART_NS * at, prompt, 1, block_ids) for at in range(NUM_PROMPTS))
    without = Case(rows)
    pooled = replace(
        without,
        cache_mode="pool",
        cache_blocks=cache_blocks,
        cache_ssd_blocks=ssd_blocks,
        pool_bytes_per_s=bytes_per_s,
        ssd_bytes_per_s=bytes_per_s,
    )
    plain, system = ran(without), ran(pooled)
    limits = system.scheduler._prefills.read_limits
    event(f"given up: {limits.num_given_up} of {NUM_PROMPTS}")
    computing_ns = 1 + prompt * limits._npu_ns // limits._computed_tokens
    pairs = zip(system.outcomes(), plain.outcomes(), strict=True)
    for outcome, expected in pairs:
        assert outcome.first_token_ns <= expected.first_token_ns + computing_ns
