"""Equal ids behind the readers mean equal prefixes and equal lengths, whatever they mean in a file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.errors import TraceError
from scheduler.sources.traces.describe import describe
from scheduler.sources.traces.identity import MAX_BLOCK_ID, Identity, flat_ids
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace
from scheduler.sources.traces.row_format import IdMeaning
from tests.unit.scheduler.sources.trace_rows import Request, mooncake_line, read, write_lines

TOKENS = 4

BLOCK = st.integers(0, 5)
PROMPTS = st.lists(st.tuples(st.lists(BLOCK, max_size=5), st.integers(1, TOKENS)), max_size=30)
"""Texts of blocks, and tokens of the last."""


def lengths_of(prompts: list[tuple[list[int], int]]) -> list[int]:
    return [max(1, (len(texts) - 1) * TOKENS + last) for texts, last in prompts]


def chained(prompts: list[tuple[list[int], int]]) -> list[list[int]]:
    """Ids that name all before them, as Mooncake makes them."""
    numbers: dict[object, int] = {}
    made: list[list[int]] = []
    for texts, last in prompts:
        before: tuple[object, ...] = ()
        ids: list[int] = []
        for place, text in enumerate(texts):
            before = (*before, (text, last if place == len(texts) - 1 else TOKENS))
            ids.append(numbers.setdefault(before, len(numbers)))
        made.append(ids)
    return made


def check_law(prefixes: list[list[int]], prompt_tokens: list[int]) -> None:
    """An id stands for one beginning and one length."""
    meaning: dict[int, object] = {}
    for prefix, tokens in zip(prefixes, prompt_tokens, strict=True):
        assert not prefix or len(prefix) == -(-tokens // TOKENS)
        before = -1
        for place, block_id in enumerate(prefix):
            here = (before, min(TOKENS, tokens - place * TOKENS))
            assert meaning.setdefault(block_id, here) == here
            assert 0 <= block_id <= MAX_BLOCK_ID
            before = block_id


@given(prompts=PROMPTS, shift=st.sampled_from([0, 10**6, 2**39]))
def test_a_chain_passes_as_it_is(prompts: list[tuple[list[int], int]], shift: int) -> None:
    given_ids = [[block + shift for block in ids] for ids in chained(prompts)]
    prefixes, lengths = [list(ids) for ids in given_ids], lengths_of(prompts)
    for meaning in (None, IdMeaning.CHAIN):
        identity = Identity(TOKENS, meaning)
        half = len(prefixes) // 2
        for part in (slice(half), slice(half, None)):
            some, tokens = prefixes[part], lengths[part]
            assert identity.take(some, tokens, flat_ids(some)) == len(some)
            assert some == given_ids[part]


@given(prompts=PROMPTS)
def test_texts_are_numbered_as_a_chain_of_the_same_sharing(prompts: list[tuple[list[int], int]]) -> None:
    prefixes, lengths = [list(texts) for texts, _ in prompts], lengths_of(prompts)
    assert Identity(TOKENS, IdMeaning.TEXT).take(prefixes, lengths, flat_ids(prefixes)) == len(prefixes)
    check_law(prefixes, lengths)
    for one, other in pairwise(zip(chained(prompts), prefixes, strict=True)):
        same = [a == b for a, b in zip(one[0], other[0], strict=False)]
        assert [a == b for a, b in zip(one[1], other[1], strict=False)] == same


@given(prompts=PROMPTS, split=st.integers(0, 30))
def test_the_fast_way_and_the_slow_way_find_the_same_row(prompts: list[tuple[list[int], int]], split: int) -> None:
    def first_bad(*, is_fast: bool) -> int:
        identity = Identity(TOKENS, IdMeaning.CHAIN)
        for part in (slice(split), slice(split, None)):
            prefixes, lengths = [list(texts) for texts, _ in prompts[part]], lengths_of(prompts[part])
            # Where no flat array is given ids are numbered anew, so that the slow way is to take rows one by one.
            for row in [len(prefixes)] if is_fast else range(1, len(prefixes) + 1):
                some = prefixes[:row] if is_fast else prefixes[row - 1 : row]
                tokens = lengths[:row] if is_fast else lengths[row - 1 : row]
                taken = identity.take(some, tokens, flat_ids(some))
                if taken < len(some):
                    return (part.start or 0) + (taken if is_fast else row - 1)
        return len(prompts)

    assert first_bad(is_fast=True) == first_bad(is_fast=False)


def test_ids_of_texts_are_found_out_and_share_nothing_but_beginnings(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "t.jsonl",
        mooncake_line(0, 1500, 8, hash_ids=[70, 71, 72]),
        mooncake_line(1, 1400, 8, hash_ids=[71, 72, 80]),
        mooncake_line(2, 1500, 8, hash_ids=[70, 71, 72]),
        mooncake_line(3, 1500, 8, hash_ids=[70, 71, 80]),
    )
    prefixes = [request.prefix for request in read(path)]
    assert prefixes[0] == prefixes[2]
    assert not set(prefixes[1]) & set(prefixes[0])
    assert prefixes[3][:2] == prefixes[0][:2]
    assert prefixes[3][2] not in {*prefixes[0], *prefixes[1]}
    trace = open_trace(str(path), options=TraceOptions())
    assert describe(trace).sharing.hit_tokens == 1500 + 1024
    assert ("ids are", "text, numbered anew (found)") in trace.reading.assumed


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (mooncake_line(9, 600, 5, hash_ids=[5, 7]), "hash_ids[0]: id 5 begins a prompt here, and comes after 4 before"),
        (mooncake_line(9, 600, 5, hash_ids=[4, 4]), "hash_ids[1]: id 4 comes after 4 here, and begins a prompt before"),
        (mooncake_line(9, 1024, 5, hash_ids=[4, 5]), "hash_ids[1]: id 5 has 512 tokens here, and had 88 before"),
        (mooncake_line(9, 9, 5, hash_ids=[2**40]), "hash_ids[0]: 1099511627776 is more than 1099511627775"),
    ],
)
def test_a_later_contradiction_is_one_line_with_a_mend(tmp_path: Path, bad: str, told: str) -> None:
    fillers = [mooncake_line(0, 9, 5, hash_ids=[n]) for n in range(100, 2200)]
    good = [mooncake_line(0, 600, 5, hash_ids=[4, 5]), *fillers]
    path = write_lines(tmp_path / "t.jsonl", *good, bad, mooncake_line(10, 600, 5, hash_ids=[4, 5]))
    with pytest.raises(TraceError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:{len(good) + 1}: {told}")
    assert "--block-ids text" in str(caught.value)
    trace = open_trace(str(path), options=TraceOptions(skip_bad=True))
    assert sum(map(len, trace.blocks)) == len(good) + 1
    assert trace.skipped.num_bad == 1
    assert len(read(path, TraceOptions(block_ids="text"))) == len(good) + 2


def test_a_named_format_is_taken_at_its_word(tmp_path: Path) -> None:
    rows = [mooncake_line(0, 600, 5, hash_ids=[1, 2]), mooncake_line(0, 600, 5, hash_ids=[2, 1])]
    path = write_lines(tmp_path / "t.jsonl", *rows)
    assert len(read(path)) == 2
    for options in (TraceOptions(format="mooncake"), TraceOptions(block_ids="chain")):
        with pytest.raises(TraceError, match=r":2: hash_ids\[0\]: id 2 begins a prompt here, and comes after 1 before"):
            read(path, options)


@pytest.mark.parametrize("hashes", [[2**63, 2**64 - 1, 5, 2**63 + 1, 7], ["5a", "0b", "f0", "11", "e3"]])
def test_hashes_of_any_size_and_text_are_numbered(tmp_path: Path, hashes: list[object]) -> None:
    small = [[0, 1, 2], [0, 1, 3], [4]]
    rows = [mooncake_line(0, 507 * len(ids), 5, hash_ids=[hashes[n] for n in ids]) for ids in small]
    path = write_lines(tmp_path / "t.jsonl", *rows)
    assert [request.prefix for request in read(path)] == [(0, 1, 2), (0, 1, 3), (4,)]


def test_an_end_that_no_id_covers_is_new_each_time(tmp_path: Path) -> None:
    rows = [mooncake_line(time, 1100, 5, hash_ids=[7, 8]) for time in range(3)]
    first, *others = read(write_lines(tmp_path / "t.jsonl", *rows))
    assert len(first.prefix) == 3
    assert all(other.prefix[:2] == first.prefix[:2] for other in others)
    assert len({request.prefix[2] for request in (first, *others)}) == 3
    late = [mooncake_line(0, 512, 5, hash_ids=[n]) for n in range(2100)]
    requests = read(write_lines(tmp_path / "late.jsonl", *late, *[mooncake_line(1, 600, 5, hash_ids=[0])] * 2))
    assert [request.prefix[0] for request in requests[-2:]] == [0, 0]
    assert len({request.prefix[1] for request in requests[-2:]}) == 2


def test_few_large_ids_take_no_large_memory() -> None:
    identity = Identity(TOKENS, None)
    prefixes = [[n * 2**28] for n in range(1000)]
    assert identity.take(prefixes, [4] * 1000, flat_ids(prefixes)) == 1000
    assert prefixes[999] == [999 * 2**28]
    assert identity.take([[5 * 2**28]], [3], np.array([5 * 2**28], np.uint64)) == 0


def test_the_sample_decides_what_an_id_stands_for(tmp_path: Path) -> None:
    rows = [mooncake_line(0, 40, 5, hash_ids=[1, 2, 3]), mooncake_line(0, 64, 5, hash_ids=[1, 2, 4, 5])]
    path = write_lines(tmp_path / "t.jsonl", *rows)
    trace = open_trace(str(path), options=TraceOptions())
    assert trace.block_tokens == 16
    assert ("tokens per id", "16 (found: 512 do not fit)") in trace.reading.assumed
    with pytest.raises(TraceError, match=r"3 ids do not fit input_length 40 at 32 tokens an id; give 2 ids, say --tok"):
        read(path, TraceOptions(tokens_per_id=32))
    assert read(path, TraceOptions(tokens_per_id=16))[0] == Request(0, 40, 5, (1, 2, 3))
