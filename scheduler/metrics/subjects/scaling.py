"""Instances that come and go: how many there shall be and are, what was decided, for how long NPUs were theirs.

Where nobody scales the plan stands: as many are wanted as it has, and nothing is ever decided.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
from msgspec import Struct

from scheduler.core.scaling.rules import BY_OPERATOR
from scheduler.metrics.columns import NS_PER_S
from scheduler.metrics.family import INSTANCE, Family, Labels, by_instance
from scheduler.metrics.layout import Layout
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.outcome.usage import powered_ns
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subject import SUBJECTS, Account, Handlers, Session, Subject
from scheduler.metrics.subjects.energy_account import ABSENT
from scheduler.metrics.subjects.instances import InstanceTotals
from scheduler.policies.registry import SCALING
from scheduler.protocol.messages import FleetScaled

HOUR_S: Final = 3600.0

STATES: Final[tuple[str, ...]] = ("serving", "starting", "draining", "lost")
"""Where an instance is that has its NPUs; one that leaves drains until its process has ended."""

_STATE_OF_PHASE: Final[Mapping[str, str]] = {one: one for one in STATES} | {"stopping": "draining"}

KINDS: Final[tuple[str, ...]] = ("start", "stop", "switch")

OWN: Final = "own"
"""Who decides if it is a policy of the user."""

MAX_KEPT: Final = 5
"""Decisions that are told to who asks how a system stands."""


class ScalingDecision(Struct, frozen=True):
    """One that changed something: when, in emulated seconds of its run, who decided and why, how many there shall be by
    role, and what becomes of which."""

    at_s: float
    policy: str
    reason: str
    wanted: Mapping[str, int]
    actions: Mapping[str, list[str]]


class ScalingTotals(Struct, frozen=True):
    """`wanted` by role and the phase of each instance, now; `changes` by `change_series` since the system came up;
    `decisions`: the last that changed something in this session."""

    wanted: tuple[int, ...]
    phases: tuple[str, ...]
    changes: tuple[int, ...]
    decisions: tuple[ScalingDecision, ...] = ()


def roles_of(layout: Layout) -> tuple[str, ...]:
    """Roles of the instances of a layout, in their order."""
    return tuple(dict.fromkeys(one.role for one in layout.instances))


@lru_cache(maxsize=1)
def deciders() -> tuple[str, ...]:
    """Who may decide: the autoscalers that are known by name but the one that never does, operators, and policies of
    the user."""
    return (*(name for name in SCALING if name != "static"), BY_OPERATOR, OWN)


def change_series(layout: Layout) -> list[Labels]:
    """Role, kind and policy of each count of changes."""
    return [(role, kind, policy) for role in roles_of(layout) for kind in KINDS for policy in deciders()]


def changes_of(said: FleetScaled, role_of: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Role and kind of what one decision changes: each instance that starts, now or when its NPUs are free, and each
    that is to go; once a switch, if any goes so that another may start, of the role that gains."""
    for address in (*said.started, *said.booked):
        yield role_of[address], "start"
    for address in said.drained:
        yield role_of[address], "stop"
    if said.booked and said.drained:
        yield role_of[said.booked[0]], "switch"


