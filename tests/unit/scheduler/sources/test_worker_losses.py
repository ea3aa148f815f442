"""The source that loses workers: what it says when, and that no run goes on for its sake."""

from __future__ import annotations

from scheduler.protocol.component import NEVER_NS, Outputs
from scheduler.protocol.messages import (
    ChangeModel,
    InstanceDrained,
    Message,
    ReportUsage,
    RunEnded,
    WorkersLost,
    WorkersStarted,
)
from scheduler.sources.worker_losses import LossSource, PlannedChange, PlannedLoss

LOSSES = (PlannedLoss("p0", 10, 30), PlannedLoss("p1", 10, 20), PlannedLoss("p2", 20, 25), PlannedLoss("p2", 25, 40))


def lose(address: str, now_ns: int) -> Outputs:
    """A last account, of whatever kind."""
    return ((f"{address} at {now_ns}", ReportUsage()),)


def test_workers_are_lost_with_their_last_account_and_others_start_in_their_place() -> None:
    source = LossSource(LOSSES, lose, lambda: True)
    said: list[tuple[int, list[tuple[str, Message]]]] = []
    while (now_ns := source.deadline_ns) < NEVER_NS:
        said.append((now_ns, list(source.wake(now_ns))))
    assert said == [
        (10, [("p0 at 10", ReportUsage()), ("p1 at 10", ReportUsage()), ("core", WorkersLost(["p0", "p1"]))]),
        (20, [("core", WorkersStarted(["p1"])), ("p2 at 20", ReportUsage()), ("core", WorkersLost(["p2"]))]),
        (25, [("core", WorkersStarted(["p2"])), ("p2 at 25", ReportUsage()), ("core", WorkersLost(["p2"]))]),
        (30, [("core", WorkersStarted(["p0"]))]),
        (40, [("core", WorkersStarted(["p2"]))]),
    ]


def test_it_is_silent_without_work_and_after_the_end() -> None:
    assert LossSource(LOSSES, lose, lambda: False).deadline_ns == NEVER_NS
    source = LossSource(LOSSES, lose, lambda: True)
    assert not source.handle(5, RunEnded(interrupted=True))
    assert source.deadline_ns == NEVER_NS


def test_changes_are_told_in_their_time_and_who_is_drained_starts_anew() -> None:
    changes = [PlannedChange(("p0", "d0"), 30, "v3"), PlannedChange(("p0",), 5, "v2")]
    source = LossSource(LOSSES[:1], lose, lambda: True, changes)
    said = [(now_ns := source.deadline_ns, source.wake(now_ns)) for _ in range(3)]
    assert said[0] == (5, (("core", ChangeModel(["p0"], "v2")),))
    assert said[2] == (30, (("core", WorkersStarted(["p0"])), ("core", ChangeModel(["p0", "d0"], "v3"))))
    assert source.deadline_ns == NEVER_NS
    anew = (("d0 at 40", ReportUsage()), ("core", WorkersLost(["d0"])), ("core", WorkersStarted(["d0"])))
    assert source.handle(40, InstanceDrained("d0")) == anew
