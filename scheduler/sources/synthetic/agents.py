"""Tasks of agents as graphs of calls: a main loop that calls tools, and sub-agents that run side by side and join.

A task begins when it arrives. Its main loop is a chain of calls, each of which waits for the end of the one before and
for a tool. Some calls branch instead: several sub-agents, each a chain of calls of its own, go on at once when the call
has ended, and the next call of the main loop waits for the last calls of all of them. A prompt is all before it in its
chain, answers included, and new tokens; what joins branches has their last answers among its new tokens. A sub-agent
begins with the context of the call that it branches from, or with a fresh one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from msgspec import Struct

from scheduler.protocol.messages import NO_ANSWER
from scheduler.runtime.random_streams import stream
from scheduler.sources.arrivals import ArrivalBlock, Links, RowKey
from scheduler.sources.synthetic.arrivals import ArrivalClock
from scheduler.sources.synthetic.columns import (
    Booleans,
    Integers,
    TimedColumns,
    in_time_order,
    is_last_of_run,
    runs_of,
    sum_before,
)
from scheduler.sources.synthetic.lengths import LengthSampler, draw_weighted
from scheduler.sources.synthetic.log_normal import draw_log_normal
from scheduler.sources.synthetic.workload import AgentRequests

NS_PER_S: Final = 1e9
NO_BLOCK: Final = -1
NOBODY: Final = -1
SEVERAL: Final = -2
"""In place of the key of the one call that a call waits for."""


class _Calls(TimedColumns, frozen=True):
    """Calls as columns; `times_ns` take an answer to last a time that is assumed.

    A prompt is: blocks of a system prompt, `num_main` blocks of the main loop from `main_block` on, `num_blocks` of its
    chain's own from `first_block` on, and the partial block at its end, if any.
    """

    prompt_tokens: Integers
    output_tokens: Integers
    group: Integers
    main_block: Integers
    num_main: Integers
    first_block: Integers
    num_blocks: Integers
    partial_block: Integers
    answer_block: Integers
    task: Integers
    key: Integers
    wait_key: Integers
    delay_ns: Integers
    is_reset: Integers


def agent_blocks(
    requests: AgentRequests, block_tokens: int, seed: int, *, has_links: bool = False
) -> Iterator[ArrivalBlock]:
    """Calls of tasks in the order of their assumed times; with links, what they wait for in place of these times."""
    factory = _TaskFactory(requests, block_tokens, seed)
    origin_ns: int | None = None
    for due in in_time_order(factory.make):
        if origin_ns is None:
            origin_ns = int(due.times_ns[0])
        yield ArrivalBlock(
            (due.times_ns - origin_ns).tolist(),
            due.prompt_tokens.tolist(),
            due.output_tokens.tolist(),
            factory.prefixes(due),
            [0] * len(due),
            answers=due.answer_block.tolist(),
            links=factory.links(due) if has_links else None,
        )


class _Chains(Struct):
    """Calls that follow each other, chain after chain: of each its chain, its place, and what was drawn for it.

    `wait_ns` passes between the end of the call before and this one, `answer_ns` is how long its answer is assumed to
    last, at least a nanosecond, so that no call has the time of one that it waits for.
    """

    chain: Integers
    first: Integers
    new_tokens: Integers
    output_tokens: Integers
    wait_ns: Integers
    answer_ns: Integers

    @property
    def place(self) -> Integers:
        """0 for the first call of a chain."""
        return np.arange(len(self.chain)) - self.first

    @property
    def is_last(self) -> Booleans:
        """Whether a call is the last of its chain."""
        return is_last_of_run(self.chain)


class _Branches(Struct, frozen=True):
    """Sub-agents: of each the call of the main loop that it branches from, and whether its context is fresh."""

    parent: Integers
    is_fresh: Booleans
    group: Integers


class _TaskFactory:
    """Makes whole tasks, some hundred at once."""

    def __init__(self, requests: AgentRequests, block_tokens: int, seed: int) -> None:
        self._requests: Final = requests
        self._block_tokens: Final = block_tokens
        self._clock: Final = ArrivalClock(requests.arrivals, stream(seed, "arrivals"))
        self._prompts: Final = LengthSampler(requests.prompt_tokens, stream(seed, "prompt_tokens"))
        self._outputs: Final = LengthSampler(requests.output_tokens, stream(seed, "output_tokens"))
        self._shapes: Final = stream(seed, "agents")
        self._tools: Final = stream(seed, "tools")
        self._groups: Final = stream(seed, "groups")
        self._system_blocks: Final = requests.system_tokens // block_tokens
        self._next_block = requests.system_groups * self._system_blocks
        self._num_tasks = 0
        self._num_calls = 0
        # Of calls that wait for several.
        self._joins: Final[dict[int, list[RowKey]]] = {}

    def make(self, num_tasks: int) -> tuple[int | None, _Calls]:
        """As `in_time_order` has it."""
        requests = self._requests
        if requests.num_tasks is not None:
            num_tasks = min(num_tasks, requests.num_tasks - self._num_tasks)
        starts_ns = self._clock.draw_ns(num_tasks)
        calls = self._calls(starts_ns)
        self._num_tasks += len(starts_ns)
        has_ended = self._clock.has_ended or self._num_tasks == requests.num_tasks
        return None if has_ended else int(starts_ns[-1]), calls

    def _calls(self, starts_ns: Integers) -> _Calls:
        requests = self._requests
        turns = self._lengths(len(starts_ns), requests.mean_turns, requests.max_turns)
        main = self._chains(turns, is_branch=False)
        branches = self._branches(main)
        subs = self._chains(
            self._lengths(len(branches.parent), requests.branch_turns_mean, requests.branch_turns_max), is_branch=True
        )
        lasts = np.flatnonzero(subs.is_last)
        # What comes back to the main loop, and how long it waits for it.
        answered = np.zeros(len(main.chain), np.int64)
        np.add.at(answered, branches.parent, subs.output_tokens[lasts])
        ran_ns = sum_before(subs.wait_ns + subs.answer_ns, subs.first) + subs.wait_ns + subs.answer_ns
        branched_ns = np.zeros(len(main.chain), np.int64)
        np.maximum.at(branched_ns, branches.parent, ran_ns[lasts])
        has_branches = np.bincount(branches.parent, minlength=len(main.chain)) > 0
        follows = np.append(False, has_branches[:-1])
        main.wait_ns = np.where(follows, 0, main.wait_ns)
        growth = main.new_tokens + main.output_tokens + answered
        prompts = requests.system_tokens + sum_before(growth, main.first) + main.new_tokens
        gaps_ns = main.answer_ns + np.where(has_branches, branched_ns, np.append(main.wait_ns[1:], 0))
        times_ns = starts_ns[main.chain] + sum_before(gaps_ns, main.first)
        parent = branches.parent[subs.chain]
        base = np.where(branches.is_fresh, requests.system_tokens, (prompts + main.output_tokens)[branches.parent])
        sub_growth = subs.new_tokens + subs.output_tokens
        sub_prompts = base[subs.chain] + sum_before(sub_growth, subs.first) + subs.new_tokens
        sub_times_ns = times_ns[parent] + main.answer_ns[parent] + ran_ns - subs.answer_ns
        # Prompts of a chain grow, so what is kept of it is its beginning.
        kept = prompts <= requests.max_prompt_tokens
        sub_kept = (sub_prompts <= requests.max_prompt_tokens) & kept[parent]
        groups = self._draw_groups(len(starts_ns))
        return self._joined(
            _Made(main, prompts, times_ns, kept), groups, branches, _Made(subs, sub_prompts, sub_times_ns, sub_kept)
        )

    def _lengths(self, count: int, mean: float, maximum: int) -> Integers:
        return np.minimum(self._shapes.geometric(1 / mean, count), maximum)

    def _draw_groups(self, count: int) -> Integers:
        weights = self._requests.system_weights or (1.0,) * self._requests.system_groups
        return draw_weighted(np.arange(len(weights)), np.cumsum(np.array(weights)), self._groups, count)

    def _chains(self, lengths: Integers, *, is_branch: bool) -> _Chains:
        """Calls of chains of these lengths. The first of a branch waits for no tool, nor does that of a task."""
        requests, total = self._requests, int(lengths.sum())
        chain, first = runs_of(lengths)
        new_tokens, output_tokens = self._prompts.draw(total), self._outputs.draw(total)
        wait_s = draw_log_normal(requests.tool_wait_mean_s, requests.tool_wait_cv, self._tools, total)
        wait_ns = np.rint(wait_s * NS_PER_S).astype(np.int64)
        answer_s = output_tokens * requests.answer_s_per_output_token
        answer_ns = np.maximum(1, np.rint(answer_s * NS_PER_S).astype(np.int64))
        wait_ns[np.arange(total) == first] = 0
        return _Chains(chain, first, new_tokens, output_tokens, wait_ns, answer_ns)

    def _branches(self, main: _Chains) -> _Branches:
        """Sub-agents of calls that branch; the last call of a task never does."""
        requests, random = self._requests, self._shapes
        draws = random.random(len(main.chain))
        branching = np.flatnonzero((draws < requests.branch_share) & ~main.is_last)
        extra = random.geometric(1 / max(1.0, requests.fan_out_mean - 1), len(branching)) - 1
        num_branches = np.minimum(2 + extra, requests.fan_out_max)
        parent = np.repeat(branching, num_branches)
        is_fresh = random.random(len(parent)) < requests.fresh_share
        return _Branches(parent, is_fresh, self._draw_groups(len(parent)))

    def _joined(self, main: _Made, task_groups: Integers, branches: _Branches, subs: _Made) -> _Calls:
        """All calls that are kept, with their blocks and with what they wait for."""
        num_main = len(main.chains.chain)
        size, system = self._block_tokens, self._system_blocks
        shared_blocks = (main.prompts + main.chains.output_tokens)[branches.parent] // size
        first_main = self._number_blocks(main, np.full(len(task_groups), system))
        own_from = np.where(branches.is_fresh, system, shared_blocks)
        first_sub = self._number_blocks(subs, own_from)
        task = main.chains.chain
        sub_chain = subs.chains.chain
        parent = branches.parent[sub_chain]
        is_fresh = branches.is_fresh[sub_chain]
        sub_task = task[parent]
        groups = np.where(is_fresh, branches.group[sub_chain], task_groups[sub_task])
        keys, sub_keys = self._keys(main.kept), self._keys(subs.kept)
        wait_key, sub_wait_key, delay_ns = self._waits(main, branches, subs, keys, sub_keys)
        begins = subs.chains.place == 0
        zeros = np.zeros(num_main, np.int64)
        has_heirs = np.zeros(num_main, np.bool_)
        heirs = branches.parent[sub_chain[subs.kept & begins & ~is_fresh]]
        has_heirs[heirs] = True
        first_main_of, own_from_of = first_main[task], own_from[sub_chain]
        main_calls = _Calls(
            main.times_ns,
            main.prompts,
            main.chains.output_tokens,
            task_groups[task],
            zeros,
            zeros,
            first_main_of,
            main.prompts // size - system,
            self._partials(main, first_main, np.full(len(task_groups), system)),
            self._answers(main, first_main_of, np.full(num_main, system), has_heirs),
            self._num_tasks + task,
            keys,
            wait_key,
            delay_ns,
            zeros,
        )
        sub_calls = _Calls(
            subs.times_ns,
            subs.prompts,
            subs.chains.output_tokens,
            groups,
            np.where(is_fresh, 0, first_main[sub_task]),
            np.where(is_fresh, 0, own_from_of - system),
            first_sub[sub_chain],
            subs.prompts // size - own_from_of,
            self._partials(subs, first_sub, own_from),
            self._answers(subs, first_sub[sub_chain], own_from_of, np.zeros(len(sub_chain), np.bool_)),
            self._num_tasks + sub_task,
            sub_keys,
            sub_wait_key,
            subs.chains.wait_ns,
            (begins & is_fresh).astype(np.int64),
        )
        return main_calls.take(np.flatnonzero(main.kept)).join(sub_calls.take(np.flatnonzero(subs.kept)))

    def _keys(self, kept: Booleans) -> Integers:
        """Numbers of calls that are kept, over all tasks."""
        keys = self._num_calls + np.cumsum(kept) - 1
        self._num_calls += int(kept.sum())
        return keys

    def _number_blocks(self, made: _Made, own_from: Integers) -> Integers:
        """Where the ids of each chain begin: it has one for each whole block of its own, that of the last answer
        included, and one a call for partial blocks."""
        counts = made.num_kept(len(own_from))
        longest = made.longest(len(own_from)) // self._block_tokens
        taken = np.where(counts, longest - own_from + 1 + counts, 0)
        firsts = self._next_block + np.cumsum(taken) - taken
        self._next_block += int(taken.sum())
        return firsts

    def _partials(self, made: _Made, firsts: Integers, own_from: Integers) -> Integers:
        """Ids of the partial blocks at the ends of prompts."""
        chain = made.chains.chain
        longest = made.longest(len(own_from)) // self._block_tokens
        after = (firsts + longest - own_from + 1)[chain] + made.chains.place
        return np.where(made.prompts % self._block_tokens > 0, after, NO_BLOCK)

    def _answers(self, made: _Made, first_block: Integers, own_from: Integers, has_heirs: Booleans) -> Integers:
        """Where answers begin that a later prompt of the chain, or of its heirs, repeats."""
        goes_on = np.append(made.kept[1:], False) & ~made.chains.is_last
        begins = first_block + made.prompts // self._block_tokens - own_from
        return np.where(goes_on | has_heirs, begins, NO_ANSWER)

    def _waits(
        self, main: _Made, branches: _Branches, subs: _Made, keys: Integers, sub_keys: Integers
    ) -> tuple[Integers, Integers, Integers]:
        """For whom each call of the main loop and of sub-agents waits, and how long after it the former do."""
        wait_key = np.where(main.chains.place == 0, NOBODY, np.roll(keys, 1))
        sub_wait_key = np.where(subs.chains.place == 0, keys[branches.parent][subs.chains.chain], np.roll(sub_keys, 1))
        # The last calls of sub-agents that are kept, by the call of the main loop that comes after them.
        lasts = subs.last_kept()
        joins = branches.parent[subs.chains.chain[lasts]] + 1
        is_kept = main.kept[joins]  # a call that is not has the number of the one before it
        joins, lasts = joins[is_kept], lasts[is_kept]
        joined: dict[int, list[RowKey]] = {}
        join_parent = dict(zip(keys[joins].tolist(), keys[joins - 1].tolist(), strict=True))
        for join, key in zip(keys[joins].tolist(), sub_keys[lasts].tolist(), strict=True):
            joined.setdefault(join, []).append(key)
        for join, lasts_of_join in joined.items():
            if len(lasts_of_join) == 1:
                # So that it is not taken for the next call of the sub-agent.
                lasts_of_join.insert(0, join_parent[join])
        self._joins.update(joined)
        wait_key[joins] = SEVERAL
        return wait_key, sub_wait_key, main.chains.wait_ns

    def prefixes(self, calls: _Calls) -> list[list[int]]:
        """The block ids of each call's prompt."""
        system = self._system_blocks
        columns = zip(
            calls.group.tolist(),
            calls.main_block.tolist(),
            (calls.main_block + calls.num_main).tolist(),
            calls.first_block.tolist(),
            (calls.first_block + calls.num_blocks).tolist(),
            calls.partial_block.tolist(),
            strict=True,
        )
        prefixes: list[list[int]] = []
        for group, main, main_end, first, end, partial in columns:
            prefix = [*range(group * system, (group + 1) * system), *range(main, main_end), *range(first, end)]
            if partial != NO_BLOCK:
                prefix.append(partial)
            prefixes.append(prefix)
        return prefixes

    def links(self, calls: _Calls) -> Links:
        """What the calls wait for."""
        keys: list[RowKey] = calls.key.tolist()
        waits_for: list[list[RowKey] | None] = [
            self._joins.pop(key) if before == SEVERAL else [] if before == NOBODY else [before]
            for key, before in zip(calls.key.tolist(), calls.wait_key.tolist(), strict=True)
        ]
        resets = calls.is_reset.astype(np.bool_).tolist()
        return Links(calls.task.tolist(), keys, waits_for, calls.delay_ns.tolist(), [0] * len(calls), resets)


class _Made(Struct, frozen=True):
    """Chains with their prompts and assumed times, and which calls are kept."""

    chains: _Chains
    prompts: Integers
    times_ns: Integers
    kept: Booleans

    def num_kept(self, num_chains: int) -> Integers:
        """Calls of each chain that are kept."""
        return np.bincount(self.chains.chain[self.kept], minlength=num_chains)

    def longest(self, num_chains: int) -> Integers:
        """Tokens of each chain's last prompt that is kept, with its answer; 0 for none."""
        longest = np.zeros(num_chains, np.int64)
        totals = (self.prompts + self.chains.output_tokens)[self.kept]
        np.maximum.at(longest, self.chains.chain[self.kept], totals)
        return longest

    def last_kept(self) -> Integers:
        """Of each chain of which any call is kept, the number of its last one."""
        rows = np.flatnonzero(self.kept)
        return rows[is_last_of_run(self.chains.chain[rows])]
