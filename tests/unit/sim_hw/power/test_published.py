"""Our sums and ratios beside the published ones."""

from __future__ import annotations

import pytest

from sim_hw.hardware.supernodes import CLOUDMATRIX384, GB200_NVL72
from sim_hw.power.power_tree import power_tree
from sim_hw.power.published import (
    CLOUDMATRIX_AS_PUBLISHED,
    NVL72_AS_PUBLISHED,
    PUBLISHED_RATIOS,
    PUBLISHED_TOTALS,
    catalogue_basis,
)


@pytest.mark.parametrize("supernode", [CLOUDMATRIX384, GB200_NVL72], ids=lambda one: one.name)
def test_each_published_total_is_met_within_a_percent(supernode: object) -> None:
    assert supernode in (CLOUDMATRIX384, GB200_NVL72)
    entry = CLOUDMATRIX384 if supernode is CLOUDMATRIX384 else GB200_NVL72
    tree = power_tree(entry)
    for published in PUBLISHED_TOTALS[entry.name]:
        assert published.of(tree) == pytest.approx(published.watts.value, rel=0.01)


def test_published_ratios_are_met_on_their_own_basis() -> None:
    ratios = CLOUDMATRIX_AS_PUBLISHED.ratios_to(NVL72_AS_PUBLISHED)
    assert ratios == {name: pytest.approx(one.value, rel=0.03) for name, one in PUBLISHED_RATIOS.items()}


def test_the_catalogue_counts_fewer_operations_and_less_memory() -> None:
    ratios = catalogue_basis(CLOUDMATRIX384).ratios_to(catalogue_basis(GB200_NVL72))
    assert ratios["W per FLOP/s"] == pytest.approx(2.55, abs=0.01)
    assert ratios["W per B of HBM"] == pytest.approx(1.05, abs=0.01)


def test_ratios_of_a_system_to_itself_are_one() -> None:
    basis = catalogue_basis(GB200_NVL72)
    assert set(basis.ratios_to(basis).values()) == {1.0}
