"""The planner against trying every plan of a small space, on a real trace of one and a half thousand requests."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest

from deploy.compare.measure import RunProcesses, measure
from deploy.planning.planner import Planned, Planner, Question
from deploy.planning.search import Counts, Lattice
from deploy.planning.shapes import Kind, Shape
from deploy.run.replay import ReplayJob
from deploy.settings.load import load_settings
from scheduler.sources.traces.options import TraceOptions

TRACE = "examples/demo.jsonl"
OPTIONS = TraceOptions(limit=300, rate_scale=3.0)
MOST_NPUS = 112


@dataclass(frozen=True)
class Case:
    """Limits, and the share of requests that must meet them."""

    slo: str
    attainment: float


def shapes(case: Case) -> list[Shape]:
    """Two sizes of prefill, one of decode; the policy and the pass are told, and stay."""
    told = {"slo": case.slo, "policy": "power_of_two", "prefill_tokens_per_npu": 4000}
    settings = load_settings(None, told)
    return [
        Shape(
            settings,
            (Kind("p", size, 1.0, 0.2), Kind("d", 16, 1.0, 0.2)),
            1,
            Lattice((size, 16), (1, 1), MOST_NPUS),
            (1, 1),
        )
        for size in (16, 24)
    ]


def planned(case: Case) -> Planned:
    with RunProcesses(1) as processes:
        return Planner(Question(TRACE, OPTIONS, 300, case.attainment), processes).plan(shapes(case))


def every_plan(case: Case) -> dict[tuple[int, Counts], float]:
    """Attainment by the first size and counts."""
    return {
        (shape.kinds[0].num_npus, counts): measure(ReplayJob(TRACE, OPTIONS, shape.settings_of(counts))).attainment
        for shape in shapes(case)
        for counts in product(range(1, 6), range(1, 4))
        if shape.num_npus(counts) <= MOST_NPUS
    }


@pytest.mark.parametrize("case", [Case("ttft=300ms,tpot=30ms", 0.97), Case("ttft=250ms,tpot=40ms", 0.9)])
def test_no_plan_of_a_small_space_is_smaller(case: Case) -> None:
    found, every = planned(case), every_plan(case)
    serving = [npus * p + 16 * d for (npus, (p, d)), share in every.items() if share >= case.attainment]
    assert found.best is not None
    assert found.best.num_npus <= 1.02 * min(serving)
    if not found.best.shape.varied:
        key = found.best.shape.kinds[0].num_npus, found.best.counts
        assert found.best.measured.attainment == every[key]


def test_limits_that_nobody_keeps_have_the_nearest_plan_and_the_reason() -> None:
    found = planned(Case("ttft=1ms,tpot=50ms", 0.9))
    assert found.best is None
    assert found.sensitivity is None
    assert any("need more than 1 ms to the first token even when nothing waits" in line for line in found.ceilings)
    assert found.nearest.measured.attainment < 0.9


def test_the_answer_depends_on_no_number_of_processes() -> None:
    case = Case("ttft=300ms,tpot=30ms", 0.97)
    with RunProcesses(2) as processes:
        found = Planner(Question(TRACE, OPTIONS, 300, case.attainment), processes).plan(shapes(case))
    alone = planned(case)
    assert [(one.plan, one.measured.attainment) for one in found.tried] == [
        (one.plan, one.measured.attainment) for one in alone.tried
    ]
    assert found.sensitivity == alone.sensitivity
