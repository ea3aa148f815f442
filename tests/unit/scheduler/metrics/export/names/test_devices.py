"""Figures of dies and GPUs follow from those of their instances."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from scheduler.metrics.export.names import ascend, dcgm
from scheduler.metrics.family import Family
from scheduler.metrics.layout import LiveInstance
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subjects.instances import InstanceTotals
from tests.unit.scheduler.metrics.lived import ASCEND, GPU, layout_of, made_up_snapshot, under_names, whole_supernode

SNAPSHOT = made_up_snapshot(under_names(whole_supernode(), ASCEND, "ascend"))
OF_GPUS = made_up_snapshot(under_names(whole_supernode(), GPU, "dcgm"))


def values(name: str, snapshot: Snapshot = SNAPSHOT) -> list[float]:
    """Of the family of that name, of either exporter."""
    family = next(family for family in (*ascend.FAMILIES, *dcgm.FAMILIES) if family.name == name)
    assert isinstance(family, Family)
    return list(family.values(snapshot))


def test_dies_and_gpus_share_all_that_their_instances_draw() -> None:
    assert len(values("npu_chip_info_power")) == 2 * 384
    assert sum(values("npu_chip_info_power")) == pytest.approx(sum(SNAPSHOT[InstanceTotals].watts))
    assert sum(values("DCGM_FI_DEV_POWER_USAGE", OF_GPUS)) == pytest.approx(sum(OF_GPUS[InstanceTotals].watts))
    millijoules = sum(values("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", OF_GPUS))
    assert millijoules == pytest.approx(1000 * sum(OF_GPUS[InstanceTotals].joules))


def test_chips_are_healthy_or_not_and_counted_once() -> None:
    (healthy,), (unhealthy,), (in_all,) = map(
        values, ("machine_healthy_npu_nums", "machine_unhealthy_npu_nums", "machine_npu_nums")
    )
    assert healthy + unhealthy == in_all == 768
    assert sum(values("npu_chip_info_health_status")) == healthy


def test_memory_is_held_by_what_is_up_and_never_more_than_there_is() -> None:
    used, total = values("npu_chip_info_hbm_used_memory"), values("npu_chip_info_hbm_total_memory")
    assert set(total) == {64e9 / 2**20}
    held = {round(u / t, 9) for u, t in zip(used, total)}
    assert held == {0.0, 0.9}
    assert values("npu_chip_info_hbm_utilization") == pytest.approx([100 * u / t for u, t in zip(used, total)])
    used_mib, free_mib = values("DCGM_FI_DEV_FB_USED", OF_GPUS), values("DCGM_FI_DEV_FB_FREE", OF_GPUS)
    assert {u + f for u, f in zip(used_mib, free_mib)} == {80e9 / 2**20}


def test_a_chip_is_warmer_the_more_it_draws_and_never_colder_than_idle() -> None:
    layout = SNAPSHOT.layout
    per_npu = [0.0, 168.0, 434.0, 700.0, *([168.0] * 11)]
    watts = tuple(each * one.num_npus for each, one in zip(per_npu, layout.instances))
    drawn = replace(SNAPSHOT[InstanceTotals], watts=watts)
    snapshot = replace(SNAPSHOT, totals={**SNAPSHOT.totals, InstanceTotals: drawn})
    warm = values("npu_chip_info_temperature", snapshot)
    assert [warm[32 * place] for place in range(4)] == pytest.approx([35.0, 35.0, 50.0, 65.0])
    hbm = values("npu_chip_info_hbm_temperature", snapshot)
    assert all(memory > die for memory, die in zip(hbm, warm))


def test_gpus_count_from_0_on_each_node() -> None:
    series = dcgm.FAMILIES[0].series(OF_GPUS.layout)
    assert series[9] == ("1", "GPU-emulated-9", "nvidia1", "NVIDIA H800 SXM", "node-1")


def test_utilization_is_in_percent() -> None:
    assert values("npu_chip_info_utilization")[0] == 100 * SNAPSHOT[InstanceTotals].utilization[0]


def test_an_npu_that_several_instances_may_have_is_one_device() -> None:
    """The one that has it tells its figures; what it took is that of all."""
    standing = LiveInstance("prefill-0", "prefill", 16, 1000, first_npu=0)
    coming = LiveInstance("decode-0", "decode", 32, 4000, first_npu=0, is_planned=False)
    snapshot = made_up_snapshot(under_names(layout_of(standing, coming), GPU, "dcgm"))
    drawn = replace(
        snapshot[InstanceTotals], watts=(0.0, 6400.0), joules=(16.0, 64.0), is_up=(False, True), utilization=(0.0, 0.5)
    )
    snapshot = replace(snapshot, totals={**snapshot.totals, InstanceTotals: drawn})
    assert values("DCGM_FI_DEV_POWER_USAGE", snapshot) == [200.0] * 32
    assert values("DCGM_FI_DEV_GPU_UTIL", snapshot) == [50.0] * 32
    assert values("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", snapshot) == [3000.0] * 16 + [2000.0] * 16
    family = next(family for family in dcgm.FAMILIES if family.name == "DCGM_FI_DEV_GPU_UTIL")
    assert len(set(family.series(snapshot.layout))) == 32
