"""Our sums and ratios beside the published ones."""

from __future__ import annotations

import pytest

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.published import PublishedTotal
from sim_hw.clusters.sheet import CLUSTERS, ClusterSheet
from sim_hw.power.power_tree import power_tree
from sim_hw.power.published import catalog_basis, provisioned_within

PUBLISHED = [(sheet, total) for sheet in CLUSTERS for total in sheet.published_totals]


@pytest.mark.parametrize(("sheet", "published"), PUBLISHED, ids=lambda one: getattr(one, "name", ""))
def test_each_published_total_is_met_within_a_percent(sheet: ClusterSheet, published: PublishedTotal) -> None:
    tree = power_tree(sheet.supernode)
    assert provisioned_within(tree, published) == pytest.approx(published.watts.value, rel=0.01)


def test_published_ratios_are_met_on_their_own_basis() -> None:
    published = CLUSTERS.find("cloudmatrix384").published_ratios
    assert published is not None
    ratios = published.basis.ratios_to(published.other_basis)
    assert ratios == {name: pytest.approx(one.value, rel=0.03) for name, one in published.ratios.items()}


def test_the_catalog_counts_fewer_operations_and_more_memory() -> None:
    ratios = catalog_basis(CLOUDMATRIX384).ratios_to(catalog_basis(GB200_NVL72))
    assert ratios["W per FLOP/s"] == pytest.approx(2.55, abs=0.01)
    assert ratios["W per B of HBM"] == pytest.approx(1.12, abs=0.01)


def test_ratios_of_a_system_to_itself_are_one() -> None:
    basis = catalog_basis(GB200_NVL72)
    assert set(basis.ratios_to(basis).values()) == {1.0}
