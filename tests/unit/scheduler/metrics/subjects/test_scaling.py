"""How many instances there shall be and are, and what was decided, live and in a summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from scheduler.core.request_table import RequestTable
from scheduler.metrics.layout import LiveInstance
from scheduler.metrics.live.totals import LiveTotals
from scheduler.metrics.outcome.ended_run import RunInfo
from scheduler.metrics.outcome.summary import summarize
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subject import own_families
from scheduler.metrics.subjects.instances import InstanceTotals
from scheduler.protocol.messages import FleetScaled, WorkersJoined, WorkersLost, WorkersStarted
from tests.unit.scheduler.metrics.lived import DECODE, PREFILL, layout_of
from tests.unit.scheduler.metrics.logged import SECOND, collector_of, end_run, table_of

SPARE = LiveInstance("prefill-1", "prefill", 16, 1000, is_planned=False)


class Core(Struct):
    """What a core tells of its instances."""

    phases: dict[str, str]
    wanted: dict[str, int] = field(default_factory=dict[str, int])

    def instance_phases(self) -> Mapping[str, str]:
        return self.phases

    def wanted_instances(self) -> Mapping[str, int]:
        return self.wanted


def said(reason: str = "busy", **changes: list[str]) -> FleetScaled:
    """What a scaler tells when it has decided something."""
    return FleetScaled(
        ["prefill", "decode"],
        [2, 1],
        reason,
        *(changes.get(name, []) for name in ("started", "booked", "kept", "drained", "cancelled")),
    )


def shown(snapshot: Snapshot, name: str) -> dict[tuple[str, ...], float]:
    """The series of a family that are not zero."""
    family: Any = next(one for one in own_families() if one.name == f"supernode_scaling_{name}")
    pairs = zip(family.series(snapshot.layout), family.values(snapshot), strict=True)
    return {labels: value for labels, value in pairs if value}


def session(core: Core | None = None, autoscaler: str = "") -> LiveTotals:
    totals = LiveTotals(layout_of(PREFILL, SPARE, DECODE))
    totals.begin(RequestTable(), 1.0, fleet=core, autoscaler=autoscaler)
    return totals


def test_without_a_scaler_the_plan_stands() -> None:
    for totals in (session(), session(Core({"prefill-0": "serving", "decode-0": "serving", "prefill-1": "absent"}))):
        seen = totals.snapshot()
        assert shown(seen, "wanted_instances") == {("prefill",): 1, ("decode",): 1}
        assert shown(seen, "instances") == {("prefill", "serving"): 1, ("decode", "serving"): 1}
        assert not shown(seen, "changes_total")


def test_who_has_npus_is_told_by_role_and_state() -> None:
    core = Core({"prefill-0": "stopping", "prefill-1": "starting", "decode-0": "lost"}, {"prefill": 2})
    seen = session(core).snapshot()
    assert shown(seen, "instances") == {("prefill", "draining"): 1, ("prefill", "starting"): 1, ("decode", "lost"): 1}
    assert shown(seen, "wanted_instances") == {("prefill",): 2, ("decode",): 1}


def test_changes_count_by_kind_and_by_who_decided() -> None:
    totals = session(autoscaler="sla")
    totals.before(5 * SECOND, said("1.5 of 2 busy", started=["prefill-1"]))
    totals.before(6 * SECOND, said("operator", drained=["prefill-1"]))
    totals.before(7 * SECOND, said("long outputs", drained=["prefill-0"], booked=["decode-0"]))
    seen = totals.snapshot()
    assert shown(seen, "changes_total") == {
        ("prefill", "start", "sla"): 1,
        ("prefill", "stop", "operator"): 1,
        ("prefill", "stop", "sla"): 1,
        ("decode", "start", "sla"): 1,
        ("decode", "switch", "sla"): 1,
    }
    totals.end("completed")
    totals.begin(RequestTable(), 1.0, autoscaler="mine.py:Mine")
    totals.before(1 * SECOND, said(kept=["prefill-1"], started=["prefill-1"]))
    seen = totals.snapshot()
    assert shown(seen, "changes_total")["prefill", "start", "own"] == 1
    assert sum(shown(seen, "changes_total").values()) == 6


def test_a_summary_counts_the_same_and_has_it_wherever_anything_was_decided() -> None:
    decided = [said(started=["prefill-0"]), said("operator", drained=["prefill-0"], booked=["decode-0"])]
    collector = collector_of(table_of())
    assert "scaling" not in summarize(end_run(collector, 30 * SECOND), INFO).to_json()
    collector = collector_of(table_of())
    for at_s, one in enumerate(decided):
        collector.before(at_s * SECOND, one)
    scaling = summarize(end_run(collector, 30 * SECOND), INFO).to_json()["scaling"]
    assert (scaling["changes"], scaling["switches"]) == (2, 1)
    by_role = {role: (one["started"], one["drained"]) for role, one in scaling["by_role"].items()}
    assert by_role == {"prefill": (1, 1), "decode": (1, 0)}


def test_npu_seconds_are_those_that_instances_account_for() -> None:
    totals = session()
    seen = totals.snapshot()
    accounted = replace(seen[InstanceTotals], accounted_s=(10.0, 2.0, 10.0))
    seen = Snapshot(seen.layout, {**seen.totals, InstanceTotals: accounted})
    assert shown(seen, "npu_seconds_total") == {("prefill",): 16 * 12.0, ("decode",): 160 * 10.0}


def test_a_start_that_was_commanded_is_no_restart() -> None:
    totals = session()
    name = ["prefill-1"]
    for said, num_restarts, is_up in (
        (WorkersStarted(name), 0, False),
        (WorkersJoined(name), 0, True),
        (WorkersLost(name), 0, False),
        (WorkersStarted(name), 1, False),
        (WorkersJoined(name), 1, True),
        (WorkersLost(name, as_commanded=True), 1, False),
        (WorkersStarted(name), 1, False),
    ):
        totals.before(SECOND, said)
        seen = totals[InstanceTotals]
        assert (sum(seen.restarts), seen.is_up[1]) == (num_restarts, is_up), said


INFO = RunInfo(0.0, 0, "", {}, has_prefix_cache=False)
