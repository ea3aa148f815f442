"""Names of our own are exact to 10 %, within a stated number of series; names of others have their bounds."""

from __future__ import annotations

from itertools import pairwise

import pytest

from scheduler.metrics.bucket_bounds import fine_bounds
from scheduler.metrics.export.exposition import templates
from scheduler.metrics.export.names.schemes import OWN, SCHEMES
from scheduler.metrics.family import HistogramFamily
from tests.unit.scheduler.metrics.lived import whole_supernode

MAX_BUCKET_SERIES = 2600
"""Of all histograms of our own together, whatever the size of the system; docs/monitoring.md states it."""

HISTOGRAMS = [one for one in SCHEMES[OWN].families() if isinstance(one, HistogramFamily)]


@pytest.mark.parametrize("family", HISTOGRAMS, ids=lambda family: family.name)
def test_bounds_of_our_own_are_less_than_a_tenth_apart(family: HistogramFamily) -> None:
    assert all(low < high < 1.1 * low for low, high in pairwise(family.bounds))


@pytest.mark.parametrize("family", HISTOGRAMS, ids=lambda family: family.name)
def test_they_begin_where_anything_is_to_be_told(family: HistogramFamily) -> None:
    if family.name.endswith("_seconds"):
        assert family.bounds[0] <= (1e-5 if "queue" in family.name or "transfer" in family.name else 1e-3)
        assert family.bounds[-1] >= 10


def test_bounds_are_those_of_three_digits() -> None:
    bounds = fine_bounds(-5, 4)
    assert (bounds[0], bounds[1], bounds[27], bounds[-1]) == (1e-5, 1.09e-5, 1e-4, 1e4)
    assert len(bounds) == 27 * 9 + 1
    assert max(len(repr(bound)) for bound in bounds) <= 8


def test_the_number_of_series_is_as_stated() -> None:
    layout = whole_supernode()
    starts = [start for template in templates(layout, True) for start in template.starts]
    buckets = [start for start in starts if start.split("{")[0].endswith("_bucket")]
    assert len(buckets) == sum(len(one.series(layout)) * (len(one.bounds) + 1) for one in HISTOGRAMS)
    assert 0.9 * MAX_BUCKET_SERIES < len(buckets) <= MAX_BUCKET_SERIES
    assert not any("instance=" in start for start in buckets)


def test_bounds_of_vllm_are_its_own() -> None:
    bounds = {one.name: one.bounds for one in SCHEMES["vllm"].families() if isinstance(one, HistogramFamily)}
    assert bounds["vllm:time_to_first_token_seconds"][:9] == (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25)
    assert bounds["vllm:inter_token_latency_seconds"][:5] == (0.01, 0.025, 0.05, 0.075, 0.1)
    assert bounds["vllm:e2e_request_latency_seconds"] == bounds["vllm:request_queue_time_seconds"]
    assert bounds["vllm:request_queue_time_seconds"][-3:] == (960.0, 1920.0, 7680.0)
    assert {len(one) for one in bounds.values()} == {22, 19, 21, 16, 13, 5}