class ScalingAccount(Account[ScalingTotals]):
    """Counts decisions as they come; how many instances there are it asks the core when somebody looks."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._role_of = {one.address: one.role for one in layout.instances}
        self._roles = roles_of(layout)
        self._planned = Counter(one.role for one in layout.instances if one.is_planned)
        self._at_first = {one.address: STATES[0] if one.is_planned else ABSENT for one in layout.instances}
        self._changes = dict.fromkeys(change_series(layout), 0)
        self._decisions = deque[ScalingDecision](maxlen=MAX_KEPT)

    def handlers(self) -> Handlers:
        """A decision."""
        return {FleetScaled: self._on_scaled}

    def begin(self, session: Session) -> None:
        """The plan's instances are there."""
        self._decisions.clear()

    def _on_scaled(self, session: Session, message: FleetScaled) -> None:
        policy = self._decider(session, message)
        for role, kind in changes_of(message, self._role_of):
            self._changes[role, kind, policy] += 1
        actions = {name: getattr(message, name) for name in ("started", "booked", "kept", "drained", "cancelled")}
        self._decisions.append(
            ScalingDecision(
                session.now_ns / NS_PER_S,
                policy,
                message.reason,
                dict(zip(message.roles, message.wanted, strict=True)),
                {name: addresses for name, addresses in actions.items() if addresses},
            )
        )

    @staticmethod
    def _decider(session: Session, message: FleetScaled) -> str:
        if message.reason == BY_OPERATOR:
            return BY_OPERATOR
        return session.autoscaler if session.autoscaler in deciders() else OWN

    def totals(self, session: Session | None) -> ScalingTotals:
        """As they stand; between two sessions as the next one begins."""
        fleet = None if session is None else session.fleet
        if fleet is None:
            wanted, phases = dict(self._planned), self._at_first
        else:
            wanted, phases = {**self._planned, **fleet.wanted_instances()}, fleet.instance_phases()
        return ScalingTotals(
            tuple(wanted[role] for role in self._roles),
            # Who has no part in a session is not there.
            tuple(phases.get(address, ABSENT) for address in self._role_of),
            tuple(self._changes.values()),
            tuple(self._decisions),
        )


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
    changes = Counter(change for one in said for change in changes_of(one, role_of))
    by_role: dict[str, RoleScaling] = {}
    for role in dict.fromkeys(role_of.values()):
        own = np.array([instance.role == role for instance in instances])
        num_npus = np.array([instance.num_npus for instance in instances])
        by_role[role] = RoleScaling(
            float(np.dot(there_s[own], num_npus[own])) / HOUR_S,
            float(there_s[own].sum()) / run.span_s if run.span_s else 0.0,
            changes[role, "start"],
            changes[role, "stop"],
        )
    switches = sum(count for (_, kind), count in changes.items() if kind == "switch")
    npu_hours = sum(one.npu_hours for one in by_role.values())
    return {"scaling": ScalingUse(len(said), switches, npu_hours, by_role)}


def _by_role(layout: Layout) -> list[Labels]:
    return [(role,) for role in roles_of(layout)]


def instances_by_role(snapshot: Snapshot) -> dict[str, dict[str, int]]:
    """How many instances have NPUs, by role and state."""
    counts: dict[str, dict[str, int]] = {role: dict.fromkeys(STATES, 0) for role in roles_of(snapshot.layout)}
    for one, phase in zip(snapshot.layout.instances, snapshot[ScalingTotals].phases, strict=True):
        state = _STATE_OF_PHASE.get(phase)
        if state is not None:
            counts[one.role][state] += 1
    return counts


def _npu_seconds(snapshot: Snapshot) -> list[float]:
    """Of which instances have accounted: what they had NPUs for, as `RoleScaling` has it."""
    seconds = dict.fromkeys(roles_of(snapshot.layout), 0.0)
    for one, accounted_s in zip(snapshot.layout.instances, snapshot[InstanceTotals].accounted_s, strict=True):
        seconds[one.role] += accounted_s * one.num_npus
    return list(seconds.values())


FAMILIES: Final = (
    Family(
        "supernode_instance_lost", "gauge", "1 while the worker of the instance is lost, else 0.",
        lambda s: [int(phase == "lost") for phase in s[ScalingTotals].phases], INSTANCE, by_instance,
    ),
    Family(
        "supernode_scaling_wanted_instances", "gauge",
        "Instances that there shall be, as an autoscaler or an operator has decided; else those of the plan.",
        lambda s: s[ScalingTotals].wanted, ("role",), _by_role,
    ),
    Family(
        "supernode_scaling_instances", "gauge",
        "Instances that have NPUs: they serve, start (and load the model), drain (and stop), or are lost.",
        lambda s: [count for by_state in instances_by_role(s).values() for count in by_state.values()],
        ("role", "state"),
        lambda layout: [(role, state) for role in roles_of(layout) for state in STATES],
    ),
    Family(
        "supernode_scaling_changes_total", "counter",
        "Instances that were told to start and to stop; switches: decisions by which NPUs go to another role, which "
        "gains.",
        lambda s: s[ScalingTotals].changes, ("role", "kind", "policy"), change_series,
    ),
    Family(
        "supernode_scaling_npu_seconds_total", "counter",
        "NPUs times the time for which instances had them, as far as these have accounted.",
        _npu_seconds, ("role",), _by_role,
    ),
)  # fmt: skip

SUBJECTS.register("scaling", Subject(ScalingTotals, ScalingAccount, FAMILIES, _summary))
