"""Whose numbers a chip gets, and who made it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sim_hw.chips.ascend import ASCEND_910C
from sim_hw.chips.chip import Chip
from sim_hw.chips.fit import ChipFit, PowerFit
from sim_hw.chips.nvidia import GB200, GB300, H20, H100, H200, H800
from sim_hw.chips.sheet import CHIPS, ChipSheet, fit_of, fitted_sheet, maker_of, power_fit, rents_of, rivals_of


@pytest.mark.parametrize("sheet", CHIPS, ids=lambda sheet: sheet.name)
def test_a_sheet_has_numbers_of_its_own_or_names_a_chip_that_has(sheet: ChipSheet) -> None:
    assert isinstance(fit_of(sheet.chip), ChipFit)
    assert isinstance(power_fit(sheet.chip), PowerFit)
    assert bool(sheet.rivals) == isinstance(sheet.fit, ChipFit)
    assert rivals_of(sheet.chip)
    assert all(rent.value > 0 and rent.source for rent in sheet.rents.values())
    assert maker_of(replace(sheet.chip, scale_up_network="some other network")) == sheet.maker


def test_chips_with_rows_have_their_own() -> None:
    fits = [fit_of(chip) for chip in (ASCEND_910C, H800, H100, H20, GB200)]
    assert len({id(fit) for fit in fits}) == 5
    assert fit_of(H200) is fit_of(H100)
    assert rivals_of(H100) is not rivals_of(GB200)


def test_a_chip_of_the_users_is_judged_by_its_kind() -> None:
    assert fitted_sheet(replace(ASCEND_910C, name="mine")).name == "ascend-910c"
    assert fitted_sheet(replace(GB200, name="mine")).name == "h800"
    assert rents_of(replace(H100, name="mine")) == {}


@pytest.mark.parametrize(("chip", "maker"), [(ASCEND_910C, "ascend"), (GB200, "nvidia"), (H20, ""), (GB300, "")])
def test_the_maker_of_a_chip_of_the_users_is_told_by_its_cores_or_by_the_file(chip: Chip, maker: str) -> None:
    own = replace(chip, name="mine", scale_up_network="some other network")
    assert maker_of(own) == maker
    assert maker_of(replace(own, maker="ascend")) == "ascend"
