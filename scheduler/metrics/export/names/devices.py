"""What the exporters of both makers tell alike: each NPU on chips of a maker, and figures that follow from simple
rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from scheduler.metrics.layout import Chip, Layout, LiveInstance, WatchedSupernode
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subjects.instances import InstanceTotals

IDLE_CELSIUS: Final = 35.0
TDP_CELSIUS: Final = 65.0
"""Temperature of a die at idle power and at TDP, a straight line between and beyond. An estimate: no reading of a
CloudMatrix 384 is published."""

HBM_HOTTER_CELSIUS: Final = 5.0
"""By how much the memory is hotter than the die. An estimate."""

TEMPERATURE_RULE: Final = (
    f"A straight line from {IDLE_CELSIUS:.0f} °C at idle power to {TDP_CELSIUS:.0f} °C at TDP: an estimate, no thermal "
    "model."
)
MEMORY_RULE: Final = (
    "An engine takes its memory when it comes up (weights, buffers and the room for KV, as vLLM does), so this does "
    "not move: all but the reserve while it is up, else 0."
)


class Device(Struct, frozen=True):
    """One die: its number, counted over all supernodes, its NPU's, and the supernode in which it is."""

    number: int
    npu: int
    stand: WatchedSupernode


class Devices:
    """The devices of one maker's chips: an NPU has as many as its package has dies. A fleet may have others as well."""

    def __init__(self, maker: str) -> None:
        self._maker: Final = maker

    def stands(self, layout: Layout) -> list[tuple[int, LiveInstance, Chip, range]]:
        """Place among all, instance, chip and numbers of the NPUs, of each instance on such chips."""
        found = enumerate(zip(layout.instances, layout.npus(), strict=True))
        return [
            (place, one, chip, npus)
            for place, (one, npus) in found
            for chip in (layout.stands_in(one).chip,)
            if chip is not None and chip.maker == self._maker
        ]

    def listed(self, layout: Layout) -> list[Device]:
        """Each device once."""
        found: dict[int, Device] = {}
        for _, one, chip, npus in self.stands(layout):
            stand = layout.stands_in(one)
            for npu in npus:
                first = stand.first_die + (npu - stand.ground.first_npu) * chip.num_dies
                for die in range(first, first + chip.num_dies):
                    found[die] = Device(die, npu, stand)
        return list(found.values())

    def count(self, layout: Layout) -> int:
        """Devices of all instances."""
        return len(self.hbm_bytes(layout))

    def each(
        self,
        layout: Layout,
        value: Callable[[int, LiveInstance, Chip], float],
        together: Callable[[float, float], float] = max,
    ) -> list[float]:
        """The `value` of its instance (its place among all, itself, its chip) for each device. Of instances that share
        NPUs one is there at a time, so that theirs `together` are its value: the highest of gauges, which are lowest of
        who is not there."""
        found: dict[int, tuple[float, int]] = {}
        spread: list[float] = []
        shares_npus = layout.shares_npus
        for place, one, chip, npus in self.stands(layout):
            of_instance = value(place, one, chip)
            if not shares_npus:
                spread += [of_instance] * (one.num_npus * chip.num_dies)
                continue
            for npu in npus:
                of_all = together(found[npu][0], of_instance) if npu in found else of_instance
                found[npu] = of_all, chip.num_dies
        return spread or [of_all for of_all, num_dies in found.values() for _ in range(num_dies)]

    def watts(self, snapshot: Snapshot) -> list[float]:
        """An equal share of its instance's power."""
        watts = snapshot[InstanceTotals].watts
        return self.each(snapshot.layout, lambda at, one, chip: watts[at] / (one.num_npus * chip.num_dies))

    def percent(self, snapshot: Snapshot) -> list[float]:
        """The busy share of its instance."""
        shares = snapshot[InstanceTotals].utilization
        return self.each(snapshot.layout, lambda at, _one, _chip: 100.0 * shares[at])

    def healthy(self, snapshot: Snapshot) -> list[float]:
        """1 if its instance is up, else 0."""
        is_up = snapshot[InstanceTotals].is_up
        return self.each(snapshot.layout, lambda at, _one, _chip: float(is_up[at]))

    def celsius(self, snapshot: Snapshot) -> list[float]:
        """By `TEMPERATURE_RULE`."""
        watts = snapshot[InstanceTotals].watts

        def warm(at: int, one: LiveInstance, chip: Chip) -> float:
            slope = (TDP_CELSIUS - IDLE_CELSIUS) / (chip.tdp_w - chip.idle_w)
            return IDLE_CELSIUS + slope * (max(watts[at] / one.num_npus, chip.idle_w) - chip.idle_w)

        return self.each(snapshot.layout, warm)

    def hbm_celsius(self, snapshot: Snapshot) -> list[float]:
        """That of the die and a little more."""
        return [celsius + HBM_HOTTER_CELSIUS for celsius in self.celsius(snapshot)]

    def held_shares(self, snapshot: Snapshot) -> list[float]:
        """Share of its memory that each device holds, by `MEMORY_RULE`."""
        is_up = snapshot[InstanceTotals].is_up
        return self.each(snapshot.layout, lambda at, _one, chip: chip.held_share if is_up[at] else 0.0)

    def hbm_bytes(self, layout: Layout) -> list[float]:
        """The memory of each device."""
        return self.each(layout, lambda _at, _one, chip: chip.hbm_bytes)

    def held_bytes(self, snapshot: Snapshot) -> list[float]:
        """Bytes that each device holds."""
        return [
            share * size
            for share, size in zip(self.held_shares(snapshot), self.hbm_bytes(snapshot.layout), strict=True)
        ]
