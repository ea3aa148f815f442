"""The status of a cluster as a person reads it: who is there, who comes and goes, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from deploy.cluster.state import ClusterState
from deploy.cluster.status_page import render_status
from scheduler.metrics.layout import LiveInstance
from scheduler.metrics.live.status import status
from scheduler.metrics.subjects.scaling import ScalingTotals
from tests.unit.scheduler.metrics.lived import DECODE, PREFILL, layout_of, made_up_snapshot

CONFIG = {"model": "m", "cluster": "c", "plan": "p", "policy": "least_loaded"}
STATE = ClusterState("ready", 1, 1, ray_folder="r", config=CONFIG, started_at="then")
SLOTS = (LiveInstance("decode-1", "decode", 160, 4000, is_planned=False),) * 3


def page(phases: tuple[str, ...], **scaling: Any) -> str:
    snapshot = made_up_snapshot(layout_of(PREFILL, DECODE, *SLOTS))
    totals = replace(snapshot[ScalingTotals], phases=phases, **scaling)
    seen = status(replace(snapshot, totals={**snapshot.totals, ScalingTotals: totals}))
    return render_status(STATE, {"phase": "idle", **seen}, Path("log"))


def test_who_comes_and_goes_is_named_and_who_is_not_there_counted() -> None:
    lines = page(("draining", "lost", "starting", "absent", "booked")).splitlines()
    rows = {line.split()[0]: line.split()[3] for line in lines if line.startswith(("prefill-", "decode-"))}
    assert rows == {"prefill-0": "draining", "decode-0": "NO", "decode-1": "starting"}
    assert "2 more are not there; an autoscaler or an operator may start them" in lines
    assert any(line.split()[:3] == ["all", "336", "2/3"] for line in lines)


def test_decisions_are_told_with_who_decided_and_why() -> None:
    there = ("serving",) * 5
    assert "at 5 s      sla: too few; wants 2 prefill; started p\n" in page(there)
    assert "Scaling" not in page(there, decisions=())
