"""Each GPU as NVIDIA's DCGM exporter tells it: names, labels and units.

Source: NVIDIA/dcgm-exporter, `etc/default-counters.csv`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import add
from typing import Final, Literal

from scheduler.metrics.export.names.devices import MEMORY_RULE, TEMPERATURE_RULE, Device, Devices
from scheduler.metrics.family import AnyFamily, Family, Labels
from scheduler.metrics.layout import Layout
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subjects.instances import InstanceTotals

MAKER: Final = "nvidia"

ABOUT: Final = (
    "`gpu` and `device` count the GPUs of a node from 0, `Hostname` is the node; `UUID` says that the GPU is emulated. "
    "Left out, because nothing stands behind it: clocks, encoder and decoder, PCIe, NVLink of a single GPU, XID errors."
)

_BYTES_PER_MIB: Final = 2**20
_MJ_PER_J: Final = 1000.0

_LABELS: Final = ("gpu", "UUID", "device", "modelName", "Hostname")


_GPUS: Final = Devices(MAKER)


def _by_gpu(layout: Layout) -> list[Labels]:
    return [
        (str(place), f"GPU-emulated-{gpu.number}", f"nvidia{place}", gpu.stand.chip_title, f"node-{node}")
        for gpu in _GPUS.listed(layout)
        for node, place in (_place(gpu),)
    ]


def _place(gpu: Device) -> tuple[int, int]:
    """The node, counted over all supernodes, and the number of the GPU there."""
    ground, chip = gpu.stand.ground, gpu.stand.chip
    assert chip is not None, "it is of a known maker"
    node, place = divmod(gpu.number - gpu.stand.first_die, ground.npus_per_node * chip.num_dies)
    return ground.first_node + node, place


def _millijoules(snapshot: Snapshot) -> list[float]:
    joules = snapshot[InstanceTotals].joules
    return _GPUS.each(snapshot.layout, lambda at, one, _chip: _MJ_PER_J * joules[at] / one.num_npus, add)


def _free_bytes(snapshot: Snapshot) -> list[float]:
    pairs = zip(_GPUS.hbm_bytes(snapshot.layout), _GPUS.held_bytes(snapshot), strict=True)
    return [size - held for size, held in pairs]


def _field(
    name: str,
    text: str,
    values: Callable[[Snapshot], Sequence[float]],
    meaning: str,
    unit: str,
    kind: Literal["counter", "gauge"] = "gauge",
) -> Family:
    return Family(f"DCGM_FI_DEV_{name}", kind, text, values, _LABELS, _by_gpu, meaning, unit)


FAMILIES: Final[tuple[AnyFamily, ...]] = (
    _field(
        "GPU_UTIL", "GPU utilization (in %).", _GPUS.percent,
        "Busy share of the time of its instance: a pass or step ran.", "%",
    ),
    _field("POWER_USAGE", "Power draw (in W).", _GPUS.watts, "An equal share of the power of its instance.", "W"),
    _field(
        "TOTAL_ENERGY_CONSUMPTION", "Total energy consumption since boot (in mJ).", _millijoules,
        "An equal share of the energy of its instance since the cluster came up.", "mJ", "counter",
    ),
    _field("GPU_TEMP", "GPU temperature (in C).", _GPUS.celsius, TEMPERATURE_RULE, "°C"),
    _field(
        "MEMORY_TEMP", "Memory temperature (in C).", _GPUS.hbm_celsius,
        "Five degrees above the GPU: an estimate.", "°C",
    ),
    _field(
        "FB_USED", "Framebuffer memory used (in MiB).",
        lambda s: [size / _BYTES_PER_MIB for size in _GPUS.held_bytes(s)], MEMORY_RULE, "MiB",
    ),
    _field(
        "FB_FREE", "Framebuffer memory free (in MiB).", lambda s: [size / _BYTES_PER_MIB for size in _free_bytes(s)],
        "What is not used.", "MiB",
    ),
)  # fmt: skip
