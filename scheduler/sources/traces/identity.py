"""What ids of blocks mean, made one thing at the door: equal ids have equal prefixes and stand for equally many tokens.

All behind the readers rely on that: pools, caches of instances, tiers, curves, descriptions, what policies know. A
block is known by the block before it, its id and the tokens in it. Where a trace's ids are a chain already (an id names
all before it as well) they pass as they are, and are verified; where they name the text of a block alone, or are too
large, or do not cover a prompt's end, they are numbered anew.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import chain, count
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scheduler.sources.traces.row_format import IdMeaning

Integers = npt.NDArray[np.int64]

MAX_BLOCK_ID: Final = 2**40 - 1
"""Of ids behind the readers: stores put tenants above them."""

MAX_GIVEN_ID: Final = 2**64 - 1
"""Of ids in a file, which may be hashes."""

TABLE_IDS: Final = 2**20
IDS_PER_SEEN: Final = 16
"""Ids are verified in an array that they index, as long as it has not many more places than ids were seen; those beyond
it in a dictionary."""

_FIRST: Final = -1
"""What stands before the first block of a prompt."""


def flat_ids(prefixes: Sequence[list[Any]]) -> npt.NDArray[np.uint64] | None:
    """All ids of many prompts as one array; None if any is no integer from 0 to `MAX_GIVEN_ID`."""
    flat = list(chain.from_iterable(prefixes))
    if set(map(type, flat)) != {int}:
        return None
    try:
        return np.frombuffer(array("Q", flat), np.uint64)
    except OverflowError:
        return None


class Identity:
    """Holds or makes the one meaning of ids, prompt after prompt. Memory grows with distinct ids.

    `meaning` None: found out with the first prompts that have ids. `numbers_anew`: ids are, whatever they are like.
    """

    def __init__(self, tokens_per_id: int, meaning: IdMeaning | None, *, numbers_anew: bool = False) -> None:
        self.meaning = meaning
        self.is_renumbered = False
        self._tokens: Final = tokens_per_id
        self._numbers_anew: Final = numbers_anew
        self._scheme: _AsTheyAre | _Numbered | None = None

    @property
    def has_seen(self) -> bool:
        """Whether any prompt so far had ids."""
        return self._scheme is not None

    @property
    def problem(self) -> tuple[int, str]:
        """Of the prompt that was not taken: which of its ids contradicts what came before, and how."""
        assert self._scheme is not None
        return self._scheme.problem

    def take(
        self, prefixes: list[list[Any]], prompt_tokens: list[int], flat: npt.NDArray[np.uint64] | None, start: int = 0
    ) -> int:
        """Take prompts from `start` on; ids in `prefixes` are replaced where they are numbered anew.

        `flat`: `flat_ids` of all, if they are integers. Returns where the first one stands that contradicts those
        before, or the number of prompts.
        """
        if not any(prefixes):
            return len(prefixes)
        if self._scheme is not None:
            return self._scheme.take(prefixes, prompt_tokens, flat, start)
        given = list(prefixes)
        is_text = self.meaning is IdMeaning.TEXT
        is_large = flat is None or flat.max() > MAX_BLOCK_ID
        if self._numbers_anew or is_text or is_large or self._has_ends(prefixes, prompt_tokens):
            self._scheme = _Numbered(self._tokens, is_chain=not is_text)
        else:
            self._scheme = _AsTheyAre(self._tokens)
        end = self._scheme.take(prefixes, prompt_tokens, flat, start)
        if end < len(prefixes) and self.meaning is None:
            prefixes[:] = given
            self.meaning, self._scheme = IdMeaning.TEXT, _Numbered(self._tokens, is_chain=False)
            end = self._scheme.take(prefixes, prompt_tokens, flat, start)
        self.meaning = self.meaning or IdMeaning.CHAIN
        self.is_renumbered = isinstance(self._scheme, _Numbered)
        return end

    def _has_ends(self, prefixes: list[list[Any]], prompt_tokens: list[int]) -> bool:
        """Whether some prompt ends in tokens that no id covers."""
        tokens = self._tokens
        return any(prefix and len(prefix) * tokens < prompt for prefix, prompt in zip(prefixes, prompt_tokens))


class _AsTheyAre:
    """Ids that are a chain: verified, a batch at a time in an array, and passed as they are.

    Of each id is kept what it came with the first time: the id before it, and the tokens in it.
    """

    def __init__(self, tokens_per_id: int) -> None:
        self.problem = (0, "")
        self._tokens: Final = tokens_per_id
        self._table: Integers = np.zeros(1 << 16, np.int64)
        self._others: dict[int, int] = {}
        self._num_seen = 0
        self._ends = count(MAX_BLOCK_ID, -1)

    def take(
        self, prefixes: list[list[int]], prompt_tokens: list[int], flat: npt.NDArray[np.uint64] | None, start: int
    ) -> int:
        """See `Identity.take`."""
        if start == 0 and flat is not None and len(flat) and self._fits(flat, prefixes, prompt_tokens):
            return len(prefixes)
        for row in range(start, len(prefixes)):
            if prefixes[row] and not self._fits_alone(prefixes[row], prompt_tokens[row]):
                return row
            if len(prefixes[row]) * self._tokens < prompt_tokens[row] and prefixes[row]:
                prefixes[row] = [*prefixes[row], next(self._ends)]
        return len(prefixes)

    def _fits(self, flat: npt.NDArray[np.uint64], prefixes: list[list[int]], prompt_tokens: list[int]) -> bool:
        """Whether all agree with each other and with all before; if not, nothing of them is kept."""
        if not self._has_place(int(flat.max()), len(flat)):
            return False
        lengths = np.fromiter(map(len, prefixes), np.int64, len(prefixes))
        prompts = np.array(prompt_tokens, np.int64)
        last_tokens = prompts - (lengths - 1) * self._tokens
        filled = lengths > 0
        if (last_tokens[filled] > self._tokens).any():
            return False
        ids = flat.view(np.int64)
        ends = np.cumsum(lengths)[filled]
        marks = np.empty_like(ids)
        # What stands before each id, and how many tokens it has, as one number above 0.
        marks[1:] = ids[:-1]
        marks[ends - lengths[filled]] = _FIRST
        marks += 1
        marks *= self._tokens + 1
        marks += self._tokens
        marks[ends - 1] += last_tokens[filled] - self._tokens
        table = self._table
        seen = table[ids]
        is_new = seen == 0
        new_ids, new_marks = ids[is_new], marks[is_new]
        table[new_ids] = new_marks
        if np.array_equal(seen[~is_new], marks[~is_new]) and np.array_equal(table[new_ids], new_marks):
            self._num_seen += len(new_ids)
            return True
        table[new_ids] = 0
        return False

    def _fits_alone(self, prefix: list[int], prompt_tokens: int) -> bool:
        tokens, last = self._tokens, len(prefix) - 1
        marks: dict[int, int] = {}
        before = _FIRST
        for place, block_id in enumerate(prefix):
            if block_id > MAX_BLOCK_ID:
                self.problem = (place, f"{block_id} is more than {MAX_BLOCK_ID}, and no id before was")
                return False
            here = min(tokens, prompt_tokens - last * tokens) if place == last else tokens
            mark = (before + 1) * (tokens + 1) + here
            known = marks.get(block_id) or self._mark_of(block_id)
            if known not in (0, mark):
                self.problem = (place, self._told(block_id, known, before, here))
                return False
            marks[block_id] = mark
            before = block_id
        for block_id, mark in marks.items():
            self._note(block_id, mark)
        return True

    def _told(self, block_id: int, known: int, before: int, here: int) -> str:
        first_before, first_tokens = divmod(known, self._tokens + 1)
        if first_before - 1 != before:
            return f"id {block_id} {_after(before)} here, and {_after(first_before - 1)} before"
        return f"id {block_id} has {here} tokens here, and had {first_tokens} before"

    def _mark_of(self, block_id: int) -> int:
        return int(self._table[block_id]) if block_id < len(self._table) else self._others.get(block_id, 0)

    def _note(self, block_id: int, mark: int) -> None:
        self._num_seen += not self._mark_of(block_id)
        if self._has_place(block_id, 1):
            self._table[block_id] = mark
        else:
            self._others[block_id] = mark

    def _has_place(self, largest: int, num_ids: int) -> bool:
        """Whether the array has a place for ids up to `largest`, of which so many come; it grows if it should."""
        table = self._table
        if largest < len(table):
            return True
        allowed = max(TABLE_IDS, IDS_PER_SEEN * (self._num_seen + num_ids))
        if largest >= allowed:
            return False
        self._table = np.concatenate((table, np.zeros(min(allowed, 2 * (largest + 1)) - len(table), np.int64)))
        for block_id in [block_id for block_id in self._others if block_id < len(self._table)]:
            self._table[block_id] = self._others.pop(block_id)
        return True


class _Numbered:
    """Ids numbered anew from 0 in the order in which they come, each by the block before it, itself and its tokens.

    `is_chain`: an id names all before it, and one that has two numbers contradicts itself.
    """

    def __init__(self, tokens_per_id: int, *, is_chain: bool) -> None:
        self.problem = (0, "")
        self._tokens: Final = tokens_per_id
        self._numbers: dict[object, int] = {}
        self._number_of: dict[object, int] | None = {} if is_chain else None
        self._next: Callable[[], int] = count().__next__

    def take(
        self, prefixes: list[list[Any]], prompt_tokens: list[int], flat: npt.NDArray[np.uint64] | None, start: int
    ) -> int:
        """See `Identity.take`."""
        for row in range(start, len(prefixes)):
            if prefixes[row]:
                numbers = self._numbers_of(prefixes[row], prompt_tokens[row])
                if self._number_of is not None and not self._is_one(prefixes[row], numbers):
                    return row
                prefixes[row] = numbers
        return len(prefixes)

    def _numbers_of(self, prefix: list[Any], prompt_tokens: int) -> list[int]:
        known, new = self._numbers, self._next
        before, numbers = _FIRST, list[int]()
        last_tokens = prompt_tokens - (len(prefix) - 1) * self._tokens
        has_partial = last_tokens < self._tokens
        for block_id in prefix[:-1] if has_partial else prefix:
            key = (before, block_id)
            number = known.get(key)
            if number is None:
                number = known[key] = new()
            numbers.append(number)
            before = number
        if has_partial:
            numbers.append(known.setdefault((before, prefix[-1], last_tokens), -1))
            if numbers[-1] < 0:
                numbers[-1] = known[before, prefix[-1], last_tokens] = new()
        elif last_tokens > self._tokens:
            numbers.append(new())
        return numbers

    def _is_one(self, prefix: list[Any], numbers: list[int]) -> bool:
        number_of = self._number_of
        assert number_of is not None
        for place, (block_id, number) in enumerate(zip(prefix, numbers)):
            if number_of.setdefault(block_id, number) != number:
                after = "at the start" if place == 0 else f"after {prefix[place - 1]}"
                self.problem = (
                    place,
                    f"id {block_id} stands {after} here, and with another beginning or length before",
                )
                return False
        return True


def _after(block_id: int) -> str:
    return "begins a prompt" if block_id == _FIRST else f"comes after {block_id}"
