"""The slowest die from groups of dies is the one that a look at all of them finds, for as long as a run says."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.instance.compiled_decode import StepForm, StreamCost
from workers.decode.expected_tokens import ExpectedTokens
from workers.decode.step_cost import StepCost

NUM_DIES = 4
MOST_STEPS = 60

LINES = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 300), st.integers(0, 9)), min_size=1, max_size=2)
"""(constant, per sequence, per KV token) of each line of a form."""
MOVES = st.lists(
    st.tuples(st.integers(0, NUM_DIES - 1), st.integers(0, 200), st.booleans(), LINES), min_size=1, max_size=20
)


def form_of(lines: list[tuple[int, int, int]], way: int) -> StepForm:
    """Sequences count in the base."""
    counts = np.arange(len(lines) + 20, dtype=np.int64)
    return StepForm(tuple(StreamCost(each * counts, constant, kv) for constant, each, kv in lines), way)


def slowest_ps(dies: list[list[int]], lines: list[tuple[int, int, int]], accepted: int) -> int:
    """By looking at every die with sequences."""
    return max(
        constant + each * len(die) + kv * sum(base + accepted for base in die)
        for die in dies
        for constant, each, kv in lines
        if die
    )


@given(moves=MOVES, step=st.integers(0, 30), fraction=st.sampled_from([(1, 1), (17, 10), (1, 3)]))
def test_a_run_has_the_steps_of_the_slowest_die_and_is_as_long_as_can_be(
    moves: list[tuple[int, int, bool, list[tuple[int, int, int]]]], step: int, fraction: tuple[int, int]
) -> None:
    expected = ExpectedTokens(*fraction)
    lines, dies = StepCost(NUM_DIES, expected), [list[int]() for _ in range(NUM_DIES)]
    for way, (die, base_tokens, leaves, form) in enumerate(moves):
        if leaves and dies[die]:
            lines.change(die, -1, -dies[die].pop(0))
        else:
            lines.change(die, 1, base_tokens)
            dies[die].append(base_tokens)
        if not any(dies):
            continue
        lines.use(form_of(form, way))
        num_steps, offset_ps, slope_ps = lines.span(step, expected.at(step), MOST_STEPS)
        assert 1 <= num_steps <= MOST_STEPS
        for accepted in map(expected.at, range(step, step + num_steps)):
            assert offset_ps + slope_ps * accepted == slowest_ps(dies, form, accepted)
        if num_steps < MOST_STEPS:
            accepted = expected.at(step + num_steps)
            assert offset_ps + slope_ps * accepted < slowest_ps(dies, form, accepted)
