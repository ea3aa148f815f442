"""Background traffic on the links of the fabric, such as a training job next door: when, where and how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.fabric_messages import Plane
from workers.fabric.expert_traffic import InstanceExpertTraffic
from workers.fabric.shared_links import STREAM_WEIGHT, SharedLinks


@dataclass(frozen=True, slots=True)
class BackgroundFlow:
    """It flows from `start_ns` on for `length_ns`, and again every `period_ns` (longer than that) unless that is 0.

    `streams`: how many take which links of the fabric; each takes `bytes_per_s` of them at most.
    """

    plane: Plane
    streams: Mapping[tuple[int, ...], int]
    bytes_per_s: int
    start_ns: int
    length_ns: int
    period_ns: int = 0

    def is_on(self, now_ns: int) -> bool:
        """Whether it flows at that time."""
        since_ns = now_ns - self.start_ns
        return since_ns >= 0 and (since_ns % self.period_ns if self.period_ns else since_ns) < self.length_ns

    def next_change_ns(self, now_ns: int) -> int:
        """The first time after `now_ns` at which it begins or ends."""
        since_ns = now_ns - self.start_ns
        if since_ns < 0:
            return self.start_ns
        turn_ns = since_ns // self.period_ns * self.period_ns if self.period_ns else 0
        if since_ns < turn_ns + self.length_ns:
            return self.start_ns + turn_ns + self.length_ns
        return self.start_ns + turn_ns + self.period_ns if self.period_ns else NEVER_NS


class Background:
    """All background flows. `next_ns`: when the next of them begins or ends."""

    def __init__(
        self,
        flows: Sequence[BackgroundFlow],
        planes: Mapping[Plane, SharedLinks],
        instances: Sequence[InstanceExpertTraffic],
    ) -> None:
        self.next_ns = min([flow.start_ns for flow in flows], default=NEVER_NS)
        self._flows = flows
        self._planes = planes
        self._instances = instances
        self._lanes: Final = [
            [planes[flow.plane].lane(links, flow.bytes_per_s, is_awaited=False) for links in flow.streams]
            for flow in flows
        ]
        self._is_on = [False] * len(flows)

    def change(self, now_ns: int) -> None:
        """What begins or ends by now does so, after what has ended on the links was settled."""
        for index, flow in enumerate(self._flows):
            if flow.is_on(now_ns) != self._is_on[index]:
                self._switch(now_ns, index)
        self.next_ns = min(flow.next_change_ns(now_ns) for flow in self._flows)
        for traffic in self._instances:
            traffic.share_again(now_ns)

    def _switch(self, now_ns: int, index: int) -> None:
        flow, is_on = self._flows[index], not self._is_on[index]
        self._is_on[index] = is_on
        for lane, (path, streams) in zip(self._lanes[index], flow.streams.items(), strict=True):
            weight = streams * STREAM_WEIGHT
            self._planes[flow.plane].set_steady(now_ns, lane, weight if is_on else -weight)
            for traffic in self._instances:
                for direction, link in enumerate((traffic.ends.into, traffic.ends.out)):
                    if link in path:
                        steady, one = traffic.steady[direction], (flow.bytes_per_s, streams)
                        (steady.append if is_on else steady.remove)(one)
