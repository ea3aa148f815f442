"""A fleet whose requests have one candidate each is its supernodes, each alone."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest

import supernode

PLAN = "2x16p+1x32d+8c"
COLUMNS = ("prompt_tokens", "cached_tokens", "output_tokens", "preemptions", "finish_reason")
STAMPS = ("arrived_ns", "prefill_started_ns", "first_token_ns", "decode_started_ns", "last_token_ns", "ended_ns")


@pytest.fixture(name="trace")
def conversations(tmp_path: Path) -> str:
    """Two hundred of conversations behind one system prompt, some rows without ids."""
    random, rows = Random(4), list[dict[str, object]]()
    lengths: dict[int, int] = {}
    for number in range(200):
        conversation = random.randrange(30)
        blocks = lengths[conversation] = lengths.get(conversation, 1) + random.randrange(1, 4)
        ids = [0, *range(1_000 * (conversation + 1), 1_000 * (conversation + 1) + blocks)]
        row: dict[str, object] = {"timestamp": 150 * number, "input_length": 512 * len(ids) - 100, "output_length": 30}
        rows.append(row | {"hash_ids": ids if number % 7 else []})
    path = tmp_path / "conversations.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def test_a_fleet_is_the_sum_of_its_parts_to_the_nanosecond(trace: str) -> None:
    # Shares of links are estimated when the fabric looks, which in a fleet it does for other supernodes, too.
    common: dict[str, supernode.Keyword] = {"supernode_candidates": 1, "expert_traffic": False}
    fleet = supernode.replay(trace, plan=f"3*({PLAN})", **common).requests
    home = np.array([int(str(name).split("-")[1]) // 2 for name in fleet["prefill_instance"]])
    assert min(np.bincount(home)) > 40
    for one in range(3):
        part = supernode.replay(trace, plan=PLAN, part=f"{one}/3", **common).requests
        for column in (*COLUMNS, *STAMPS):
            assert np.array_equal(fleet[column][home == one], part[column]), column


def test_requests_stay_in_the_supernode_that_computed_them(trace: str) -> None:
    requests = supernode.replay(trace, plan=f"3*({PLAN})", supernode_candidates=2).requests
    prefill = [int(str(name).split("-")[1]) // 2 for name in requests["prefill_instance"]]
    assert prefill == [int(str(name).split("-")[1]) for name in requests["decode_instance"]]


def test_a_conversation_meets_its_cache_again(trace: str) -> None:
    at_home = supernode.replay(trace, plan=f"3*({PLAN})", supernode_candidates=1)["cache.hit_tokens"]
    best = supernode.replay(trace, plan=PLAN)["cache.hit_tokens"]
    # Each supernode computes the system prompt once.
    assert best - 2 * 512 <= at_home <= best


def test_a_part_that_nobody_is_sent_says_so(trace: str) -> None:
    with pytest.raises(supernode.InputError, match=r"part 0/1000 has none of the 2 requests"):
        supernode.replay(trace, plan=PLAN, part="0/1000", limit=2)
    with pytest.raises(supernode.ConfigError, match=r"part is '3/3'; give I/N"):
        supernode.replay(trace, plan=PLAN, part="3/3")
