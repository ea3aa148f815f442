"""Prompts that have as much in common as the trace says."""

from __future__ import annotations

from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from deploy.http_client.token_ids import NUM_DIGITS, RUN_DIGITS, prompt_ids

BLOCK_TOKENS = 32
numbers = st.integers(0, 2**63)
prefixes = st.lists(numbers, max_size=6)


def in_common(one: list[int], other: list[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@given(prefixes, st.integers(1, 200), numbers)
def test_a_prompt_has_its_tokens_and_none_is_too_large(prefix: list[int], num_tokens: int, request: int) -> None:
    ids = prompt_ids(prefix, num_tokens, BLOCK_TOKENS, request)
    assert len(ids) == num_tokens
    assert min(ids) >= 0
    assert max(ids) < 2**8


@given(prefixes, prefixes, prefixes)
def test_prompts_share_what_their_blocks_share(shared: list[int], one: list[int], other: list[int]) -> None:
    same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))
    lengths = [BLOCK_TOKENS * (len(shared) + len(own)) + 1 for own in (one, other)]
    first, second = (
        prompt_ids([*shared, *own], length, BLOCK_TOKENS, request)
        for request, (own, length) in enumerate(zip((one, other), lengths, strict=True))
    )
    whole_blocks = in_common(first, second) // BLOCK_TOKENS
    assert whole_blocks == len(shared) + same


def test_blocks_differ_within_their_first_tokens() -> None:
    first = NUM_DIGITS + RUN_DIGITS
    one, other = (prompt_ids([block], BLOCK_TOKENS, BLOCK_TOKENS, 0) for block in (5, 5 + 2**60))
    assert one[:first] != other[:first]


def test_what_no_block_covers_is_the_requests_own() -> None:
    one, other = (prompt_ids([], 100, BLOCK_TOKENS, request) for request in (0, 1))
    covered = prompt_ids([0, 0], 2 * BLOCK_TOKENS, BLOCK_TOKENS, 0)
    own = [set(ids[RUN_DIGITS : RUN_DIGITS + NUM_DIGITS]) for ids in (one, other, covered)]
    assert one[: RUN_DIGITS + NUM_DIGITS] != other[: RUN_DIGITS + NUM_DIGITS]
    assert not (own[0] | own[1]) & own[2]


@given(prefixes, numbers, numbers)
def test_runs_have_nothing_in_common(prefix: list[int], one: int, other: int) -> None:
    if one % 2**28 != other % 2**28:
        first, second = (prompt_ids(prefix, 100, BLOCK_TOKENS, 0, run) for run in (one, other))
        assert in_common(first, second) < RUN_DIGITS
