"""Exposed time sums to the step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.steps.step_time import behind, one_after_another, total

FRONT = st.dictionaries(st.sampled_from("abc"), st.floats(0, 10), max_size=3)
HIDDEN = st.dictionaries(st.sampled_from("xyz"), st.floats(0, 10), max_size=3)


@given(front=FRONT, hidden=HIDDEN)
def test_what_runs_behind_costs_what_it_lasts_longer(front: dict[str, float], hidden: dict[str, float]) -> None:
    time = behind(front, hidden, sum(front.values()))
    assert time.seconds == pytest.approx(max(sum(front.values()), sum(hidden.values())))
    assert time.busy_s == front | hidden
    assert all(time.exposed_s.get(name, 0.0) <= seconds + 1e-12 for name, seconds in time.busy_s.items())


@given(parts=st.lists(st.tuples(FRONT, st.integers(0, 60)), max_size=4))
def test_parts_add_up(parts: list[tuple[dict[str, float], int]]) -> None:
    times = [one_after_another(busy).times(count) for busy, count in parts]
    assert total(times).seconds == pytest.approx(sum(time.seconds for time in times))
    assert all(seconds > 0 for seconds in total(times).busy_s.values())
