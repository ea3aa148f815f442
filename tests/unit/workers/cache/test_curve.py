"""Stack distances and the simulated store answer the same, at every size."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from scheduler.sources.synthetic.load import load_workload
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_workload
from workers.cache import ring
from workers.cache.curve import Prompt, stack_distance_hits, store_hits
from workers.cache.sizes import StoreSizes

CAPACITIES = [0, 5_000, 20_000, 50_000, 100_000, 200_000, 500_000, 10**9]
SIZES = StoreSizes(1, 0, 512)


def _sessions() -> list[Prompt]:
    settings = {
        "num_requests": (400, ""), "arrivals.rate_per_s": (5.0, ""), "sessions.mean_turns": (4.0, ""),
        "sessions.think_mean_s": (10.0, ""), "prompt_tokens.mean": (900.0, ""), "output_tokens.mean": (200.0, ""),
        "prompt_tokens.cv": (1.0, ""), "output_tokens.cv": (1.0, ""),
    }  # fmt: skip
    trace = open_workload(load_workload(None, settings), TraceOptions())
    assert trace.block_tokens == SIZES.block_tokens
    return [
        (prefix, tenant, tokens)
        for block in trace.blocks
        for prefix, tenant, tokens in zip(block.prefixes, block.tenants, block.prompt_tokens)
    ]


@pytest.mark.parametrize(("given_tokens", "block_tokens"), [(512, 128), (16, 128), (16, 16)])
def test_both_make_the_store_s_blocks_of_a_trace_s_ids(given_tokens: int, block_tokens: int) -> None:
    prompts = _sessions() if given_tokens == 512 else [([1, 2, 3], 0, 40), ([1, 2, 4, 5], 0, 64)]
    sizes = StoreSizes(1, 10**9, block_tokens, given_tokens=given_tokens)
    found = stack_distance_hits(prompts, sizes, [10**9])
    assert found == [store_hits(prompts, sizes)]
    assert found[0].found == 32 or len(prompts) > 2 or block_tokens == 128


@pytest.mark.parametrize("num_servers", [1, 8])
def test_a_pool_is_one_list_at_every_size(num_servers: int) -> None:
    prompts = _sessions()
    expected = stack_distance_hits(prompts, SIZES, CAPACITIES)
    per_server = [replace(SIZES, num_servers=num_servers, dram_tokens=tokens // num_servers) for tokens in CAPACITIES]
    assert [store_hits(prompts, sizes) for sizes in per_server] == expected
    rates = [hits.rate for hits in expected]
    assert rates == sorted(rates)
    assert 0.0 == rates[0] < rates[3] < rates[-1]


def test_servers_that_evict_alone_find_less_when_full_and_as_much_when_not() -> None:
    prompts = _sessions()
    one = stack_distance_hits(prompts, SIZES, CAPACITIES)
    many = stack_distance_hits(prompts, SIZES, CAPACITIES, 8)
    assert all(few.found <= all_.found for few, all_ in zip(many, one))
    assert many[4].found < one[4].found
    assert many[-1] == one[-1]


def test_each_server_that_evicts_alone_is_a_list_of_its_own_blocks() -> None:
    prompts, owners = _sessions(), ring.owners(range(4))
    # A chain of one block has nothing before it on other servers.
    single = [([block], 0, 512) for blocks, _, _ in prompts for block in blocks]
    parts = [[p for p in single if owners[p[0][0] % ring.NUM_SLOTS] == server] for server in range(4)]
    together = stack_distance_hits(single, SIZES, [200_000], 4)[0]
    apart = [store_hits(part, replace(SIZES, dram_tokens=50_000)) for part in parts]
    assert together.found == sum(hits.found for hits in apart)


def test_ssd_behind_finds_what_as_much_dram_would() -> None:
    prompts = _sessions()
    tiered = store_hits(prompts, replace(SIZES, dram_tokens=20_000, ssd_tokens=100_000))
    assert 0 < tiered.ssd < tiered.found
    assert tiered.found == store_hits(prompts, replace(SIZES, dram_tokens=100_000)).found
