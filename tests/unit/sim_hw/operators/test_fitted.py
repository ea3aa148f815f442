"""Whose fitted numbers a chip gets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from sim_hw.figure import Figure
from sim_hw.hardware.chip import Chip
from sim_hw.hardware.chips import ASCEND_910C, CHIPS, GB200, H100, H800
from sim_hw.operators.fitted import FITS, NEAREST_RELATIVE, ChipFit, CollectiveFit, fit_of, relative_of
from sim_hw.validation.calibration_points import calibration_points


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_every_built_in_chip_has_numbers_or_a_relative(chip: Chip) -> None:
    assert (chip.name in FITS) != (chip.name in NEAREST_RELATIVE)


def test_chips_with_rows_have_their_own() -> None:
    fits = [fit_of(chip) for chip in (ASCEND_910C, H800, GB200)]
    assert len({id(fit) for fit in fits}) == 3
    assert fit_of(H100) is fit_of(H800)


def test_a_chip_of_the_users_is_judged_by_its_kind() -> None:
    assert relative_of(replace(ASCEND_910C, name="mine")) == "ascend-910c"
    assert relative_of(replace(GB200, name="mine")) == "h800"


def test_rows_named_as_a_source_exist() -> None:
    known = {point.id for point in calibration_points()}
    for fit in FITS.values():
        for _, figure in _figures(fit):
            words = figure.source.replace(",", " ").replace(";", " ").split()
            assert {word for word in words if word.startswith(("cm_", "h800_", "gb200_")) and "*" not in word} <= known


def test_the_documentation_lists_every_number_as_it_is() -> None:
    text = (Path(__file__).parents[4] / "docs" / "validation.md").read_text(encoding="utf-8")
    for name, fit in FITS.items():
        for path, figure in _figures(fit):
            if "left out" not in figure.source:
                assert f"| {name} | `{path}` | {figure.value:.3g} | {figure.unit} | {figure.source} |" in text


def _figures(fit: ChipFit) -> Iterator[tuple[str, Figure]]:
    for field in fields(ChipFit):
        value = getattr(fit, field.name)
        if isinstance(value, Figure):
            yield field.name, value
        elif isinstance(value, CollectiveFit):
            yield from ((f"{field.name}.{part.name}", getattr(value, part.name)) for part in fields(CollectiveFit))
