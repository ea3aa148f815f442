"""Stack distances and the simulated store answer the same, at every size."""

from __future__ import annotations

from dataclasses import replace

from scheduler.gateway.readers.options import TraceOptions
from scheduler.gateway.readers.registry import open_workload
from scheduler.gateway.synthetic.load import load_workload
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
        (prefix, namespace, tokens)
        for block in trace.blocks
        for prefix, namespace, tokens in zip(block.prefixes, block.namespaces, block.prompt_tokens)
    ]


def test_one_server_is_one_list_at_every_size() -> None:
    prompts = _sessions()
    expected = stack_distance_hits(prompts, SIZES, CAPACITIES)
    assert [store_hits(prompts, replace(SIZES, dram_tokens=capacity)) for capacity in CAPACITIES] == expected
    rates = [hits.rate for hits in expected]
    assert rates == sorted(rates)
    assert 0.0 == rates[0] < rates[3] < rates[-1]


def test_many_servers_find_less_when_full_and_as_much_when_not() -> None:
    prompts = _sessions()
    one = [store_hits(prompts, replace(SIZES, dram_tokens=tokens)) for tokens in CAPACITIES]
    many = [store_hits(prompts, replace(SIZES, num_servers=8, dram_tokens=tokens // 8)) for tokens in CAPACITIES]
    assert all(few.found <= all_.found for few, all_ in zip(many, one))
    assert many[4].found < one[4].found
    assert many[-1] == one[-1]


def test_ssd_behind_finds_what_as_much_dram_would() -> None:
    prompts = _sessions()
    tiered = store_hits(prompts, replace(SIZES, dram_tokens=20_000, ssd_tokens=100_000))
    assert 0 < tiered.ssd < tiered.found
    assert tiered.found == store_hits(prompts, replace(SIZES, dram_tokens=100_000)).found
