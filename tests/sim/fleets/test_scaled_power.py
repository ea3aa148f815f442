"""A power cap on fleets whose instances come, go and change their role: it holds in every instant."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from deploy.run.replay import ReplayJob, ReplayResult, replay_virtual
from deploy.settings.load import load_settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.errors import ConfigError
from scheduler.sources.faults import FaultPlan
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.worker_losses import PlannedLoss
from tests.naive.strategies import QUICK_PHASES

DEMO = str(Path(__file__).parents[3] / "examples" / "demo.jsonl")

FICKLE = """
from scheduler.policies.scaling_view import Wanted

class Fickle:
    counts = {counts}
    def __init__(self):
        self.asked = 0
    def wanted(self, view):
        counts = self.counts[self.asked % len(self.counts)]
        self.asked += 1
        return Wanted(dict(zip(view.roles, counts)), "as it pleases")
"""

PLAN, BOTH = "3x16p+1x32d+4c", "3x16a+4c"
MOST = {PLAN: "prefill=10,decode=3", BOTH: "aggregated=10"}
S = 10**9


def replayed(
    folder: Path, counts: list[tuple[int, int]], losses: tuple[PlannedLoss, ...] = (), **told: Any
) -> ReplayResult:
    """The demo trace, eight of it at once, whose instances come and go as these counts say, one after the other."""
    scaler = folder / "fickle.py"
    scaler.write_text(FICKLE.format(counts=counts))
    told = {"plan": PLAN, "autoscaler_interval_s": 2, **told}
    told["autoscaler_max"] = MOST[told["plan"]]
    config = load_settings(None, {"autoscaler": f"{scaler}:Fickle", **told})
    options = TraceOptions(100, 8, 1.0, 0, False, None)
    return replay_virtual(ReplayJob(DEMO, options, config, faults=FaultPlan(losses=losses)))


@cache
def floor_w(plan: str = PLAN) -> float:
    """What a plan draws at least under a cap."""
    with pytest.raises(ConfigError, match="below the") as caught:
        Blueprint(load_settings(None, {"plan": plan, "autoscaler": "sla", "power_cap": "1kW"}), 512).make_core()
    return 1e3 * float(str(caught.value).split("below the ")[1].split(" kW")[0])


@st.composite
def losses(draw: st.DrawFn) -> tuple[PlannedLoss, ...]:
    """Of instances of the plan, and of such as may be there by then."""
    who = draw(st.lists(st.sampled_from(["prefill-0", "prefill-2", "prefill-4", "decode-1"]), max_size=3, unique=True))
    found: list[PlannedLoss] = []
    for address in who:
        at_s = draw(st.integers(1, 12))
        found.append(PlannedLoss(address, at_s * S, (at_s + draw(st.integers(1, 8))) * S))
    return tuple(found)


@settings(phases=QUICK_PHASES, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spare_w=st.integers(100, 40_000),
    counts=st.lists(st.tuples(st.integers(1, 10), st.integers(1, 3)), min_size=1, max_size=5),
    start_s=st.sampled_from([0, 0.5, 3]),
    lost=losses(),
    parking=st.sampled_from(["", "idle=1s"]),
    plan=st.sampled_from([PLAN, PLAN, BOTH]),
)
def test_the_cap_holds_while_instances_come_and_go(
    tmp_path: Path,
    spare_w: int,
    counts: list[tuple[int, int]],
    start_s: float,
    lost: tuple[PlannedLoss, ...],
    parking: str,
    plan: str,
) -> None:
    cap_w = round(floor_w(plan)) + spare_w
    told = {"power_cap": f"{cap_w}W", "autoscaler_start_s": start_s, "parking": parking, "plan": plan}
    result = replayed(tmp_path, counts, () if plan == BOTH else lost, **told)
    energy, requests = result.summary.energy, result.summary.requests
    assert energy.supernode is not None
    assert energy.supernode.peak_watts <= cap_w
    assert requests.finished == requests.arrived == 800
    by_role = result.document()["scaling"]["by_role"] if "scaling" in result.document() else {}
    event(f"started: {min(5, sum(one['started'] for one in by_role.values()))}")


def num_started(folder: Path, spare_w: int) -> int:
    """How many prefill instances start of seven that are wanted, so far above what the plan needs."""
    cap = f"{round(floor_w()) + spare_w}W"
    scaling = replayed(folder, [(10, 1)], power_cap=cap, autoscaler_start_s=0).document().get("scaling")
    return scaling["by_role"]["prefill"]["started"] if scaling else 0


def test_a_cap_lets_as_many_start_as_there_are_watts_for(tmp_path: Path) -> None:
    """With its model loaded an instance draws 0.7 kW more than its NPUs do empty, and other parts some more with it."""
    assert num_started(tmp_path, 200) == 0
    assert 1 <= num_started(tmp_path, 2_000) <= 2
    assert num_started(tmp_path, 30_000) == 7


def test_a_cap_that_nothing_reaches_changes_nothing(tmp_path: Path) -> None:
    capped, free = (replayed(tmp_path, [(5, 1), (3, 2)], power_cap=cap).document() for cap in ("1MW", ""))
    assert (capped["ttft_s"], capped["tpot_s"], capped["scaling"]) == (free["ttft_s"], free["tpot_s"], free["scaling"])
    assert capped["energy"]["joules"] == pytest.approx(free["energy"]["joules"])


def test_a_cap_below_the_plan_is_refused_with_what_it_needs() -> None:
    with pytest.raises(ConfigError) as caught:
        Blueprint(load_settings(None, {"plan": PLAN, "autoscaler": "sla", "power_cap": "1kW"}), 512).make_core()
    told = str(caught.value)
    assert "\n" not in told
    kilowatts = [float(number) for number in re.findall(r"(\d+\.\d) kW", told)]
    # Of the cap, of the plan, of one instance of each role.
    assert len(kilowatts) == 3
    assert kilowatts[0] == 1.0 < kilowatts[2] < kilowatts[1] < kilowatts[2] + 5
