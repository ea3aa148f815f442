"""How often a step finds no prompt: exact where a formula is known, what a simulated queue says elsewhere."""

from __future__ import annotations

from math import exp, factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.steps.chunk_arrivals import EXACT_BELOW, idle_share, poisson_tail

STEPS = 200_000


def simulated(prompts: float, tokens: float, room: float) -> float:
    """Of a queue that is played step by step."""
    arrivals = np.random.default_rng(7).poisson(prompts, STEPS) * tokens
    left, idle = 0.0, 0
    for coming in arrivals:
        there = left + coming
        idle += there == 0.0
        left = max(0.0, there - room)
    return idle / STEPS


@pytest.mark.parametrize(
    ("prompts", "tokens", "room"),
    [(0.2, 4096, 7936), (0.85, 4096, 7168), (1.3, 4096, 6656), (0.4, 12000, 7168), (3.4, 1024, 7168)],
)
def test_it_is_what_a_queue_says(prompts: float, tokens: float, room: float) -> None:
    assert idle_share(prompts, tokens, room) == pytest.approx(simulated(prompts, tokens, room), abs=0.006)


@given(prompts=st.floats(0.01, 5.0), room=st.floats(1e3, 1e5))
def test_where_all_that_can_come_fits_a_step_is_idle_when_none_comes(prompts: float, room: float) -> None:
    assert idle_share(prompts, room / 1000.0, room) == pytest.approx(exp(-prompts), rel=1e-6)


@given(steps=st.integers(1, 20), load=st.floats(0.05, 0.9))
def test_prompts_of_whole_steps_leave_what_their_load_leaves(steps: int, load: float) -> None:
    # Each prompt fills so many steps and no part of another: steps with work are as many as those.
    assert idle_share(load / steps, steps * 512.0, 512.0) == pytest.approx(1.0 - load, rel=1e-3)


@given(load=st.floats(1.0, 5.0))
def test_with_more_than_can_be_computed_no_step_is_idle(load: float) -> None:
    assert idle_share(load, 512.0, 512.0) == 0.0


@given(prompts=st.floats(0.01, 3.0), tokens=st.floats(1.0, 1e4), room=st.floats(1e3, 1e4), more=st.floats(1.0, 2.0))
def test_more_prompts_or_less_room_leave_fewer_steps_idle(
    prompts: float, tokens: float, room: float, more: float
) -> None:
    share = idle_share(prompts, tokens, room)
    assert 0.0 <= share <= 1.0
    assert idle_share(prompts * more, tokens, room) <= share + 1e-3
    assert idle_share(prompts, tokens, room / more) <= share + 1e-3


def test_tails_are_those_of_poisson() -> None:
    below = sum(exp(-3.0) * 3.0**count / factorial(count) for count in range(5))
    assert poisson_tail(3.0, 4) == pytest.approx(1.0 - below)
    assert poisson_tail(3.0, 500) == 0.0
    either_side = [poisson_tail(EXACT_BELOW + along, 65) for along in (-1e-9, 1e-9)]
    assert either_side[0] == pytest.approx(either_side[1], abs=1e-4)
