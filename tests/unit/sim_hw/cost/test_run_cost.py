"""What a run costs: sides sum to the whole, the rule divides as it says, and break-even breaks even."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.cost.prices import bought, rented
from sim_hw.cost.run_cost import (
    CostLine,
    PoolUsage,
    RunUsage,
    break_even_usd_per_kwh,
    run_cost,
)
from sim_hw.errors import PriceError

DOLLARS = st.floats(0, 1e6)
POOLS = st.lists(st.builds(PoolUsage, st.integers(1, 64), DOLLARS, st.floats(0, 1)), max_size=4)
USAGES = st.builds(
    RunUsage, st.floats(1, 1e6), st.integers(0, 10**9), st.integers(0, 10**9), POOLS, st.just(384), DOLLARS
)
HARDWARE = bought(8.2e6)
RUN = RunUsage(
    seconds=3600,
    input_tokens=2_000_000,
    output_tokens=1_000_000,
    pools=[PoolUsage(224, 10.0, 1.0), PoolUsage(160, 6.0, 0.0)],
    num_npus=384,
    other_energy_usd=12.0,
)


@given(usage=USAGES)
def test_sides_sum_to_what_was_spent(usage: RunUsage) -> None:
    cost = run_cost(usage, HARDWARE)
    spent = HARDWARE.usd(usage.seconds) + sum(pool.energy_usd for pool in usage.pools) + usage.other_energy_usd
    assert cost.usd == pytest.approx(spent)
    assert min(cost.input.usd, cost.output.usd) >= -1e-9


@given(usage=USAGES, factor=st.floats(1, 100))
def test_a_run_of_the_same_kind_twice_as_long_costs_twice(usage: RunUsage, factor: float) -> None:
    longer = replace(
        usage,
        seconds=factor * usage.seconds,
        pools=[replace(pool, energy_usd=factor * pool.energy_usd) for pool in usage.pools],
        other_energy_usd=factor * usage.other_energy_usd,
    )
    assert run_cost(longer, HARDWARE).input.usd == pytest.approx(factor * run_cost(usage, HARDWARE).input.usd)


@given(usage=USAGES, more=DOLLARS)
def test_dearer_energy_never_makes_a_side_cheaper(usage: RunUsage, more: float) -> None:
    dearer = replace(usage, other_energy_usd=usage.other_energy_usd + more)
    assert run_cost(dearer, HARDWARE).input.usd >= run_cost(usage, HARDWARE).input.usd
    assert run_cost(dearer, HARDWARE).output.usd >= run_cost(usage, HARDWARE).output.usd


def test_prefill_pays_input_decode_pays_output_and_the_rest_goes_by_npus() -> None:
    cost, capital_usd = run_cost(RUN, HARDWARE), HARDWARE.usd(3600)
    assert cost.input.capital_usd == pytest.approx(224 / 384 * capital_usd)
    assert cost.input.energy_usd == pytest.approx(10 + 224 / 384 * 12)
    assert cost.output.energy_usd == pytest.approx(6 + 160 / 384 * 12)
    assert cost.input.usd_per_million_tokens == pytest.approx(cost.input.usd / 2)
    assert cost.usd_per_million_tokens == pytest.approx(cost.usd / 3)


def test_spare_npus_are_paid_by_the_pools_in_proportion() -> None:
    spare = replace(RUN, pools=[replace(pool, num_npus=pool.num_npus // 2) for pool in RUN.pools])
    assert run_cost(spare, HARDWARE).input.usd == pytest.approx(run_cost(RUN, HARDWARE).input.usd)


def test_an_aggregated_pool_is_divided_as_it_was_busy() -> None:
    cost = run_cost(replace(RUN, pools=[PoolUsage(384, 8.0, input_share=0.75)], other_energy_usd=0), HARDWARE)
    assert cost.input.usd == pytest.approx(0.75 * cost.usd)


def test_a_rent_has_paid_the_electricity() -> None:
    cost = run_cost(RUN, rented(1.0, 384))
    assert cost.usd == pytest.approx(384)


def test_without_tokens_there_is_no_price_and_without_room_no_pool() -> None:
    empty = run_cost(replace(RUN, input_tokens=0, output_tokens=0), HARDWARE)
    assert (empty.input.usd_per_million_tokens, empty.usd_per_million_tokens) == (None, None)
    with pytest.raises(PriceError, match="pools of 384 NPUs on a system of 72"):
        run_cost(replace(RUN, num_npus=72), HARDWARE)


@given(
    one=st.builds(CostLine, st.floats(0, 1e3), st.floats(1, 1e3)),
    other=st.builds(CostLine, st.floats(0, 1e3), st.floats(1, 1e3)),
)
def test_at_the_break_even_price_both_cost_the_same(one: CostLine, other: CostLine) -> None:
    price = break_even_usd_per_kwh(one, other)
    if price is None:
        at_zero, at_high = (one.usd(at) - other.usd(at) for at in (0.0, 1e9))
        assert at_zero * at_high >= 0
    elif price < 1e6:  # beyond it the lines are parallel as far as floats can tell
        assert one.usd(price) == pytest.approx(other.usd(price), rel=1e-6, abs=1e-6)
