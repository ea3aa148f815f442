"""Sites are found by name and are plausible."""

from __future__ import annotations

import pytest

from sim_hw.errors import UnknownNameError
from sim_hw.power.sites import SITES, find_site


def test_every_site_is_found_and_plausible() -> None:
    assert [find_site(site.name) for site in SITES] == list(SITES)
    for site in SITES:
        assert 1.0 < site.pue.value < 1.6
        assert 0.05 <= site.usd_per_kwh.value <= 0.1


def test_an_unknown_site_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="unknown site 'china'; did you mean china-west"):
        find_site("china")
