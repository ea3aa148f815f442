"""Instances that come and go: how often, and for how long NPUs were theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from msgspec import Struct

from scheduler.metrics.columns import NS_PER_S
from scheduler.metrics.layout import Layout
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.outcome.usage import powered_ns
from scheduler.metrics.subject import SUBJECTS, Account, Session, Subject

HOUR_S: Final = 3600.0


class ScalingTotals(Struct, frozen=True):
    """Nothing yet of a live system."""


class ScalingAccount(Account[ScalingTotals]):
    """Nothing yet of a live system."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)

    def totals(self, session: Session | None) -> ScalingTotals:
        """As they stand."""
        return ScalingTotals()


class RoleScaling(Struct, frozen=True):
    """Of one role: hours times NPUs for which instances had them, from their start to their end; how many instances
    there were in the mean over time; how often one was started, and drained."""

    npu_hours: float
    mean_instances: float
    started: int
    drained: int


class ScalingUse(Struct, frozen=True):
    """`changes`: how often it was decided that instances come or go; `switches`: of these, NPUs to another role."""

    changes: int
    switches: int
    npu_hours: float
    by_role: Mapping[str, RoleScaling]


def _summary(run: EndedRun) -> Mapping[str, Any]:
    collector = run.collector
    if not collector.comes_and_goes:
        return {}
    instances, said = collector.instances, [one for _, one in collector.scalings]
    rows = run.usage_rows
    there_s = np.bincount(rows["instance"], powered_ns(rows), minlength=len(instances)) / NS_PER_S
    role_of = {instance.address: instance.role for instance in instances}
    started = [role_of[address] for one in said for address in (*one.started, *one.booked)]
    drained = [role_of[address] for one in said for address in one.drained]
    by_role: dict[str, RoleScaling] = {}
    for role in dict.fromkeys(role_of.values()):
        own = np.array([instance.role == role for instance in instances])
        num_npus = np.array([instance.num_npus for instance in instances])
        by_role[role] = RoleScaling(
            float(np.dot(there_s[own], num_npus[own])) / HOUR_S,
            float(there_s[own].sum()) / run.span_s if run.span_s else 0.0,
            started.count(role),
            drained.count(role),
        )
    switches = sum(bool(one.booked and one.drained) for one in said)
    npu_hours = sum(one.npu_hours for one in by_role.values())
    return {"scaling": ScalingUse(len(said), switches, npu_hours, by_role)}


SUBJECTS.register("scaling", Subject(ScalingTotals, ScalingAccount, (), _summary))
