"""Which blocks an answer becomes in a later prompt, as rows that name sessions or parents tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scheduler.protocol.messages import NO_ANSWER
from scheduler.sources.arrivals import ArrivalBlock
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace
from scheduler.sources.traces.turns import ANSWER_IDS, Turns

SIZE = 10


def blocks_of(tmp_path: Path, *rows: dict[str, Any], superpose: int = 1) -> ArrivalBlock:
    """Rows of a file, all in one block."""
    path = tmp_path / "turns.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, *others = open_trace(
        str(path), options=TraceOptions(superpose=superpose, tokens_per_id=SIZE, finds_answers=True)
    ).blocks
    for other in others:
        first.extend(other)
    return first


def row(session: str | None, prompt: int, output: int, ids: list[int], timestamp: int = 0) -> dict[str, Any]:
    """One row as AIPerf writes it."""
    named = {} if session is None else {"session_id": session}
    return {**named, "timestamp": timestamp, "input_length": prompt, "output_length": output, "hash_ids": ids}


def test_blocks_that_a_later_turn_repeats_have_the_ids_set_aside_for_the_answer(tmp_path: Path) -> None:
    # 20 tokens and an answer of 31: KV of 50, so three whole blocks beyond the prompt; the fourth is new.
    block = blocks_of(tmp_path, row("s", 20, 31, [7, 8]), row("s", 65, 1, [7, 8, 9, 10, 11, 12, 13]))
    first, second = block.prefixes
    begins = block.answers[0]
    assert second[:2] == first
    assert second[2:5] == [begins, begins + 1, begins + 2]
    assert all(ids < ANSWER_IDS for ids in (*first, *second[5:]))


def test_a_partial_block_of_the_prompt_is_part_of_the_answer(tmp_path: Path) -> None:
    # 25 tokens and an answer of 6: the KV of the third block is whole but for its last token, which is new.
    block = blocks_of(
        tmp_path, row("s", 25, 6, [1, 2, 3]), row("s", 40, 1, [1, 2, 4, 5]), row("s", 60, 1, [1, 2, 4, 5, 6, 7])
    )
    first, second, third = block.prefixes
    assert second[2] == block.answers[0]
    assert third[:4] == second
    assert first[2] != second[2]


def test_an_answer_that_is_not_repeated_is_nobodys(tmp_path: Path) -> None:
    for later in (
        row("s", 45, 1, [1, 2, 5, 6, 7]),
        row("s", 60, 1, [3, 4, 5, 6, 7, 8]),
        row("t", 60, 1, [1, 2, 5, 6, 7, 8]),
    ):
        block = blocks_of(tmp_path, row("s", 20, 30, [1, 2]), later)
        assert all(ids < ANSWER_IDS for ids in block.prefixes[1])


def test_what_was_seen_before_keeps_its_id(tmp_path: Path) -> None:
    block = blocks_of(
        tmp_path,
        row(None, 30, 1, [1, 2, 3]),
        row("s", 20, 15, [1, 2]),
        row("s", 40, 1, [1, 2, 3, 4]),
        row(None, 30, 1, [1, 2, 3]),
    )
    assert block.prefixes[2][:3] == block.prefixes[0] == block.prefixes[3]
    assert block.answers[0] == NO_ANSWER != block.answers[1]


def test_branches_go_on_from_the_same_answer(tmp_path: Path) -> None:
    path = tmp_path / "bailian.jsonl"
    turns = [(0, -1, 0.0, 32, 33, [1, 2]), (1, 0, 1.5, 80, 1, [1, 2, 3, 4, 5]), (2, 0, 2.5, 80, 1, [1, 2, 3, 4, 6])]
    names = ("chat_id", "parent_chat_id", "timestamp", "input_length", "output_length", "hash_ids")
    path.write_text("".join(json.dumps(dict(zip(names, turn, strict=True))) + "\n" for turn in turns))
    (block,) = open_trace(str(path), options=TraceOptions(finds_answers=True)).blocks
    begins = block.answers[0]
    assert [prefix[2:4] for prefix in block.prefixes[1:]] == [[begins, begins + 1]] * 2


def test_copies_of_a_trace_have_the_answers_of_their_rows(tmp_path: Path) -> None:
    rows = row("s", 20, 31, [7, 8]), row("s", 65, 1, [7, 8, 9, 10, 11, 12, 13], 100)
    once = blocks_of(tmp_path, *rows)
    twice = blocks_of(tmp_path, *rows, superpose=2)
    assert sorted(zip(twice.prompt_tokens, twice.answers, strict=True)) == sorted(
        zip(once.prompt_tokens * 2, once.answers * 2, strict=True)
    )


def test_rows_without_turns_tell_of_no_answers_and_nobody_does_unasked(tmp_path: Path) -> None:
    assert blocks_of(tmp_path, row(None, 20, 31, [7, 8])).answers == []
    blocks_of(tmp_path, row("s", 20, 31, [70, 80]))
    (block,) = open_trace(str(tmp_path / "turns.jsonl"), options=TraceOptions(tokens_per_id=SIZE)).blocks
    assert (block.answers, block.prefixes) == ([], [[70, 80]])


def test_turns_are_forgotten_when_many_have_come_since(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.sources.traces.turns.MAX_TURNS", 2)
    turns = Turns(SIZE)
    for number in range(3):
        turns.take([[number]], [10], [11], [f"s{number}"], [None])
    # Of s0 nothing is known any more; s2 is remembered.
    first, last = [0, 3, 4], [2, 5, 6]
    turns.take(prefixes := [first, last], [30, 30], [1, 1], [None, None], ["s0", "s2"])
    assert prefixes[0] == [0, 3, 4]
    assert prefixes[1][1] >= ANSWER_IDS
