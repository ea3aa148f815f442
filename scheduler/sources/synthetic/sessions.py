"""Conversations of several turns whose prompts share system prompt and history, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import astuple

from scheduler.protocol.messages import NO_ANSWER
from scheduler.runtime.random_streams import stream
from scheduler.sources.arrivals import BLOCK_ROWS, ArrivalBlock
from scheduler.sources.synthetic.arrivals import ArrivalClock
from scheduler.sources.synthetic.lengths import LengthSampler, draw_log_normal
from scheduler.sources.synthetic.workload import SessionRequests

Integers = npt.NDArray[np.int64]

MIN_SESSIONS: Final = 256
NS_PER_S: Final = 1e9
NO_BLOCK: Final = -1
"""Stands in the column of partial blocks where the prompt ends on a block's end."""


class _Turns(Struct, frozen=True):
    """Turns as columns. A prompt is: shared blocks of a system prompt, blocks of the session, a block of its own.

    The session's whole blocks are numbered `first_block`, `first_block` + 1 and so on, so that a later turn's list
    extends an earlier one's; only the partial block at the end, if any, has an id that no other turn has. An answer
    that a later turn repeats goes on where its prompt's whole blocks end, at `answer_block`.
    """

    times_ns: Integers
    prompt_tokens: Integers
    output_tokens: Integers
    group: Integers
    first_block: Integers
    num_blocks: Integers
    partial_block: Integers
    answer_block: Integers

    def take(self, rows: Integers | slice) -> _Turns:
        """Some of the turns."""
        return _Turns(*(column[rows] for column in astuple(self)))

    def join(self, others: _Turns) -> _Turns:
        """These turns, then the others."""
        return _Turns(*map(np.concatenate, zip(astuple(self), astuple(others))))


