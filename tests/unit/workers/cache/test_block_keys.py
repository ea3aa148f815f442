"""Ids that are split or joined tell prompts apart as before, to the block."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.errors import ConfigError
from workers.cache.block_keys import key_maker

PROMPTS = st.lists(st.integers(0, 40), max_size=12)


def _chained(words: list[int]) -> list[int]:
    """An id that stands for a word and all before it."""
    ids, known = [], 7
    for word in words:
        known = known * 41 + word + 1
        ids.append(known)
    return ids


@given(words=PROMPTS, missing=st.integers(0, 511))
def test_split_ids_are_as_many_as_the_prompt_has_blocks(words: list[int], missing: int) -> None:
    num_tokens = max(0, len(words) * 512 - missing)
    keys = key_maker(512, 128)(_chained(words), num_tokens)
    assert len(keys) == -(-num_tokens // 128)
    assert len(set(keys)) == len(keys)


@given(left=PROMPTS, right=PROMPTS)
def test_prompts_share_as_many_tokens_split_and_joined(left: list[int], right: list[int]) -> None:
    shared = _common(_chained(left), _chained(right))
    split = key_maker(512, 128)
    assert _common(split(_chained(left), 512 * len(left)), split(_chained(right), 512 * len(right))) == 4 * shared
    join = key_maker(128, 512)
    joined = _common(join(_chained(left), 128 * len(left)), join(_chained(right), 128 * len(right)))
    # Equal prompts share their partial last block too; otherwise a block is shared if all of it is.
    assert joined == (-(-shared // 4) if left == right else shared // 4)


def test_sizes_that_do_not_divide_are_one_line() -> None:
    with pytest.raises(ConfigError, match=r"cache_block_tokens: blocks of 256 tokens cannot be made from .* of 100"):
        key_maker(100, 256)


def _common(left: list[int], right: list[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
