"""Every fitted number names rows that exist, and the documentation lists it as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import asdict

from sim_hw.chips.fit import ChipFit, CollectiveFit
from sim_hw.chips.sheet import CHIPS as CHIP_SHEETS
from sim_hw.figure import Figure
from sim_hw.validation.calibration_points import calibration_points
from sim_hw.validation.published_points import published_points

BEGINNINGS = ("cm_", "cm-", "h800_", "gb200_", "gb200-", "h20-", "h200-", "h100-", "atlas", "reuse-", "ttft-")
"""Of names of rows."""

FITS = {sheet.name: sheet.fit for sheet in CHIP_SHEETS if isinstance(sheet.fit, ChipFit)}


def test_rows_named_as_a_source_exist() -> None:
    known = {point.id for point in (*calibration_points(), *published_points())}
    for fit in FITS.values():
        for _, figure in _figures(fit):
            words = figure.source.replace(",", " ").replace(";", " ").split()
            assert {word for word in words if word.startswith(BEGINNINGS) and "*" not in word} <= known


def test_the_documentation_lists_every_number_as_it_is() -> None:
    text = (Path(__file__).parents[4] / "docs" / "validation.md").read_text(encoding="utf-8")
    for name, fit in FITS.items():
        for path, figure in _figures(fit):
            if "left out" not in figure.source:
                assert f"| {name} | `{path}` | {figure.value:.3g} | {figure.unit} | {figure.source} |" in text


def _figures(fit: ChipFit) -> Iterator[tuple[str, Figure]]:
    for name, value in asdict(fit).items():
        if isinstance(value, Figure):
            yield name, value
        elif isinstance(value, CollectiveFit):
            yield from ((f"{name}.{part}", figure) for part, figure in asdict(value).items())
