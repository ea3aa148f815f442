"""Short names of sources are found as words."""

from __future__ import annotations

from sim_hw.sources import named_in


def test_short_names_are_found_as_words() -> None:
    assert list(named_in(["AIC, IX", "SMART readings; CM v2 table 1"])) == ["CM", "AIC", "IX"]
    assert named_in([]) == {}
