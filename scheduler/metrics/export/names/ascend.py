"""Each die of an Ascend NPU as the NPU exporter tells it: names, labels and units.

Source: Ascend/mind-cluster, `component/npu-exporter` and its description of the Prometheus interface.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from scheduler.metrics.export.names.devices import (
    MEMORY_RULE,
    TEMPERATURE_RULE,
    by_device,
    chip_of,
    device_celsius,
    device_numbers,
    device_percent,
    device_watts,
    hbm_celsius,
    held_bytes,
    held_shares,
    num_devices,
)
from scheduler.metrics.family import AnyFamily, Family, Labels
from scheduler.metrics.layout import Layout
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subjects.instances import InstanceTotals

MAKER: Final = "ascend"

ABOUT: Final = (
    "Each die is a chip with an `id`, counted through over all nodes (an exporter of a real machine begins with 0 on "
    "each): the dies of NPU n are 2n and 2n + 1. `vdie_id` says that the die is emulated; `pcie_bus_info` and the "
    "labels of Kubernetes are empty. Unlike the real exporter's, samples carry no time of their own. Left out, because "
    "nothing stands behind it: voltage, clock, bandwidths and links of a single die, optics, ECC."
)

_BYTES_PER_MB: Final = 2**20

_LABELS: Final = ("id", "model_name", "vdie_id", "pcie_bus_info", "namespace", "pod_name", "container_name")


def _by_die(layout: Layout) -> list[Labels]:
    title = chip_of(layout).title
    return [(str(die), title, f"emulated-{die}", "", "", "", "") for die in device_numbers(layout)]


def _healthy(snapshot: Snapshot) -> list[float]:
    return by_device(snapshot.layout, [float(is_up) for is_up in snapshot[InstanceTotals].is_up])


def _num_healthy(snapshot: Snapshot) -> float:
    return sum(_healthy(snapshot))


def _die(name: str, text: str, values: Callable[[Snapshot], Sequence[float]], meaning: str, unit: str) -> Family:
    return Family(f"npu_chip_info_{name}", "gauge", text, values, _LABELS, _by_die, meaning, unit)


_BUSY: Final = "Busy share of the time of its instance: a pass or step ran. How busy the cores are in it is not known."

FAMILIES: Final[tuple[AnyFamily, ...]] = (
    Family(
        "machine_npu_nums", "gauge", "Number of NPU chips.", lambda s: (num_devices(s.layout),),
        meaning="Dies of all instances.", unit="chips",
    ),
    Family(
        "machine_healthy_npu_nums", "gauge", "Number of healthy NPU chips.", lambda s: (_num_healthy(s),),
        meaning="Dies of instances that are up.", unit="chips",
    ),
    Family(
        "machine_unhealthy_npu_nums", "gauge", "Number of unhealthy NPU chips.",
        lambda s: (num_devices(s.layout) - _num_healthy(s),),
        meaning="Dies of instances that are lost.", unit="chips",
    ),
    Family(
        "npu_chip_info_name", "gauge", "The name of the chip, as a label.", lambda s: [1] * num_devices(s.layout),
        ("id", "name", *_LABELS[2:]), _by_die, "Always 1.", "1",
    ),
    _die("utilization", "Utilisation of the AI cores.", device_percent, _BUSY, "%"),
    _die("overall_utilization", "Utilisation of the chip.", device_percent, _BUSY, "%"),
    _die("power", "Power of the chip.", device_watts, "An equal share of the power of its instance.", "W"),
    _die("temperature", "Temperature of the chip.", device_celsius, TEMPERATURE_RULE, "°C"),
    _die(
        "hbm_temperature", "Temperature of the HBM.", hbm_celsius, "Five degrees above the chip: an estimate.", "°C",
    ),
    _die(
        "hbm_used_memory", "HBM in use.", lambda s: [size / _BYTES_PER_MB for size in held_bytes(s)], MEMORY_RULE, "MB",
    ),
    _die(
        "hbm_total_memory", "Size of the HBM.",
        lambda s: [chip_of(s.layout).hbm_bytes / _BYTES_PER_MB] * num_devices(s.layout),
        "In units of 2^20 bytes.", "MB",
    ),
    _die(
        "hbm_utilization", "HBM in use over its size.", lambda s: [100.0 * share for share in held_shares(s)],
        "Memory that is held, as `npu_chip_info_hbm_used_memory`.", "%",
    ),
    _die("health_status", "1 if the chip is healthy, else 0.", _healthy, "Whether its instance is up.", "1"),
)  # fmt: skip
