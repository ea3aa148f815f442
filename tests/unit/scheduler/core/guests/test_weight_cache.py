"""A memory keeps the versions used last, and of each what its servers have not lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.guests.weight_cache import WeightCache
from sim_hw.model_loading import Strategy
from tests.unit.sim_hw.loading_forms import ModelLoading

TOKENS = 960
NUM_MODELS = 8


@given(st.lists(st.sampled_from("abcdef"), max_size=30), st.integers(1, 4))
def test_it_holds_the_versions_that_were_used_last(uses: list[str], capacity: int) -> None:
    kept, order = WeightCache(TOKENS, capacity, 4, "a"), ["a"]
    for version in uses:
        assert kept.missing_tokens(version) == (0 if version in order else TOKENS)
        order = [*[one for one in order if one != version], version][-capacity:]
        kept.store(version)


def test_a_lost_server_takes_its_part_and_one_that_is_drained_or_back_takes_nothing() -> None:
    kept = WeightCache(TOKENS, 2, 4, "a")
    kept.drain_server(0)
    assert kept.missing_tokens("a") == 0
    kept.lose_server(1)
    assert kept.missing_tokens("a") == TOKENS // 3
    kept.lose_server(1)  # it had nothing any more
    kept.add_server(1)
    assert kept.missing_tokens("a") == TOKENS // 3
    # Its blocks came back evenly: the next loss is a third of what is left.
    kept.lose_server(2)
    assert kept.missing_tokens("a") == TOKENS - TOKENS * 2 // 3 * 2 // 3
    kept.store("a")
    assert kept.missing_tokens("a") == 0
    for number in (1, 3):
        kept.lose_server(number)
    assert kept.missing_tokens("a") == TOKENS
    last = WeightCache(TOKENS, 2, 1, "a")
    last.drain_server(0)
    assert last.missing_tokens("a") == TOKENS


def test_the_hit_rate_of_a_switch_is_the_published_one() -> None:
    """From each model to each, all of them equally often: one that holds all always hits, one that holds one by 1/8."""
    loading = ModelLoading(1.0, 8, NUM_MODELS, 1.0)
    for strategy, capacity in ((Strategy.POOL, NUM_MODELS), (Strategy.LOCAL, 1)):
        kept = WeightCache(TOKENS, capacity, 1, "0")
        for version in range(NUM_MODELS):
            kept.store(str(version))
        hits = 0
        for held in range(NUM_MODELS):
            for wanted in range(NUM_MODELS):
                kept.store(str(held))
                hits += not kept.missing_tokens(str(wanted))
        assert hits / NUM_MODELS**2 == loading.switch_hit_rate(strategy)
