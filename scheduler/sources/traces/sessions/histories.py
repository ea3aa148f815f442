"""Prompts of sessions that hold all before them, where a trace gives no ids that would say so.

A turn's prompt is the prompt before, its answer, and new tokens. Its whole blocks are known by their beginnings, so
that those of the history keep their ids from turn to turn; a partial last block is the turn's own. Where rows are
deltas (what a turn adds to all before), their prompts are made whole here: AIPerf's sessions, and Dynamo's
`mooncake-delta`, in which a row of 2 tokens after one of 4 with an answer of 2 is a prompt of 8. Source:
ai-dynamo/dynamo, docs/benchmarks/dynosim-runs.md, and the unified command line's test of that format.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from scheduler.protocol.messages import NO_ANSWER, NO_SESSION
from scheduler.sources.traces.turns import ANSWER_IDS


class _Turn(Struct, frozen=True):
    """Of the last turn of a session: the ids of its prompt's whole blocks, its tokens with the answer, and the id of
    the block in which the answer begins."""

    blocks: list[int]
    total_tokens: int
    answer_block: int


class Histories:
    """Takes rows of sessions in their order. Ids of first prompts must be numbered from 0; all others are made here.

    Memory grows with the sessions, each of which is remembered by its last turn.
    """

    def __init__(self, block_tokens: int, *, is_delta: bool) -> None:
        self._block_tokens: Final = block_tokens
        self._is_delta: Final = is_delta
        self._turns: Final[dict[int, _Turn]] = {}
        self._next_block = ANSWER_IDS

    def take(
        self,
        prefixes: list[list[int]],
        prompt_tokens: list[int],
        output_tokens: list[int],
        sessions: list[int],
        resets: list[bool],
    ) -> list[int]:
        """Put whole prompts in place of those of rows of sessions, with ids. Returns where each answer begins,
        `NO_ANSWER` for a row of no session."""
        answers = [NO_ANSWER] * len(prefixes)
        for row, session in enumerate(sessions):
            if session == NO_SESSION:
                continue
            before = None if resets[row] else self._turns.get(session)
            if before is not None and self._is_delta:
                prompt_tokens[row] += before.total_tokens
            prefixes[row], answers[row] = self._prompt(
                session, before, prefixes[row], prompt_tokens[row], output_tokens[row]
            )
        return answers

    def _prompt(
        self, session: int, before: _Turn | None, given: list[int], prompt_tokens: int, output_tokens: int
    ) -> tuple[list[int], int]:
        """The ids of a prompt, and of the block in which its answer begins."""
        size = self._block_tokens
        num_whole = prompt_tokens // size
        if before is not None:
            blocks = before.blocks[:num_whole]
            if prompt_tokens >= before.total_tokens:
                # One more than the answer fills was set aside for the block in which it ends.
                num_answer = min(num_whole, before.total_tokens // size + 1) - len(blocks)
                blocks.extend(range(before.answer_block, before.answer_block + num_answer))
        else:
            blocks = given[:num_whole]
        blocks.extend(self._new(num_whole - len(blocks)))
        total_tokens = prompt_tokens + output_tokens
        answer_block = self._new(total_tokens // size - num_whole + 1).start
        self._turns[session] = _Turn(blocks, total_tokens, answer_block)
        if prompt_tokens % size == 0:
            return blocks, answer_block
        is_given = before is None and len(given) > num_whole
        return [*blocks, given[num_whole] if is_given else self._new(1).start], answer_block

    def _new(self, num_blocks: int) -> range:
        """Ids that no other block has."""
        first = self._next_block
        self._next_block += num_blocks
        return range(first, first + num_blocks)
