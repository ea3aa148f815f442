"""An instance takes all of its NPUs, 8 from each node."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cluster.existing.bundles import bundle_text, bundles_of, why_no_resource, why_no_room
from deploy.cluster.existing.spec import ExistingSpec

SPEC = ExistingSpec("auto")


@given(st.integers(1, 400), st.sampled_from([1.0, 0.25, 2.0]))
def test_bundles_hold_all_npus_and_none_more_than_a_node(num_npus: int, amount: float) -> None:
    bundles = bundles_of(num_npus, ExistingSpec("auto", amount=amount))
    assert sum(one["NPU"] for one in bundles) == num_npus * amount
    assert len(bundles) == -(-num_npus // 8)
    assert all(0 < one["NPU"] <= 8 * amount for one in bundles)
    assert bundles[0]["NPU"] == min(num_npus, 8) * amount


def test_a_share_of_cpus_stands_for_npus() -> None:
    assert bundles_of(16, ExistingSpec("auto", resource="CPU", amount=0.125)) == [{"CPU": 1.0}, {"CPU": 1.0}]
    assert bundle_text({"CPU": 1.0}) == "1 CPU"


@pytest.mark.parametrize("num_hosts", [1, 5])
def test_who_waits_is_told_with_what_is_free_where(num_hosts: int) -> None:
    waiting = {f"prefill-{index}": bundles_of(16, SPEC) for index in range(num_hosts)}
    line = why_no_room(waiting, {"n1": 16.0, "n2": 8.0}, {"n1": 8.0}, SPEC)
    assert "no room for prefill-0" in line
    assert ("and 2 more" in line) == (num_hosts == 5)
    assert "prefill-0: 2 x 8 NPU, placement pack" in line
    assert "8 of 16 on n1, 0 of 8 on n2" in line
    assert "\n" not in line


def test_a_cluster_without_the_resource_says_how_nodes_offer_it() -> None:
    line = why_no_resource("h:6379", SPEC)
    assert """ray start --address=HOST:PORT --resources='{"NPU": 64}'""" in line
    assert "--npu-resource CPU=0.05" in line
