"""What the exporters of both makers tell alike: each NPU of a layout, and figures that follow from simple rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from scheduler.metrics.layout import Chip, Layout
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


def chip_of(layout: Layout) -> Chip:
    """The chip of all NPUs; a layout that is exported under the names of chips has one."""
    assert layout.chip is not None
    return layout.chip


def num_devices(layout: Layout) -> int:
    """Devices of all instances: an NPU has as many as its package has dies."""
    return len(device_numbers(layout))


def device_numbers(layout: Layout) -> list[int]:
    """The number of each device, counted through all NPUs."""
    num_dies = chip_of(layout).num_dies
    each_once = dict.fromkeys(npu for npus in layout.npus() for npu in npus)
    return [npu * num_dies + die for npu in each_once for die in range(num_dies)]


def by_device(layout: Layout, values: Sequence[float], together: Callable[[float, float], float] = max) -> list[float]:
    """The value of its instance for each device. Of instances that share NPUs one is there at a time, so that theirs
    `together` are its value: the highest of gauges, which are lowest of who is not there."""
    num_dies = chip_of(layout).num_dies
    if layout.shares_npus:
        found: dict[int, float] = {}
        for npus, value in zip(layout.npus(), values, strict=True):
            for npu in npus:
                found[npu] = together(found[npu], value) if npu in found else value
        return [value for value in found.values() for _ in range(num_dies)]
    spread: list[float] = []
    for instance, value in zip(layout.instances, values, strict=True):
        spread += [value] * (instance.num_npus * num_dies)
    return spread


def device_watts(snapshot: Snapshot) -> list[float]:
    """An equal share of its instance's power."""
    pairs = zip(snapshot.layout.instances, snapshot[InstanceTotals].watts, strict=True)
    num_dies = chip_of(snapshot.layout).num_dies
    return by_device(snapshot.layout, [watts / (one.num_npus * num_dies) for one, watts in pairs])


def device_percent(snapshot: Snapshot) -> list[float]:
    """The busy share of its instance."""
    return by_device(snapshot.layout, [100.0 * share for share in snapshot[InstanceTotals].utilization])


def device_celsius(snapshot: Snapshot) -> list[float]:
    """By `TEMPERATURE_RULE`."""
    chip = chip_of(snapshot.layout)
    slope = (TDP_CELSIUS - IDLE_CELSIUS) / (chip.tdp_w - chip.idle_w)
    pairs = zip(snapshot.layout.instances, snapshot[InstanceTotals].watts, strict=True)
    warm = [IDLE_CELSIUS + slope * (max(watts / one.num_npus, chip.idle_w) - chip.idle_w) for one, watts in pairs]
    return by_device(snapshot.layout, warm)


def hbm_celsius(snapshot: Snapshot) -> list[float]:
    """That of the die and a little more."""
    return [celsius + HBM_HOTTER_CELSIUS for celsius in device_celsius(snapshot)]


def held_shares(snapshot: Snapshot) -> list[float]:
    """Share of its memory that each device holds, by `MEMORY_RULE`."""
    held_share = chip_of(snapshot.layout).held_share
    return by_device(snapshot.layout, [held_share if is_up else 0.0 for is_up in snapshot[InstanceTotals].is_up])


def held_bytes(snapshot: Snapshot) -> list[float]:
    """Bytes that each device holds."""
    size = chip_of(snapshot.layout).hbm_bytes
    return [share * size for share in held_shares(snapshot)]
