"""Conversations of several turns whose prompts share system prompt and history, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from scheduler.protocol.messages import NO_ANSWER
from scheduler.runtime.random_streams import stream
from scheduler.sources.arrivals import ArrivalBlock, Links
from scheduler.sources.synthetic.arrivals import ArrivalClock
from scheduler.sources.synthetic.columns import (
    Integers,
    TimedColumns,
    in_time_order,
    is_last_of_run,
    runs_of,
    sum_before,
)
from scheduler.sources.synthetic.lengths import LengthSampler
from scheduler.sources.synthetic.log_normal import draw_log_normal
from scheduler.sources.synthetic.workload import SessionRequests

NS_PER_S: Final = 1e9
NO_BLOCK: Final = -1
"""Stands in the column of partial blocks where the prompt ends on a block's end."""


class _Turns(TimedColumns, frozen=True):
    """Turns as columns. A prompt is: shared blocks of a system prompt, blocks of the session, a block of its own.

    The session's whole blocks are numbered `first_block`, `first_block` + 1 and so on, so that a later turn's list
    extends an earlier one's; only the partial block at the end, if any, has an id that no other turn has. An answer
    that a later turn repeats goes on where its prompt's whole blocks end, at `answer_block`. The turn comes
    `delay_ns` after the end of the one before.
    """

    prompt_tokens: Integers
    output_tokens: Integers
    group: Integers
    first_block: Integers
    num_blocks: Integers
    partial_block: Integers
    answer_block: Integers
    session: Integers
    delay_ns: Integers


def session_blocks(
    requests: SessionRequests, block_tokens: int, seed: int, *, has_links: bool = False
) -> Iterator[ArrivalBlock]:
    """Turns of sessions in time order, until the stages of their arrivals have ended if there are any; memory holds
    the turns of sessions that are under way. With links a turn waits for the end of the one before and the time to
    think, and nothing is assumed of answers but in the order of rows."""
    factory = _SessionFactory(requests, block_tokens, seed)
    origin_ns: int | None = None
    for due in in_time_order(factory.make):
        if origin_ns is None:
            origin_ns = int(due.times_ns[0])
        num_rows = len(due)
        yield ArrivalBlock(
            (due.times_ns - origin_ns).tolist(),
            due.prompt_tokens.tolist(),
            due.output_tokens.tolist(),
            factory.prefixes(due),
            [0] * num_rows,
            answers=due.answer_block.tolist(),
            links=_links(due) if has_links else None,
        )


def _links(turns: _Turns) -> Links:
    num_rows = len(turns)
    sessions: list[int] = turns.session.tolist()
    delays_ns: list[int] = turns.delay_ns.tolist()
    return Links(sessions, [None] * num_rows, [None] * num_rows, delays_ns, [0] * num_rows, [False] * num_rows)


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
        self._next_session = 0
        self._system_ids = [
            list(range(group * self._system_blocks, (group + 1) * self._system_blocks))
            for group in range(requests.system_groups)
        ]

    def make(self, num_sessions: int) -> tuple[int | None, _Turns]:
        """When the last of these sessions starts, None if no session comes after, and all their turns, session by
        session; fewer sessions as the arrivals end."""
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
        think_ns = np.rint(think_s * NS_PER_S).astype(np.int64)

        session, first_turn = runs_of(num_turns)
        history = sum_before(new_tokens + output_tokens, first_turn)
        prompt_tokens = requests.system_tokens + history + new_tokens
        times_ns = starts_ns[session] + sum_before(gaps_ns, first_turn)
        is_first = np.arange(total) == first_turn
        delay_ns = np.where(is_first, 0, np.roll(think_ns, 1))
        # Prompts grow from turn to turn, so what is kept of a session is its beginning; the first always fits.
        kept = np.flatnonzero(prompt_tokens <= requests.max_prompt_tokens)
        turn = (np.arange(total) - first_turn)[kept]
        first_block, num_blocks, partial_block = self._number_blocks(prompt_tokens[kept], session[kept], turn)
        is_last = is_last_of_run(session[kept])
        turns = _Turns(
            times_ns[kept],
            prompt_tokens[kept],
            output_tokens[kept],
            groups[session[kept]],
            first_block,
            num_blocks,
            partial_block,
            np.where(is_last, NO_ANSWER, first_block + num_blocks),
            self._next_session + session[kept],
            delay_ns[kept],
        )
        self._next_session += num_sessions
        # Sessions still to come start no earlier than the last one that was made.
        return None if self._clock.has_ended else int(starts_ns[-1]), turns

    def _number_blocks(
        self, prompt_tokens: Integers, session: Integers, turn: Integers
    ) -> tuple[Integers, Integers, Integers]:
        """Ids: a session takes one for each whole block of its longest prompt, then one a turn for partial blocks."""
        whole = prompt_tokens // self._block_tokens - self._system_blocks
        is_last = is_last_of_run(session)
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
