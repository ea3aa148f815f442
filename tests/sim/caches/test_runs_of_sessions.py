"""Whole runs of sessions in a closed loop under each cache policy: what policies change, and what they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main

NUM_SESSIONS, NUM_TURNS, BLOCK_TOKENS = 12, 6, 512
TOOL_MS = 5000

CONFIG = "plan: 1x16p+1x160d+1c\ncache_block_tokens: 512\n"
SMALL = "cache_bytes_per_server: 4e9\n"
"""Room for about a third of what all sessions have at the end."""
SSD = "cache_ssd_bytes_per_server: 100e9\n"


@pytest.fixture(autouse=True)
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions whose contexts grow, with a tool of 5 s between their turns: all take turns, as least recently used
    likes least."""
    monkeypatch.chdir(tmp_path)
    rows: list[dict[str, Any]] = []
    for session in range(NUM_SESSIONS):
        for turn in range(NUM_TURNS):
            blocks = [1, 2, *(1000 * (session + 1) + block for block in range(4 * (turn + 1)))]
            row = {"session_id": f"s{session}", "input_length": BLOCK_TOKENS * len(blocks), "output_length": 20}
            when = {"delay": TOOL_MS} if turn else {"timestamp": 400 * session}
            rows.append({**row, "hash_ids": blocks, **when})
    Path("sessions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def run(capsys: pytest.CaptureFixture[str], policy: str, config: str, *arguments: str) -> dict[str, Any]:
    """The document of a run."""
    Path("config.yaml").write_text(CONFIG + config)
    flags = ["--sessions", "closed", "--turns", "whole", "--config", "config.yaml", "--json"]
    assert main(["replay", "sessions.jsonl", *flags, "--cache-policy", policy, *arguments]) == 0
    out, err = capsys.readouterr()
    assert not err
    document = json.loads(out)
    del document["wall_s"], document["config_digest"], document["policy_failures"]
    assert document["finish_reasons"]["stop"] == NUM_SESSIONS * NUM_TURNS
    return document


def hit_rate(document: dict[str, Any]) -> float:
    return document["cache"]["hit_tokens"] / document["cache"]["lookup_tokens"]


def test_the_same_run_twice_is_the_same_and_a_policy_that_has_room_changes_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = run(capsys, "lru", "")
    assert plain == run(capsys, "lru", "")
    pinned = run(capsys, "pin", "")
    assert pinned.pop("cache_policy")["kept_blocks"] > 0
    assert pinned == plain


@pytest.mark.parametrize("cache", ["pool", "local"])
@pytest.mark.parametrize("policy", ["ttl", "pin"])
def test_what_is_kept_for_sessions_is_found_where_it_would_have_gone(
    policy: str, cache: str, capsys: pytest.CaptureFixture[str]
) -> None:
    room = SMALL if cache == "pool" else "cache_bytes_per_server: 2e9\n"
    plain, kept = (run(capsys, one, room, "--cache", cache) for one in ("lru", policy))
    assert hit_rate(kept) > hit_rate(plain) + 0.05
    assert kept["cache_policy"]["kept_blocks"] > 0
    assert "cache_policy" not in plain


def test_what_is_fetched_ahead_is_carried_by_the_fabric_and_found_in_dram(capsys: pytest.CaptureFixture[str]) -> None:
    plain, fetched = (run(capsys, one, SMALL + SSD) for one in ("lru", "prefetch:gap_s=5,lead_s=1"))
    did, pool = fetched["cache_policy"], fetched["cache"]["pool"]
    assert did["prefetched_tokens"] >= did["prefetch_used_tokens"] > 0
    assert pool["ssd"]["found_tokens"] < plain["cache"]["pool"]["ssd"]["found_tokens"]
    plain_pool = plain["cache"]["pool"]["ssd"]
    token_bytes = plain_pool["read_bytes"] / plain_pool["found_tokens"]
    assert pool["ssd"]["read_bytes"] == pytest.approx(
        token_bytes * (pool["ssd"]["found_tokens"] + did["prefetched_tokens"]), rel=1e-9
    )
    assert fetched["simulated_s"] < 2 * plain["simulated_s"]


def test_a_session_that_has_run_out_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    short = run(capsys, "ttl:ttl=1", SMALL)
    assert 0 < short["cache_policy"]["expired_blocks"] <= short["cache_policy"]["kept_blocks"]
    assert run(capsys, "ttl:ttl=60", SMALL)["cache_policy"]["expired_blocks"] == 0
