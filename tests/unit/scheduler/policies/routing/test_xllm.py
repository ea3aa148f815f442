"""xllm-service's cache-aware routing by hand, as meant and as written."""

from __future__ import annotations

import pytest

from scheduler.policies import make_routing_policy
from scheduler.policies.routing.xllm import XllmCar
from tests.unit.scheduler.policies.routing.views import PREFILL, request_of, stage_of

STAGE = stage_of([4, 2, 1], running=[0, 0, 1], kv=[50, 20, 0], capacity=[100, 100, 100])
REQUEST = request_of(1000, [500, 0, 1000])


def test_scores_as_meant() -> None:
    # 5/10 - 0.5 - 4/4; 0 - 0.2 - 2/4; 1 - 0 - 0.
    assert XllmCar(PREFILL).scores(STAGE, REQUEST) == pytest.approx([-1.0, -0.7, 1.0])
    assert make_routing_policy("xllm_car", PREFILL).choose(STAGE, REQUEST) == 2


def test_scores_as_written() -> None:
    # Ratios below 1 are 0.
    assert XllmCar(PREFILL, integer_division=True).scores(STAGE, REQUEST) == pytest.approx([-1.5, -0.2, 1.0])


def test_as_written_nobody_is_chosen_if_all_are_at_the_lowest_score() -> None:
    stage = stage_of([1, 1], kv=[9, 9], capacity=[9, 9])
    request = request_of(1000, [0, 0])
    assert make_routing_policy("xllm_car:integer_division=yes", PREFILL).choose(stage, request) == -1
    assert make_routing_policy("xllm_car", PREFILL).choose(stage, request) == 0
