"""Which request went on from which, where a trace says so, and the blocks that an answer becomes in the next prompt.

A trace gives the ids of prompts only. What an answer becomes is known when a later turn's prompt repeats it: if it is
at least as long as the prompt before with its answer, and begins with the same whole blocks, then the blocks after
these were decoded. They get ids that were set aside when the first turn was read, so that whoever keeps the KV of
answers can name them before the next turn has come. Prompts that drop or change the answer share what they share.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from scheduler.protocol.messages import NO_ANSWER

ANSWER_IDS: Final = 2**39
"""Blocks of answers are numbered from here; those of prompts, numbered anew where there are turns, stay below."""

MAX_TURNS: Final = 2**18
"""Turns that are remembered: the last so many, so that memory stays flat."""

TurnKey = str | int | None
"""What a turn is known by; None for a request that is no turn."""

_NO_BLOCK: Final = -1


class _Turn(Struct, frozen=True):
    """Of a prompt: how many whole blocks it has and the last of them, which stands for all; tokens with the answer; and
    the id of the block in which the answer begins."""

    num_blocks: int
    last_block: int
    total_tokens: int
    answer_block: int


class Turns:
    """Takes prompts in their order, with ids that are a chain and are numbered anew from 0 as they come."""

    def __init__(self, block_tokens: int) -> None:
        self._block_tokens: Final = block_tokens
        self._turns: dict[TurnKey, _Turn] = {}
        # Of blocks that repeat an answer, the id that was set aside for them.
        self._renamed: dict[int, int] = {}
        self._next_answer = ANSWER_IDS
        self._num_known = 0

    def take(
        self,
        prefixes: list[list[int]],
        prompt_tokens: list[int],
        output_tokens: list[int],
        keys: list[TurnKey],
        befores: list[TurnKey],
    ) -> list[int]:
        """Prompts of some rows, in which ids of answers are put in place of those of the file; `keys` of these turns
        and of those `befores` each. Returns where each answer begins, `NO_ANSWER` where that is not known."""
        answers = [NO_ANSWER] * len(prefixes)
        for row, (prefix, prompt, output) in enumerate(zip(prefixes, prompt_tokens, output_tokens, strict=True)):
            if not prefix:
                continue
            num_known = self._num_known
            self._num_known = max(num_known, max(prefix) + 1)
            before = None if befores[row] is None else self._turns.get(befores[row])
            if before is not None and prompt >= before.total_tokens:
                self._rename(before, prefix, num_known)
            if self._renamed:
                renamed = self._renamed.get
                prefix = prefixes[row] = [renamed(block, block) for block in prefix]
            if keys[row] is not None:
                answers[row] = self._remember(keys[row], prefix, prompt, output)
        return answers

    def _rename(self, before: _Turn, prefix: list[int], num_known: int) -> None:
        """Blocks of the answer that are seen for the first time."""
        start = before.num_blocks
        if start:
            last = self._renamed.get(prefix[start - 1], prefix[start - 1])
            if last != before.last_block:
                return
        # The last token of an answer has no KV.
        end = (before.total_tokens - 1) // self._block_tokens
        for place in range(start, end):
            if prefix[place] >= num_known:
                self._renamed.setdefault(prefix[place], before.answer_block + place - start)

    def _remember(self, key: TurnKey, prefix: list[int], prompt_tokens: int, output_tokens: int) -> int:
        turns, size = self._turns, self._block_tokens
        num_blocks, total_tokens = prompt_tokens // size, prompt_tokens + output_tokens
        answer_block = self._next_answer
        self._next_answer += total_tokens // size - num_blocks + 1
        turns.pop(key, None)
        last_block = prefix[num_blocks - 1] if num_blocks else _NO_BLOCK
        turns[key] = _Turn(num_blocks, last_block, total_tokens, answer_block)
        if len(turns) > MAX_TURNS:
            del turns[next(iter(turns))]
        return answer_block
