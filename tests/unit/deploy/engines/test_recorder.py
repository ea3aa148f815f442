"""Recorded requests: a trace that a replay on the virtual clock takes, with the latencies that were served."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from deploy.engines.served import ServedEngine
from deploy.http.spec import BLOCK_TOKENS
from deploy.run.replay import ReplayJob, replay_virtual
from scheduler.metrics.records import Records
from scheduler.protocol.errors import InputError
from scheduler.sources.traces.options import TraceOptions
from tests.unit.deploy.engines.engines import Client, blueprint, complete, rows_of, spec, with_engine

SHARED = "0123" * 1024


@pytest.mark.parametrize("plan", ["1x16a", "1x16p+1x16d"])
def test_a_replay_of_what_was_recorded_tells_what_was_served(plan: str, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"

    async def talk(client: Client, one: ServedEngine) -> Records:
        for turn in range(3):
            asked = [complete(client, SHARED + f"{turn} {at}" * 99, max_tokens=20 + at, seed=at) for at in range(6)]
            await asyncio.gather(*asked)
        return Records(one.engine.core.table)

    served = with_engine(talk, spec(record=str(path), speed=20.0), plan=plan)
    settings = blueprint(plan=plan).settings
    options = TraceOptions(tokens_per_id=BLOCK_TOKENS, time_unit="ms")
    replayed = replay_virtual(ReplayJob(str(path), options, settings)).records
    assert served.num_requests == 18
    for name in ("prompt_tokens", "output_tokens", "cached_tokens", "ttft_s", "tpot_s", "e2e_s"):
        np.testing.assert_array_equal(getattr(replayed, name), getattr(served, name), name)


def test_rows_come_in_the_order_of_arrival_with_what_was_produced(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"

    async def talk(client: Client, one: ServedEngine) -> None:
        long = asyncio.create_task(complete(client, "a" * 40, max_tokens=100_000))
        while not one.engine.num_open:
            await asyncio.sleep(0.001)
        await complete(client, "b" * 40, max_tokens=3)
        assert rows_of(path) == []
        long.cancel()
        while one.engine.num_open:
            await asyncio.sleep(0.001)

    with_engine(talk, spec(record=str(path)))
    first, second = (json.loads(line) for line in rows_of(path))
    assert (first["input_length"], second["input_length"]) == (10, 10)
    assert 0 < first["output_length"] < 100_000
    assert second["output_length"] == 3
    assert first["timestamp"] <= second["timestamp"]


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    async def talk(_client: Client, _one: ServedEngine) -> None:
        """Nothing."""

    with pytest.raises(InputError, match="--record"):
        with_engine(talk, spec(record=str(tmp_path / "absent" / "x.jsonl")))
