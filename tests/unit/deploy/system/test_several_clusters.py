"""Supernodes of a fleet that differ: each instance is what it is in a plan of its own cluster, and a cluster of another
name but the same figures changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from deploy.run.money import fleet_price
from deploy.settings.load import load_settings
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from deploy.system.fabric import FabricPlan, Placed
from scheduler.protocol.addresses import pool_addresses
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.fabric_messages import Plane
from sim_hw.clusters.atlas_800i_a2 import ATLAS_800I_A2
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from workers.fabric.routes import Routes

MIXED = "4x32p@ascend-910b+1x160d"


def settings(plan: str, **told: Any) -> Settings:
    return load_settings(None, {"plan": plan, "cache": "none", **told})


def twinned(plan: str) -> Settings:
    """With every second supernode a cluster of another name that is the same otherwise."""
    whole = settings(plan)
    twin = replace(CLOUDMATRIX384, name="twin")
    supernodes = tuple(
        replace(one, cluster=twin) if index % 2 else one for index, one in enumerate(whole.hardware.plan.supernodes)
    )
    hardware = replace(whole.hardware, plan=type(whole.hardware.plan)(supernodes, plan))
    return replace(whole, hardware=hardware)


def test_an_instance_is_what_it_is_in_a_plan_of_its_own_cluster() -> None:
    mixed = Blueprint(settings(MIXED), 512)
    of_910b = Blueprint(settings("4x32p+1x32d", cluster="atlas-800i-a2"), 512)
    of_910c = Blueprint(settings("1x16p+1x160d"), 512)
    assert mixed.prefill_infos() == of_910b.prefill_infos()
    (here,), (alone,) = mixed.decode_infos(), of_910c.decode_infos()
    assert (here.num_npus, here.kv_capacity_tokens) == (alone.num_npus, alone.kv_capacity_tokens)
    assert here.pool == 1
    cost, own, other = (one._physics(one.prefill[0]).prefill(32).cost for one in (mixed, of_910b, of_910c))
    assert cost.prefill_ns(8192, 8192 * 4096, 0) == own.prefill_ns(8192, 8192 * 4096, 0)
    assert cost.prefill_ns(8192, 8192 * 4096, 0) > other.prefill_ns(8192, 8192 * 4096, 0)
    assert mixed.kv_bytes_per_token == of_910b.kv_bytes_per_token == of_910c.kv_bytes_per_token


def test_under_a_cap_each_instance_has_the_floor_and_the_peak_of_its_own_chip() -> None:
    def budgets(plan: str, **told: Any) -> dict[str, tuple[int, int, int]]:
        cap = Blueprint(settings(plan, power_cap="500kW", **told), 512)._power_cap()
        assert cap is not None
        return {one.address: (one.floor_w, one.peak_w, one.empty_w) for one in (*cap.prefill, *cap.decode)}

    mixed = budgets(MIXED)
    of_910b, of_910c = budgets("4x32p+1x32d", cluster="atlas-800i-a2"), budgets("1x16p+1x160d")
    assert mixed == {f"prefill-{i}": of_910b["prefill-0"] for i in range(4)} | {"decode-0": of_910c["decode-0"]}


def test_slots_of_a_role_are_on_the_clusters_of_which_the_plan_has_it() -> None:
    blueprint = Blueprint(settings("2x32p@ascend-910b+1x64a@h800+1x160d", autoscaler="queue"), 512)
    stands = {
        (spec.role.value, blueprint.cluster_of(spec).name, spec.num_npus): range(spec.first_npu // 384 * 384, 1152)[
            :384
        ]
        for spec in blueprint.instances
    }
    assert stands == {
        ("prefill", "atlas-800i-a2", 32): range(384),
        ("aggregated", "h800-cluster", 64): range(384, 768),
        ("decode", "cloudmatrix384", 160): range(768, 1152),
    }
    assert [len(of_role) for of_role in (blueprint.prefill, blueprint.aggregated, blueprint.decode)] == [12, 6, 2]
    # Nobody shares NPUs with an instance of another cluster, so no switch of roles can cross.
    taken = [npu for spec in blueprint.instances for npu in range(spec.first_npu, spec.first_npu + spec.num_npus)]
    assert len(taken) == len(set(taken))
    assert blueprint.curves.spare_npu_w == pytest.approx(64 * CLOUDMATRIX384.chip.idle_w.value)


def test_a_cluster_of_the_same_figures_is_the_same_system() -> None:
    plan = "1*(8x16p)+1*(1x160d)"
    alike, twin = Blueprint(settings(plan), 512), Blueprint(twinned(plan), 512)
    assert alike.instances == twin.instances
    assert alike.plane_capacity_bytes_per_s() == twin.plane_capacity_bytes_per_s()
    one, other = (blueprint._fabric for blueprint in (alike, twin))
    assert one.links == other.links
    assert one.kv_transfer == other.kv_transfer
    assert one.capacities_bytes_per_s() == other.capacities_bytes_per_s()
    for npu_w in np.linspace(0.0, 768 * 700.0, 33).tolist():
        assert twin.curves.feed_w(npu_w) == pytest.approx(alike.curves.feed_w(npu_w), rel=1e-9)
    assert twin.curves.spare_npu_w == pytest.approx(alike.curves.spare_npu_w)
    assert twin.curves.plan_share == alike.curves.plan_share
    assert fleet_price(twin).whole.usd_per_s == pytest.approx(fleet_price(alike).whole.usd_per_s)


def test_a_fleet_that_differs_draws_and_costs_what_its_parts_do() -> None:
    mixed = Blueprint(settings(MIXED), 512)
    of_910b = Blueprint(settings("4x32p+1x32d", cluster="atlas-800i-a2"), 512).curves
    of_910c = Blueprint(settings("1x16p+1x160d"), 512).curves
    idle_w = 384 * ATLAS_800I_A2.chip.idle_w.value, 384 * CLOUDMATRIX384.chip.idle_w.value
    assert mixed.curves.feed_w(sum(idle_w)) == pytest.approx(of_910b.feed_w(idle_w[0]) + of_910c.feed_w(idle_w[1]))
    spare_w = 256 * ATLAS_800I_A2.chip.idle_w.value + 224 * CLOUDMATRIX384.chip.idle_w.value
    assert mixed.curves.spare_npu_w == pytest.approx(spare_w)
    waiting = [mixed.curves.resting_in(pool).waiting_w for pool in pool_addresses(2)]
    assert waiting == [ATLAS_800I_A2.chip.waiting_w, CLOUDMATRIX384.chip.waiting_w]
    price = fleet_price(mixed)
    bought = ATLAS_800I_A2.price_usd.value + CLOUDMATRIX384.price_usd.value
    alone = fleet_price(Blueprint(settings("1x16p+1x160d"), 512)).whole.usd_per_s / CLOUDMATRIX384.price_usd.value
    assert price.whole.usd_per_s == pytest.approx(bought * alone)
    # All that a supernode costs is paid by those who are in it.
    per_npu = ATLAS_800I_A2.price_usd.value / 128, CLOUDMATRIX384.price_usd.value / 160
    assert price.weights["prefill"] / price.weights["decode"] == pytest.approx(per_npu[0] / per_npu[1])
    assert 128 * price.weights["prefill"] + 160 * price.weights["decode"] == pytest.approx(288)


def test_kv_is_handed_over_at_the_lesser_of_two_rates_and_lines_keep_their_numbers() -> None:
    die = CLOUDMATRIX384.chip.die
    rate = die.scale_out_bytes_per_s
    slower = replace(die, scale_out_bytes_per_s=replace(rate, value=rate.value / 4))
    slow = replace(CLOUDMATRIX384, name="slow", chip=replace(CLOUDMATRIX384.chip, die=slower))
    plan = FabricPlan(
        slow,
        [Placed("p", 16)],
        [Placed("d", 16, 1), Placed("e", 16)],
        [0, 0],
        Plane.UB,
        clusters=[slow, CLOUDMATRIX384],
    )
    kv = plan.kv_transfer
    whole = kv.stream_bytes_per_s("d", "d")
    assert kv.stream_bytes_per_s("p", "d") == kv.stream_bytes_per_s("p", "e") == whole // 4
    config = plan.config(1000, 61)
    capacities = config.capacities_bytes_per_s()
    assert {capacities[link] for link in kv.sources["p"]} == {whole // 4}
    assert {capacities[link] for link in kv.destinations["d"]} == {whole}
    assert Routes(config).whole_bytes_per_s()[Plane.RDMA] == 768 * (whole + whole // 4)


@pytest.mark.parametrize(
    ("plan", "told", "problem"),
    [
        ("8x16p@h20+1x160d", {}, "h20-cluster keeps KV in fp8 and cloudmatrix384 in bf16"),
        ("4x4p@ascend-910b+1x160d", {}, "on atlas-800i-a2, an instance of 4 NPUs: weights"),
        ("4x8p@gb200-nvl72+1x160d", {}, "nodes of gb200-nvl72 have"),
        ("1x32p@ascend-910b+1x32d@ascend-910b", {}, "give --cluster atlas-800i-a2, and leave out the @"),
        (MIXED, {"power_cap": "200kW"}, "power cap 200kW: 200.0 kW is below the "),
        (MIXED, {"autoscaler": "queue", "autoscaler_min": "prefill=13"}, "there is room for 12; give fewer"),
        (MIXED, {"autoscaler": "queue", "autoscaler_max": "aggregated=2"}, "it has prefill and decode"),
        (MIXED, {"cache": "pool"}, "has no cache servers"),
    ],
)
def test_what_cannot_be_is_one_line(plan: str, told: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Blueprint(load_settings(None, {"plan": plan, "cache": "none", **told}), 512).make_core()
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
