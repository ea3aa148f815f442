"""One small example for each trap of the virtual clock that applies: equal to the naive run, and right by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from scheduler.protocol.messages import Message, PrefillStepped, ReleasePrefixes, StorePrefixes, Usage
from scheduler.sources.arrivals import ArrivalBlock, Trace
from scheduler.sources.trace_source import TraceSource
from tests.naive.case import Case, Outcome, Row
from tests.naive.simulation import run_naive
from tests.naive.strategies import QUICK_PHASES, any_cases, mixed_cases
from tests.sim.build import build_real, run_real

STEADY = Case(
    (),
    pass_ns=1_000,
    token_ns=0,
    pairs_per_ns=10**12,
    cached_ns=0,
    fixed_ps=1_000_000,
    sequence_ps=0,
    kv_ps=0,
    latency_ns=0,
    bytes_per_token=0,
)
"""A pass and a step last a microsecond whatever is in them, and bytes move at once."""


def outcomes_of(case: Case) -> list[Outcome]:
    """What became of the requests, once the naive run and both ways of stepping agree."""
    naive = run_naive(case)
    assert run_real(case) == naive
    assert run_real(case, skip_steps=False) == naive
    return naive.outcomes


def test_a_reservation_goes_to_a_die_with_a_slot_not_only_with_blocks() -> None:
    # The first takes die 0 (3 blocks of 8), the second die 1 (7 of 8); then die 0 has most blocks and no slot.
    rows = (Row(0, 200, 50), Row(0, 700, 5), Row(0, 10, 5))
    case = replace(STEADY, rows=rows, num_dies=2, blocks_per_die=8, slots_per_die=1)
    # Room is made at 5 us, when that boundary has passed; the first still runs, so the third waits for the next.
    assert [outcome.decode_started_ns for outcome in outcomes_of(case)] == [1_000, 1_000, 6_000]


def test_die_loads_that_grow_at_different_rates_are_ranked_anew() -> None:
    # Die 0 starts with fewer free blocks than die 1, whose two sequences then outgrow it.
    rows = (Row(0, 300, 200), Row(0, 120, 200), Row(0, 120, 200), Row(150_000, 120, 3), Row(151_000, 250, 3))
    for blocks in range(5, 10):
        outcomes_of(replace(STEADY, rows=rows, num_dies=2, blocks_per_die=blocks, slots_per_die=3))


def test_a_reservation_that_does_not_fit_holds_back_smaller_ones_behind_it() -> None:
    rows = (Row(0, 250, 20), Row(2_000, 250, 3), Row(4_000, 1, 3))
    outcomes = outcomes_of(replace(STEADY, rows=rows, blocks_per_die=5))
    # Three blocks are taken and two are free: room for the third, but the second asked before.
    assert outcomes[0].ended_ns == 20_000
    # The instance is empty then, so that they start at that very instant.
    assert [outcome.decode_started_ns for outcome in outcomes[1:]] == [20_000, 20_000]


def test_who_is_told_to_start_at_the_instant_of_a_boundary_joins_at_it() -> None:
    rows = (Row(0, 10, 30), Row(3_000, 10, 3), Row(5_500, 10, 3))
    outcomes = outcomes_of(replace(STEADY, rows=rows))
    # Boundaries are at whole microseconds: the second is ready at 4 us sharp, the third at 6.5.
    assert [outcome.decode_started_ns for outcome in outcomes] == [1_000, 4_000, 7_000]


def test_the_step_grid_restarts_when_an_empty_instance_gets_work() -> None:
    rows = (Row(0, 10, 3), Row(5_500, 10, 3))
    assert [outcome.decode_started_ns for outcome in outcomes_of(replace(STEADY, rows=rows))] == [1_000, 6_500]


def test_the_slowest_die_changes_within_a_run_of_steps() -> None:
    # One long sequence against two short ones, which grow twice as fast: 401 + s tokens and 2 x (101 + s) cross at 199.
    case = Case((Row(0, 400, 450), Row(0, 100, 450), Row(0, 100, 450)), num_dies=2, kv_ps=1_000, sequence_ps=0)
    steps_ps = [1_700_333 + 1_000 * max(401 + s, 202 + 2 * s) for s in range(449)]
    first, *others = outcomes_of(case)
    assert first.ended_ns == (1_000 * first.decode_started_ns + sum(steps_ps)) // 1_000
    assert {outcome.ended_ns for outcome in others} == {first.ended_ns}


@pytest.mark.parametrize("step_tokens", [(1, 1), (17, 10), (3, 2), (40, 1)])
def test_the_last_token_that_fits(step_tokens: tuple[int, int]) -> None:
    reasons: list[str] = []
    for output_tokens in range(24, 34):
        case = replace(STEADY, rows=(Row(0, 100, output_tokens),), blocks_per_die=1, step_tokens=step_tokens)
        reasons.append(outcomes_of(case)[0].reason)
    if step_tokens == (1, 1):
        assert reasons == ["STOP"] * 5 + ["LENGTH"] * 5  # 100 + 28 fill the block


def test_preempted_at_one_boundary_go_back_in_the_order_in_which_the_needy_joined() -> None:
    # 0 and 1 share a die, 2 and 3 the other; at the same step the older of each takes the last block there is.
    rows = tuple(Row(0, 120, 300) for _ in range(4))
    case = replace(STEADY, rows=rows, num_prefill=2, num_dies=2, blocks_per_die=5, slots_per_die=2)
    outcomes = outcomes_of(case)
    assert [outcome.num_preemptions for outcome in outcomes] == [0, 1, 0, 1]
    assert [outcome.prefill_instance for outcome in outcomes] == [0, 0, 0, 1]


def test_an_output_of_one_token_ends_at_prefill_and_gives_its_room_back() -> None:
    rows = (Row(0, 200, 1), Row(0, 200, 1), Row(1_000, 200, 2))
    outcomes = outcomes_of(replace(STEADY, rows=rows, blocks_per_die=3, prefill_blocks=4))
    assert [outcome.ended_ns for outcome in outcomes] == [1_000, 1_000, 3_000]
    assert [outcome.decode_started_ns for outcome in outcomes] == [-1, -1, 2_000]


@pytest.mark.parametrize("mode", ["pool", "local"])
def test_a_full_hit_computes_one_token(mode: str) -> None:
    rows = (Row(0, 128, 1, (1, 2)), Row(10_000, 128, 1, (1, 2)), Row(20_000, 100, 1, (1, 2)))
    case = replace(STEADY, rows=rows, cache_mode=mode, cache_blocks=8, block_tokens=64)
    assert [outcome.cached_tokens for outcome in outcomes_of(case)] == [0, 127, 99]
    computed: list[int] = []
    build_real(case).run(taps=[lambda _, m: computed.append(m.computed_tokens) if type(m) is PrefillStepped else None])
    assert [count for count in computed if count] == [128, 1, 1]


def test_tokens_found_in_a_local_cache_no_longer_weigh_on_the_instance() -> None:
    # The second starts with 127 of 128 tokens at hand while a third arrives; the fourth comes when all is quiet again.
    rows = (Row(0, 128, 1, (1, 2)), Row(5_000, 128, 1, (1, 2)), Row(5_500, 60, 1), Row(5_600, 200, 1), Row(9_000, 5, 1))
    case = replace(STEADY, rows=rows, num_prefill=2, prefill_policy="cloudmatrix", cache_mode="local", cache_blocks=8)
    outcomes = outcomes_of(case)
    assert [outcome.cached_tokens for outcome in outcomes] == [0, 127, 0, 0, 0]
    assert [outcome.prefill_instance for outcome in outcomes] == [0, 0, 1, 0, 0]


def test_recompute_keeps_first_times_and_counts_what_was_produced() -> None:
    rows = (Row(0, 120, 300), Row(0, 120, 300))
    outcomes = outcomes_of(replace(STEADY, rows=rows, blocks_per_die=5))
    old, young = outcomes
    assert (old.num_preemptions, young.num_preemptions) == (0, 1)
    assert (young.prefill_started_ns, young.first_token_ns) == (0, 1_000)
    assert [outcome.output_tokens for outcome in outcomes] == [300, 300]
    # 120 + 136 tokens fill two blocks; the old one gets the fifth, the young one leaves, computes 256 tokens and waits.
    assert old.ended_ns == 300_000
    assert young.decode_started_ns == 300_000
    assert young.ended_ns == 300_000 + 1_000 * (300 - 137)


@pytest.mark.parametrize("mode", ["pool", "local"])
def test_recompute_looks_up_again_and_does_not_store_twice(mode: str) -> None:
    rows = (Row(0, 120, 300, (1, 2)), Row(0, 120, 300, (1, 3)))
    case = replace(STEADY, rows=rows, blocks_per_die=5, cache_mode=mode, cache_blocks=8, block_tokens=64)
    assert [outcome.cached_tokens for outcome in outcomes_of(case)] == [0, 119]
    said: list[Message] = []
    build_real(case).run(listeners=[lambda _now_ns, _address, message: said.append(message)])
    stored = [i for message in said if type(message) is StorePrefixes for i in message.ids]
    released = [i for message in said if type(message) is ReleasePrefixes for i in message.ids]
    assert (stored, released) == (([0, 1], [1]) if mode == "pool" else ([], []))


def test_a_child_leaves_the_cache_before_its_parent() -> None:
    # Three blocks of room: the second prompt takes the two that are deepest of the first.
    rows = (Row(0, 300, 1, (1, 2, 3)), Row(10_000, 200, 1, (8, 9)), Row(20_000, 300, 1, (1, 2, 3)))
    case = replace(STEADY, rows=rows, cache_mode="pool", cache_blocks=3, block_tokens=100)
    assert [outcome.cached_tokens for outcome in outcomes_of(case)] == [0, 0, 100]
    assert run_real(case).num_evictions == 4


def test_ties_go_to_the_lowest_index() -> None:
    rows = tuple(Row(0, 50, 4) for _ in range(5))
    for policy in ("least_loaded", "cloudmatrix"):
        case = replace(STEADY, rows=rows, num_prefill=3, num_decode=2, prefill_policy=policy, decode_policy=policy)
        outcomes = outcomes_of(case)
        assert [outcome.prefill_instance for outcome in outcomes] == [0, 1, 2, 0, 1]
        # Instance by instance they ask for room: 0 and 3, 1 and 4, then 2.
        assert [outcome.decode_instance for outcome in outcomes] == [0, 0, 0, 1, 1]


@settings(phases=QUICK_PHASES, max_examples=60)
@given(case=any_cases(), num_rows=st.integers(1, 4))
def test_arrivals_of_one_instant_are_one_message_over_blocks_of_a_reader(case: Case, num_rows: int) -> None:
    parts = [case.rows[start : start + num_rows] for start in range(0, len(case.rows), num_rows)]
    blocks = (
        ArrivalBlock(
            [row.arrived_ns for row in rows],
            [row.prompt_tokens for row in rows],
            [row.output_tokens for row in rows],
            [list(row.prefix) for row in rows],
            [row.tenant for row in rows],
        )
        for rows in parts
    )
    real = build_real(case)
    real.components[0] = TraceSource(Trace("test", case.block_tokens, None, blocks))
    assert real.run() == run_naive(case)


@settings(phases=QUICK_PHASES, max_examples=60)
@given(case=mixed_cases())
def test_no_numpy_integer_leaks_into_a_message(case: Case) -> None:
    def look(now_ns: int, address: str, message: Message) -> None:
        assert type(now_ns) is int
        assert address
        for value in astuple(message):
            _check_plain(value)

    build_real(case).run(listeners=[look])


def _check_plain(value: object) -> None:
    if isinstance(value, list):
        for item in value:
            _check_plain(item)
    elif isinstance(value, Usage):
        for item in astuple(value):
            _check_plain(item)
    elif not isinstance(value, bytes | str | bool):
        assert type(value).__module__ != "numpy", value
