"""Bytes from and to the memories of the cache pool are those of the tokens that moved, on whatever plane."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.run.replay import ReplayJob, replay_virtual
from deploy.settings.models import PlaneText
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from scheduler.sources.traces.options import TraceOptions

BLOCK = 512
NUM_CHAINS = 6
BLOCKS = 8


@pytest.mark.parametrize("plane", ["ub", "vpc"])
def test_bytes_by_memory_are_tokens_times_their_size(tmp_path: Path, plane: PlaneText) -> None:
    """Six conversations in turn, again and again, through a DRAM that holds two of them and an SSD that holds all."""
    rows = [
        {"timestamp": 2000 * i, "input_length": BLOCKS * BLOCK, "output_length": 2, "hash_ids": [*_chain(i)]}
        for i in range(3 * NUM_CHAINS)
    ]
    trace = tmp_path / "turns.jsonl"
    trace.write_text("".join(json.dumps(row) + "\n" for row in rows))
    token_bytes = Blueprint(Settings.from_plain({}), BLOCK).kv_bytes_per_token
    config = Settings.from_plain(
        {
            "plan": "1x16p+1x160d+1c",
            "cache_plane": plane,
            "cache_bytes_per_server": 2 * BLOCKS * BLOCK * token_bytes,
            "cache_ssd_bytes_per_server": 1e12,
        }
    )
    result = replay_virtual(ReplayJob(str(trace), TraceOptions(), config))
    pool = result.summary.cache.pool
    assert pool.ssd.found_tokens == 2 * NUM_CHAINS * BLOCKS * BLOCK > 0 == pool.dram.found_tokens
    assert pool.ssd.read_bytes == pool.ssd.found_tokens * token_bytes
    # From DRAM it goes on, but for the last token of each prompt, which is computed in any case, and written again.
    computed_again = 2 * NUM_CHAINS * token_bytes
    assert pool.dram.read_bytes == pool.ssd.read_bytes - computed_again
    assert pool.dram.written_bytes == pool.ssd.written_bytes == pool.stored_tokens * token_bytes + computed_again
    planes = {"ub": result.summary.fabric.ub.bytes, "vpc": result.summary.fabric.vpc.bytes}
    of_dram, of_ssd = (tier.read_bytes + tier.written_bytes for tier in (pool.dram, pool.ssd))
    assert planes[plane] == of_dram + (of_ssd if plane == "vpc" else 0)
    assert sum(planes.values()) == of_dram + of_ssd


def _chain(number: int) -> range:
    first = number % NUM_CHAINS * BLOCKS
    return range(first, first + BLOCKS)
