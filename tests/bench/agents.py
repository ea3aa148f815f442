"""A trace of agents, made up: `python -m tests.bench.agents OUT`. 10,000 tasks, 110,000 calls, 5 tasks a second.

A task is a loop of calls with a tool between two of them; after its third call three sub-agents of two calls each go on
side by side, and its next call joins them. A prompt is all before it in its chain, the answers included, in blocks of
512 tokens, of which a system prompt is shared by a twentieth of all tasks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from scheduler.runtime.random_streams import stream

NUM_TASKS: Final = 10_000
TASKS_PER_S: Final = 5.0
NUM_MAIN, BRANCHES_AFTER, NUM_BRANCHES, NUM_BRANCH_CALLS = 5, 3, 3, 2
NUM_CALLS: Final = NUM_MAIN + NUM_BRANCHES * NUM_BRANCH_CALLS
BLOCK: Final = 512
NUM_SYSTEM_PROMPTS: Final = 20
SYSTEM_BLOCKS: Final = 8

Call = dict[str, Any]


class _Chain:
    """Calls that go on from each other: whole blocks that the next prompt begins with, and the name of the last."""

    def __init__(self, blocks: list[int], last: str = "") -> None:
        self.blocks = blocks
        self.last = last


class _Task:
    """Makes the calls of one task; `fresh` are blocks that nobody has."""

    def __init__(self, number: int, timestamp: int, random: np.random.Generator, fresh: Iterator[int]) -> None:
        self._number = number
        self._timestamp = timestamp
        self._fresh = fresh
        self._num_calls = 0
        self._new_blocks = random.integers(1, 5, NUM_CALLS).tolist()
        self._answers = random.integers(20, 400, NUM_CALLS).tolist()
        self._tools_ms = random.exponential(1_500.0, NUM_CALLS).astype(int).tolist()

    def calls(self) -> Iterator[Call]:
        """The main loop, and its branches where they begin."""
        system = self._number % NUM_SYSTEM_PROMPTS * SYSTEM_BLOCKS
        main, waits_for = _Chain(list(range(system, system + SYSTEM_BLOCKS))), list[str]()
        for step in range(NUM_MAIN):
            yield self._call(main, waits_for)
            waits_for = [main.last]
            if step + 1 == BRANCHES_AFTER:
                branches = [_Chain(main.blocks, main.last) for _ in range(NUM_BRANCHES)]
                for branch in branches:
                    for _ in range(NUM_BRANCH_CALLS):
                        yield self._call(branch, [branch.last])
                waits_for = [branch.last for branch in branches]

    def _call(self, chain: _Chain, waits_for: list[str]) -> Call:
        number = self._num_calls
        self._num_calls += 1
        chain.blocks = [*chain.blocks, *islice(self._fresh, self._new_blocks[number])]
        chain.last = f"{self._number}.{number}"
        call: Call = {
            "request_id": chain.last,
            "session_id": str(self._number),
            "timestamp": self._timestamp,
            "input_length": BLOCK * len(chain.blocks),
            "output_length": self._answers[number],
            "hash_ids": chain.blocks,
        }
        return {**call, "wait_for": waits_for, "tool_wait_ms": self._tools_ms[number]} if waits_for else call


def calls() -> Iterator[Call]:
    """All calls, task by task in the order of their arrival."""
    random = stream(0, "agents of a benchmark")
    begun_ms = (random.exponential(1e3 / TASKS_PER_S, NUM_TASKS).cumsum()).astype(int).tolist()
    fresh = count(NUM_SYSTEM_PROMPTS * SYSTEM_BLOCKS)
    for number, timestamp in enumerate(begun_ms):
        yield from _Task(number, timestamp, random, fresh).calls()


def write_agents(path: Path) -> int:
    """Write the trace; returns how many calls it has."""
    rows = [json.dumps(row) for row in calls()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return len(rows)


if __name__ == "__main__":
    sys.stdout.write(f"{write_agents(Path(sys.argv[1])):,} calls\n")
