"""Plans: what they mean, and one line for each way to get them wrong."""

from __future__ import annotations

import pytest

from deploy.settings.plan import MAX_SUPERNODES, Plan, SupernodePlan, parse_plan
from scheduler.protocol.errors import ConfigError
from sim_hw.clusters.atlas_800i_a2 import ATLAS_800I_A2


def test_terms_add_up() -> None:
    assert parse_plan("2x16p + 1x32p+2x64d+ 4c+2c", 384, 48) == Plan((SupernodePlan((16, 16, 32), (64, 64), 6),))
    assert parse_plan("1x16p+1x16d", 32, 4).num_npus == 32


def test_groups_are_supernodes() -> None:
    mixed = parse_plan("2*(1x16p+1x16d+4c) + 1*(24x16p)", 384, 48)
    both, prefill = SupernodePlan((16,), (16,), 4), SupernodePlan((16,) * 24, (), 0)
    assert mixed == Plan((both, both, prefill))
    assert (mixed.num_npus, mixed.num_cache_servers) == (64 + 384, 8)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "cannot read the term ''; write terms like"),
        ("x", "cannot read the term 'x'"),
        ("1x16p+", "cannot read the term ''"),
        ("2*1x16p+1x16d", "cannot read the term '2*1x16p'"),
        ("2*(1x16p+1x16d", "cannot read the group '2*(1x16p+1x16d'; write supernodes like"),
        ("2*(1x16p+1x16d)+1x16d", "cannot read the group '1x16d'"),
        ("2*(1x16p+1x16d)+", "cannot read the group '2*(1x16p+1x16d)+'"),
        ("2*(1x16p+1x16d)3*(1x16p)", "cannot read the group"),
        ("0*(1x16p+1x16d)", "cannot read the group '0*(1x16p+1x16d)'"),
        ("2*(25x16p)", "takes 400 NPUs, the cluster has 384"),
        ("2*(1x16p)", "needs at least one prefill (p) and one decode (d)"),
        (f"{MAX_SUPERNODES + 1}*(1x16p+1x16d)", f"more than {MAX_SUPERNODES} supernodes"),
        ("-1x16p+1x16d", "cannot read the term '-1x16p'"),
        ("\u0663x16p+1x16d", "cannot read the term"),
        ("9" * 5000 + "x16p", "cannot read the term '999999999999999999999999999999999999...; write"),
        ("0x16p+1x16d", "the term '0x16p' has no NPUs"),
        ("1x0p+1x16d", "the term '1x0p' has no NPUs"),
        ("1x16p", "needs at least one prefill (p) and one decode (d) instance"),
        ("48c", "needs at least one prefill"),
        ("999999999x999999999p+1x16d", "the cluster has 384; take away"),
        ("20x16p+1x160d", "takes 480 NPUs, the cluster has 384; take away 96 or more"),
        ("1x16p+1x16d+49c", "49 cache servers, but the cluster has 48 nodes; at most 48c"),
    ],
)
def test_what_no_cluster_could_run_is_one_line(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_plan(text, 384, 48)
    assert str(caught.value).startswith("plan '")
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 300


def test_terms_of_one_cluster_are_one_supernode() -> None:
    plan = parse_plan(
        "4x32p@ascend-910b + 1x160d+2x16p + 1x32d@atlas-800i-a2+48c@cloudmatrix384", 384, 48, "cloudmatrix384"
    )
    other = SupernodePlan((32,) * 4, (32,), 0, (), ATLAS_800I_A2)
    assert plan == Plan((other, SupernodePlan((16, 16), (160,), 48)))
    assert plan.has_several_clusters
    assert not parse_plan("1x16p@ascend-910c+1x160d", 384, 48, "cloudmatrix384").has_several_clusters
    fleet = parse_plan("2*(1x32p@ascend-910b+1x160d)", 384, 48)
    assert [one.num_npus for one in fleet.supernodes] == [32, 160, 32, 160]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1x32p@ascend-910x+1x16d", "@ascend-910x: unknown cluster 'ascend-910x'"),
        ("1x32p@+1x16d", "cannot read the term '1x32p@'"),
        ("13x32p@ascend-910b+1x16d", "takes 416 NPUs, atlas-800i-a2 has 384; take away 32"),
        ("49c@ascend-910b+1x16p+1x16d", "49 cache servers, but atlas-800i-a2 has 48 nodes"),
        (f"{MAX_SUPERNODES // 2 + 1}*(1x16p@ascend-910b+1x16d)", f"more than {MAX_SUPERNODES} supernodes"),
    ],
)
def test_what_a_named_cluster_could_not_run_is_one_line(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_plan(text, 384, 48)
    assert problem in str(caught.value)
