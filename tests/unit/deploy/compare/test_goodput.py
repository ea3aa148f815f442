"""The search finds where attainment crosses its target, whatever the rate it begins at."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.compare.goodput import MAX_SCALE, PRECISION, search


@dataclass(frozen=True)
class Point:
    """A run."""

    scale: float
    attainment: float


@given(st.floats(1 / 1000, 1000))
def test_the_largest_scale_that_holds_is_found_within_the_precision(limit: float) -> None:
    tried: list[float] = []

    def run_at(scale: float) -> Point:
        tried.append(scale)
        return Point(scale, 1.0 if scale <= limit else 0.5)

    found = search(run_at, 0.9)
    assert found.best is not None
    assert found.best.scale == found.scale <= limit < found.scale * PRECISION * 1.0001
    assert len(tried) == len(set(tried)) <= 20
    assert list(found.tried) == sorted(tried)


@pytest.mark.parametrize(("attained", "scale"), [(1.0, MAX_SCALE), (0.0, 0.0)])
def test_where_it_always_or_never_holds_the_search_ends(attained: float, scale: float) -> None:
    found = search(lambda at: Point(at, attained), 0.9)
    assert found.scale == scale
    assert (found.best is None) == (attained == 0.0)


def test_what_fails_at_the_lowest_rate_is_not_tried_at_all_between() -> None:
    tried: list[float] = []

    def run_at(scale: float) -> Point:
        tried.append(scale)
        return Point(scale, 0.77)

    found = search(run_at, 0.9)
    assert (found.best, tried) == (None, [1.0, 1 / MAX_SCALE])