def session_blocks(requests: SessionRequests, block_tokens: int, seed: int) -> Iterator[ArrivalBlock]:
    """Turns of sessions in time order, until the stages of their arrivals have ended if there are any; memory holds
    the turns of sessions that are under way."""
    factory = _SessionFactory(requests, block_tokens, seed)
    waiting: _Turns | None = None
    origin_ns: int | None = None
    while not factory.has_ended:
        # In proportion to what waits, so that sorting it again costs each turn the same however many wait.
        num_waiting = 0 if waiting is None else len(waiting.times_ns)
        last_start_ns, turns = factory.make(max(MIN_SESSIONS, num_waiting // 4))
        turns = turns if waiting is None else waiting.join(turns)
        turns = turns.take(np.argsort(turns.times_ns, kind="stable"))
        # Sessions still to come start no earlier than the last one that was made.
        num_turns = len(turns.times_ns)
        num_due = num_turns if factory.has_ended else int(np.searchsorted(turns.times_ns, last_start_ns, side="left"))
        waiting = turns.take(slice(num_due, None))
        for start in range(0, num_due, BLOCK_ROWS):
            due = turns.take(slice(start, min(start + BLOCK_ROWS, num_due)))
            if origin_ns is None:
                origin_ns = int(due.times_ns[0])
            yield ArrivalBlock(
                (due.times_ns - origin_ns).tolist(),
                due.prompt_tokens.tolist(),
                due.output_tokens.tolist(),
                factory.prefixes(due),
                [0] * len(due.times_ns),
                answers=due.answer_block.tolist(),
            )


class _SessionFactory:
    """Makes whole sessions, some hundred at once."""

    def __init__(self, requests: SessionRequests, block_tokens: int, seed: int) -> None:
        self._requests = requests
        self._block_tokens = block_tokens
        self._clock = ArrivalClock(requests.arrivals, stream(seed, "arrivals"))
        self._prompts = LengthSampler(requests.prompt_tokens, stream(seed, "prompt_tokens"))
        self._outputs = LengthSampler(requests.output_tokens, stream(seed, "output_tokens"))
        self._turns = stream(seed, "turns")
        self._think = stream(seed, "think")
        self._groups = stream(seed, "groups")
        self._system_blocks = requests.system_tokens // block_tokens
        self._next_block = requests.system_groups * self._system_blocks
        self._system_ids = [
            list(range(group * self._system_blocks, (group + 1) * self._system_blocks))
            for group in range(requests.system_groups)
        ]

    @property
    def has_ended(self) -> bool:
        """Whether no session comes any more."""
        return self._clock.has_ended

    def make(self, num_sessions: int) -> tuple[int, _Turns]:
        """When the last of these sessions starts, and all their turns, session by session; fewer sessions as the
        arrivals end."""
        requests = self._requests
        starts_ns = self._clock.draw_ns(num_sessions)
        num_sessions = len(starts_ns)
        num_turns = np.minimum(self._turns.geometric(1 / requests.mean_turns, num_sessions), requests.max_turns)
        groups = self._groups.integers(0, requests.system_groups, num_sessions)
        total = int(num_turns.sum())
        new_tokens = self._prompts.draw(total)
        output_tokens = self._outputs.draw(total)
        think_s = draw_log_normal(requests.think_mean_s, requests.think_cv, self._think, total)
        gaps_ns = np.rint((output_tokens * requests.answer_s_per_output_token + think_s) * NS_PER_S).astype(np.int64)

        session = np.repeat(np.arange(num_sessions), num_turns)
        first_turn = np.repeat(np.cumsum(num_turns) - num_turns, num_turns)
        history = _sum_before(new_tokens + output_tokens, first_turn)
        prompt_tokens = requests.system_tokens + history + new_tokens
        times_ns = starts_ns[session] + _sum_before(gaps_ns, first_turn)
        # Prompts grow from turn to turn, so what is kept of a session is its beginning; the first always fits.
        kept = np.flatnonzero(prompt_tokens <= requests.max_prompt_tokens)
        turn = (np.arange(total) - first_turn)[kept]
        first_block, num_blocks, partial_block = self._number_blocks(prompt_tokens[kept], session[kept], turn)
        is_last = _is_last(session[kept])
        turns = _Turns(
            times_ns[kept],
            prompt_tokens[kept],
            output_tokens[kept],
            groups[session[kept]],
            first_block,
            num_blocks,
            partial_block,
            np.where(is_last, NO_ANSWER, first_block + num_blocks),
        )
        return int(starts_ns[-1]) if num_sessions else 0, turns

    def _number_blocks(
        self, prompt_tokens: Integers, session: Integers, turn: Integers
    ) -> tuple[Integers, Integers, Integers]:
        """Ids: a session takes one for each whole block of its longest prompt, then one a turn for partial blocks."""
        whole = prompt_tokens // self._block_tokens - self._system_blocks
        is_last = _is_last(session)
        whole_of_session = whole[is_last]
        taken = whole_of_session + turn[is_last] + 1
        bases = self._next_block + np.cumsum(taken) - taken
        self._next_block += int(taken.sum())
        first_block = bases[session]
        has_partial = prompt_tokens % self._block_tokens > 0
        partial_block = np.where(has_partial, first_block + whole_of_session[session] + turn, NO_BLOCK)
        return first_block, whole, partial_block

    def prefixes(self, turns: _Turns) -> list[list[int]]:
        """The block ids of each turn's prompt."""
        ends = (turns.first_block + turns.num_blocks).tolist()
        columns = zip(turns.group.tolist(), turns.first_block.tolist(), ends, turns.partial_block.tolist(), strict=True)
        prefixes: list[list[int]] = []
        for group, first, end, partial in columns:
            prefix: list[int] = [*self._system_ids[group], *range(first, end)]
            if partial != NO_BLOCK:
                prefix.append(partial)
            prefixes.append(prefix)
        return prefixes


def _is_last(session: Integers) -> npt.NDArray[np.bool_]:
    """Of each turn, whether it is the last of its session; turns stand session by session."""
    return np.append(session[1:] != session[:-1], np.ones(min(1, len(session)), np.bool_))


def _sum_before(values: Integers, first_turn: Integers) -> Integers:
    """For each turn the sum over earlier turns of its session; `first_turn` is the index of its session's first."""
    before = np.cumsum(values) - values
    return before - before[first_turn]
