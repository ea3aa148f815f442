"""The page of a plan: every plan that was tried on the whole trace, and the front."""

from __future__ import annotations

from pathlib import Path

from deploy.pages.document import section, table
from deploy.planning.page import answer_rows, told_of
from deploy.planning.planner import Planned
from deploy.sweep.front import Point, front
from deploy.sweep.plot import write_sweep_page
from deploy.sweep.space import Objective


def write_tries(folder: Path, planned: Planned, title: str, attainment: float) -> str:
    """Write `index.html` into a folder that is made if need be; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    points = [
        Point({"cluster": one.cluster, "plan": one.plan, "with": told_of(one)}, one.num_npus, one.measured.document, {})
        for one in planned.tried
    ]
    objectives = [
        Objective("num_npus", is_maximised=False),
        Objective("slo.attainment", is_maximised=True),
        Objective("energy.joules_per_output_token", is_maximised=False),
        Objective("cost.plan.usd", is_maximised=False),
    ]
    rows = answer_rows(planned, attainment)
    answer = section("Answer", "", table(["", ""], [list(row) for row in rows]))
    return write_sweep_page(folder, points, objectives, front(points, objectives), title, answer)
