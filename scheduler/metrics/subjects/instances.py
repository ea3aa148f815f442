"""What each instance does: whether it is up, how busy it is, what its NPUs draw.

The account of an instance arrives as the `Usage` of its reports. Live it is added up report by report, at the end of a
run over all rows at once (`outcome.usage`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from msgspec import Struct

from scheduler.metrics.columns import NS_PER_S, ratio
from scheduler.metrics.family import INSTANCE, Family, Labels, by_instance
from scheduler.metrics.layout import Layout, StageName, is_of_stage
from scheduler.metrics.outcome.decode_load import decode_load
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subject import SUBJECTS, Account, Handlers, Session, Subject
from scheduler.protocol.messages import (
    DecodeStepped,
    PrefillStepped,
    Usage,
    UsageReported,
    WorkersJoined,
    WorkersLost,
    WorkersStarted,
)

STRETCH_WALL_S: Final = 1.0
"""Wall seconds of work over which utilisation and watts are means: shorter ones would show single passes."""

_NPU: Final = ("npu", "node", "rack", "instance", "role")


class InstanceTotals(Struct, frozen=True):
    """An entry per instance, in the order of `Layout.instances`; `restarts` are by `Layout.hosts`.

    Utilisation and watts are means of an instance's last stretch of a wall second.
    """

    is_up: tuple[bool, ...]
    busy_s: tuple[float, ...]
    joules: tuple[float, ...]
    utilization: tuple[float, ...]
    watts: tuple[float, ...]
    restarts: tuple[int, ...]
    accounted_s: tuple[float, ...] = ()
    """Of which `busy_s` and `joules` are known."""


class InstanceMeter:
    """Adds up the accounts of one instance; `utilization` and `watts` are means of its last full stretch of reports."""

    def __init__(self) -> None:
        self.is_up = True
        self.busy_ns = 0
        self.accounted_ns = 0
        self.joules = 0.0
        self.utilization = 0.0
        self.watts = 0.0
        self._stretch_ns = 0.0
        self._restart_stretch()

    def begin(self, speed: float) -> None:
        """A session begins, in which a second on the wall has `speed` emulated ones."""
        self.is_up = True
        self._stretch_ns = STRETCH_WALL_S * speed * NS_PER_S
        self._restart_stretch()

    def lose(self) -> None:
        """It is down: it does nothing and draws nothing."""
        self.is_up = False
        self.utilization = self.watts = 0.0
        self._restart_stretch()

    def _restart_stretch(self) -> None:
        self._span_ns = self._busy_ns = 0
        self._stretch_joules = 0.0

    def add(self, usage: Usage) -> None:
        """Take an account."""
        self.busy_ns += usage.busy_ns
        self.joules += usage.joules
        self.accounted_ns += usage.end_ns - usage.start_ns
        self._span_ns += usage.end_ns - usage.start_ns
        self._busy_ns += usage.busy_ns
        self._stretch_joules += usage.joules
        if self._span_ns >= self._stretch_ns:
            self.utilization = self._busy_ns / self._span_ns
            self.watts = self._stretch_joules / (self._span_ns / NS_PER_S)
            self._restart_stretch()


class InstanceAccount(Account[InstanceTotals]):
    """A meter for each instance, and how often each host came back."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._meters = {instance.address: InstanceMeter() for instance in layout.instances}
        self._absent = [instance.address for instance in layout.instances if not instance.is_planned]
        for address in self._absent:
            self._meters[address].lose()
        self._host_of = {address: host for host, addresses in layout.hosts.items() for address in addresses}
        self._restarts = dict.fromkeys(layout.hosts, 0)
        self._not_lost = set(self._absent)
        """Who is not there because it was told to end, or nobody has started it yet."""

    def handlers(self) -> Handlers:
        """Every report has an account of its instance."""
        return {
            PrefillStepped: self._on_report,
            DecodeStepped: self._on_report,
            UsageReported: self._on_report,
            WorkersLost: self._on_workers_lost,
            WorkersStarted: self._on_workers_started,
            WorkersJoined: self._on_workers_joined,
        }

    def begin(self, session: Session) -> None:
        """All instances of the plan are up."""
        for meter in self._meters.values():
            meter.begin(session.speed)
        for address in self._absent:
            self._meters[address].lose()
        self._not_lost = set(self._absent)

    def _on_report(self, _session: Session, message: PrefillStepped | DecodeStepped | UsageReported) -> None:
        self._meters[message.instance].add(message.usage)

    def _on_workers_lost(self, _session: Session, message: WorkersLost) -> None:
        if message.as_commanded:
            self._not_lost.update(message.addresses)
        for address in message.addresses:
            if address in self._meters:
                self._meters[address].lose()

    def _on_workers_joined(self, _session: Session, message: WorkersJoined) -> None:
        for address in message.addresses:
            if address in self._meters:
                self._meters[address].is_up = True

    def _on_workers_started(self, _session: Session, message: WorkersStarted) -> None:
        # Servers of the cache pool are nobody's process, and one that an autoscaler starts is none that was lost.
        back = [one for one in message.addresses if one in self._host_of and one not in self._not_lost]
        self._not_lost.difference_update(message.addresses)
        for host in {self._host_of[address] for address in back}:
            self._restarts[host] += 1

    def totals(self, session: Session | None) -> InstanceTotals:
        """As they stand."""
        meters = self._meters.values()
        return InstanceTotals(
            is_up=tuple(meter.is_up for meter in meters),
            busy_s=tuple(meter.busy_ns / NS_PER_S for meter in meters),
            joules=tuple(meter.joules for meter in meters),
            utilization=tuple(meter.utilization for meter in meters),
            watts=tuple(meter.watts for meter in meters),
            restarts=tuple(self._restarts.values()),
            accounted_s=tuple(meter.accounted_ns / NS_PER_S for meter in meters),
        )


