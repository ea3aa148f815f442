"""Plans: what they mean, and one line for each way to get them wrong."""

from __future__ import annotations

import pytest

from deploy.settings.plan import MAX_SUPERNODES, Plan, SupernodePlan, parse_plan
from scheduler.protocol.errors import ConfigError


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
