"""Each die of an Ascend NPU as the NPU exporter tells it: names, labels and units.

Source: Ascend/mind-cluster, `component/npu-exporter` and its description of the Prometheus interface.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from scheduler.metrics.export.names.devices import MEMORY_RULE, TEMPERATURE_RULE, Devices
from scheduler.metrics.family import AnyFamily, Family, Labels
from scheduler.metrics.layout import Layout
from scheduler.metrics.snapshot import Snapshot

MAKER: Final = "ascend"

ABOUT: Final = (
    "Each die is a chip with an `id`, counted through over all nodes (an exporter of a real machine begins with 0 on "
    "each): the dies of NPU n of a 910C are 2n and 2n + 1. Where a fleet has other makers' chips too, their dies are "
    "counted, and not shown. `vdie_id` says that the die is emulated; `pcie_bus_info` and the labels of Kubernetes are "
    "empty. Unlike the real exporter's, samples carry no time of their own. Left out, because "
    "nothing stands behind it: voltage, clock, bandwidths and links of a single die, optics, ECC."
)

_BYTES_PER_MB: Final = 2**20

_LABELS: Final = ("id", "model_name", "vdie_id", "pcie_bus_info", "namespace", "pod_name", "container_name")


_NPUS: Final = Devices(MAKER)


def _by_die(layout: Layout) -> list[Labels]:
    devices = _NPUS.listed(layout)
    return [(str(one.number), one.stand.chip_title, f"emulated-{one.number}", "", "", "", "") for one in devices]


def _num_healthy(snapshot: Snapshot) -> float:
    return sum(_NPUS.healthy(snapshot))


def _die(name: str, text: str, values: Callable[[Snapshot], Sequence[float]], meaning: str, unit: str) -> Family:
    return Family(f"npu_chip_info_{name}", "gauge", text, values, _LABELS, _by_die, meaning, unit)


_BUSY: Final = "Busy share of the time of its instance: a pass or step ran. How busy the cores are in it is not known."

FAMILIES: Final[tuple[AnyFamily, ...]] = (
    Family(
        "machine_npu_nums", "gauge", "Number of NPU chips.", lambda s: (_NPUS.count(s.layout),),
        meaning="Dies of all instances.", unit="chips",
    ),
    Family(
        "machine_healthy_npu_nums", "gauge", "Number of healthy NPU chips.", lambda s: (_num_healthy(s),),
        meaning="Dies of instances that are up.", unit="chips",
    ),
    Family(
        "machine_unhealthy_npu_nums", "gauge", "Number of unhealthy NPU chips.",
        lambda s: (_NPUS.count(s.layout) - _num_healthy(s),),
        meaning="Dies of instances that are lost.", unit="chips",
    ),
    Family(
        "npu_chip_info_name", "gauge", "The name of the chip, as a label.", lambda s: [1] * _NPUS.count(s.layout),
        ("id", "name", *_LABELS[2:]), _by_die, "Always 1.", "1",
    ),
    _die("utilization", "Utilisation of the AI cores.", _NPUS.percent, _BUSY, "%"),
    _die("overall_utilization", "Utilisation of the chip.", _NPUS.percent, _BUSY, "%"),
    _die("power", "Power of the chip.", _NPUS.watts, "An equal share of the power of its instance.", "W"),
    _die("temperature", "Temperature of the chip.", _NPUS.celsius, TEMPERATURE_RULE, "°C"),
    _die(
        "hbm_temperature", "Temperature of the HBM.", _NPUS.hbm_celsius,
        "Five degrees above the chip: an estimate.", "°C",
    ),
    _die(
        "hbm_used_memory", "HBM in use.", lambda s: [size / _BYTES_PER_MB for size in _NPUS.held_bytes(s)],
        MEMORY_RULE, "MB",
    ),
    _die(
        "hbm_total_memory", "Size of the HBM.",
        lambda s: [size / _BYTES_PER_MB for size in _NPUS.hbm_bytes(s.layout)],
        "In units of 2^20 bytes.", "MB",
    ),
    _die(
        "hbm_utilization", "HBM in use over its size.", lambda s: [100.0 * share for share in _NPUS.held_shares(s)],
        "Memory that is held, as `npu_chip_info_hbm_used_memory`.", "%",
    ),
    _die("health_status", "1 if the chip is healthy, else 0.", _NPUS.healthy, "Whether its instance is up.", "1"),
)  # fmt: skip
