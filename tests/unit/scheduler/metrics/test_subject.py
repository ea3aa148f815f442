"""The catalogue is sound, and its labels are those that dashboards know."""

from __future__ import annotations

import re

from msgspec.structs import replace
from prometheus_client import REGISTRY

from scheduler.metrics.facility import Ground
from scheduler.metrics.family import Family
from scheduler.metrics.layout import LiveInstance, Role, WatchedSupernode
from scheduler.metrics.subject import own_families
from tests.unit.scheduler.metrics.lived import layout_of, made_up_snapshot, whole_supernode


def plain(name: str) -> Family:
    """The family of counters or gauges of that name."""
    family = next(family for family in own_families() if family.name == name)
    assert isinstance(family, Family)
    return family


def test_names_follow_the_conventions() -> None:
    names = [family.name for family in own_families()]
    assert len(set(names)) == len(names)
    for family in own_families():
        assert re.fullmatch(r"supernode_[a-z0-9_]+", family.name)
        is_counter = isinstance(family, Family) and family.kind == "counter"
        assert family.name.endswith("_total") == is_counter
        assert family.help.endswith(".")
        assert not set(family.help) & set('\\\n"')


def test_each_series_has_its_labels_and_one_value() -> None:
    snapshot = made_up_snapshot(whole_supernode())
    for family in own_families():
        if isinstance(family, Family):
            series = family.series(snapshot.layout)
            assert len(series) == len(set(series)) == len(family.values(snapshot))
            assert {len(labels) for labels in series} == {len(family.labels)}


def test_npus_are_dealt_out_in_the_order_of_instances_nodes_and_racks() -> None:
    series = plain("supernode_npu_power_watts").series(whole_supernode())
    assert len(series) == 384
    assert series[0] == ("0", "0", "0", "prefill-0", "prefill")
    assert series[223] == ("223", "27", "6", "prefill-13", "prefill")
    assert series[224] == ("224", "28", "7", "decode-0", "decode")
    assert series[383] == ("383", "47", "11", "decode-0", "decode")


def test_npus_share_what_their_instance_draws() -> None:
    layout = layout_of(LiveInstance("prefill-0", "prefill", 2, 1), LiveInstance("decode-0", "decode", 4, 1))
    snapshot = made_up_snapshot(layout)
    watts = plain("supernode_npu_power_watts").values(snapshot)
    assert list(watts) == [500.125] * 2 + [500.125] * 4
    assert list(plain("supernode_npu_utilization_ratio").values(snapshot)) == [1.0] * 2 + [0.5] * 4


def test_reasons_are_grouped_by_outcome() -> None:
    series = plain("supernode_requests_ended_total").series(whole_supernode())
    outcomes = {reason: outcome for outcome, reason in series}
    assert outcomes["stop"] == outcomes["length"] == "finished"
    assert outcomes["too_long"] == "rejected"
    assert outcomes["retries_exhausted"] == "failed"
    assert "pending" not in outcomes


def test_nothing_is_in_the_global_registry() -> None:
    assert not any(metric.name.startswith("supernode_") for metric in REGISTRY.collect())


def test_npus_of_a_fleet_are_numbered_by_supernode() -> None:
    roles: tuple[tuple[Role, int], ...] = (("prefill", 0), ("prefill", 1), ("decode", 0), ("decode", 1))
    instances = [LiveInstance(f"{role}-{at}", role, 4, 1, at) for role, at in roles]
    supernodes = tuple(WatchedSupernode(Ground(8, 4, 64 * at), 64) for at in (0, 1))
    layout = replace(layout_of(*instances), supernodes=supernodes)
    assert layout.npus() == [range(4), range(64, 68), range(4, 8), range(68, 72)]
