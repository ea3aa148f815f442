"""Each GPU as NVIDIA's DCGM exporter tells it: names, labels and units.

Source: NVIDIA/dcgm-exporter, `etc/default-counters.csv`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import add
from typing import Final, Literal

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
)
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


def _by_gpu(layout: Layout) -> list[Labels]:
    title = chip_of(layout).title
    per_node = layout.npus_per_node * chip_of(layout).num_dies
    places = [(gpu, *divmod(gpu, per_node)) for gpu in device_numbers(layout)]
    return [(str(place), f"GPU-emulated-{gpu}", f"nvidia{place}", title, f"node-{node}") for gpu, node, place in places]


def _millijoules(snapshot: Snapshot) -> list[float]:
    pairs = zip(snapshot.layout.instances, snapshot[InstanceTotals].joules, strict=True)
    return by_device(snapshot.layout, [_MJ_PER_J * joules / one.num_npus for one, joules in pairs], add)


def _free_bytes(snapshot: Snapshot) -> list[float]:
    size = chip_of(snapshot.layout).hbm_bytes
    return [size - held for held in held_bytes(snapshot)]


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
        "GPU_UTIL", "GPU utilization (in %).", device_percent,
        "Busy share of the time of its instance: a pass or step ran.", "%",
    ),
    _field("POWER_USAGE", "Power draw (in W).", device_watts, "An equal share of the power of its instance.", "W"),
    _field(
        "TOTAL_ENERGY_CONSUMPTION", "Total energy consumption since boot (in mJ).", _millijoules,
        "An equal share of the energy of its instance since the cluster came up.", "mJ", "counter",
    ),
    _field("GPU_TEMP", "GPU temperature (in C).", device_celsius, TEMPERATURE_RULE, "°C"),
    _field(
        "MEMORY_TEMP", "Memory temperature (in C).", hbm_celsius, "Five degrees above the GPU: an estimate.", "°C",
    ),
    _field(
        "FB_USED", "Framebuffer memory used (in MiB).", lambda s: [size / _BYTES_PER_MIB for size in held_bytes(s)],
        MEMORY_RULE, "MiB",
    ),
    _field(
        "FB_FREE", "Framebuffer memory free (in MiB).", lambda s: [size / _BYTES_PER_MIB for size in _free_bytes(s)],
        "What is not used.", "MiB",
    ),
)  # fmt: skip