class RoleLoad(Struct, frozen=True):
    """Means over time and NPUs of one stage, aggregated ones in both; None without such NPUs.

    Tokens are computed prompt tokens for prefill, output tokens after the first for decode. `utilization` is the busy
    share of time: that in which a pass or step runs, however small; `DecodeLoad` tells how full decode is.
    """

    tokens_per_s: float | None
    utilization: float | None
    watts: float | None


class PerNpu(Struct, frozen=True):
    """The two stages, per NPU."""

    prefill: RoleLoad
    decode: RoleLoad


def _summary(run: EndedRun) -> Mapping[str, Any]:
    later_tokens = int(run.produced_tokens.sum()) - int(run.gave_first.sum())
    return {
        "per_npu": PerNpu(
            _stage_load(run, "prefill", run.collector.computed_tokens), _stage_load(run, "decode", later_tokens)
        ),
        "decode_load": decode_load(run),
    }


def _stage_load(run: EndedRun, stage: StageName, num_tokens: int) -> RoleLoad:
    """Instances weigh by their NPUs."""
    instances = run.collector.instances
    num_npus = np.array([i.num_npus if is_of_stage(i.role, stage) else 0 for i in instances], np.int64)
    there = num_npus.sum() if run.there is None else np.dot(num_npus, run.there)
    npu_s = float(there) * run.collector.ended_ns / NS_PER_S
    busy_npu_s = float(np.dot(run.usage.busy_ns, num_npus)) / NS_PER_S
    joules = float(run.usage.joules[num_npus > 0].sum())
    return RoleLoad(ratio(num_tokens, npu_s), ratio(busy_npu_s, npu_s), ratio(joules, npu_s))


def _by_npu(layout: Layout) -> list[Labels]:
    stands = ((instance, layout.stands_in(instance).ground) for instance in layout.instances)
    return [
        (str(npu), str(ground.node_of(npu)), str(ground.rack_of(npu)), instance.address, instance.role)
        for (instance, ground), npus in zip(stands, layout.npus(), strict=True)
        for npu in npus
    ]


def _npu_utilization(snapshot: Snapshot) -> list[float]:
    """All NPUs of an instance step together, so each is as busy as its instance."""
    pairs = zip(snapshot.layout.instances, snapshot[InstanceTotals].utilization, strict=True)
    return [share for instance, share in pairs for _ in range(instance.num_npus)]


def _npu_watts(snapshot: Snapshot) -> list[float]:
    values: list[float] = []
    for instance, watts in zip(snapshot.layout.instances, snapshot[InstanceTotals].watts, strict=True):
        values += [watts / instance.num_npus] * instance.num_npus
    return values


FAMILIES: Final = (
    Family(
        "supernode_instance_up", "gauge", "1 if the instance is up, 0 while it is lost or is not there.",
        lambda s: [int(is_up) for is_up in s[InstanceTotals].is_up], INSTANCE, by_instance,
    ),
    Family(
        "supernode_worker_restarts_total", "counter", "Times that a worker process was lost and started again.",
        lambda s: s[InstanceTotals].restarts, ("host",), lambda layout: [(host,) for host in layout.hosts],
    ),
    Family(
        "supernode_instance_busy_seconds_total", "counter", "Time in which a pass or step ran.",
        lambda s: s[InstanceTotals].busy_s, INSTANCE, by_instance,
    ),
    Family(
        "supernode_instance_accounted_seconds_total", "counter",
        "Time for which an instance has accounted: that of its busy seconds and joules, which come with its reports.",
        lambda s: s[InstanceTotals].accounted_s, INSTANCE, by_instance,
    ),
    Family(
        "supernode_instance_energy_joules_total", "counter", "Energy of the NPUs of an instance.",
        lambda s: s[InstanceTotals].joules, INSTANCE, by_instance,
    ),
    Family(
        "supernode_npu_utilization_ratio", "gauge",
        "Busy share of an NPU over the last stretch of at least a wall second; that of its instance.",
        _npu_utilization, _NPU, _by_npu,
    ),
    Family(
        "supernode_npu_power_watts", "gauge",
        "Power of an NPU over the last stretch of at least a wall second; an equal share of its instance's.",
        _npu_watts, _NPU, _by_npu,
    ),
)  # fmt: skip

SUBJECTS.register("instances", Subject(InstanceTotals, InstanceAccount, FAMILIES, _summary))
