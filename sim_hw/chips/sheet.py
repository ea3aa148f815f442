"""The sheet of a chip, with everything that is known of it; the catalog of all sheets; what is looked up there.

A chip of a user's own has no sheet: it takes the numbers of a relative of the same kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

from sim_hw.catalog import SheetCatalog
from sim_hw.chips.calibration import CalibratedChip, Calibration, calibrated_chip
from sim_hw.chips.chip import Chip
from sim_hw.chips.fit import ChipFit, PowerFit, StageErrors
from sim_hw.figure import Figure


class ChipSheet(Struct, frozen=True, kw_only=True):
    """One chip. Where nothing was measured of it, `fit` and `power_fit` name the chip whose numbers it takes."""

    chip: Chip
    maker: str
    """As the exporters of metrics call it: ascend, nvidia."""
    fit: ChipFit | str
    rivals: Mapping[str, ChipFit] = field(default_factory=dict[str, ChipFit])
    """Other numbers that explain the rows of `fit` about as well, by what sets them apart."""
    engine: str = ""
    """Whose numbers `fit` are."""
    engines: Mapping[str, Calibration] = field(default_factory=dict[str, Calibration])
    """What published rows of other engines on the chip made of its numbers, by the name that `--calibration` takes."""
    power_fit: PowerFit | str
    errors: StageErrors | None = None
    """The least error bars of what is predicted of it; None: those of numbers that were borrowed."""
    decode_draw: Figure | None = None
    """Its share of TDP in decode over that of other chips (`sim_hw.power.phase_power`), where it differs."""
    rents: Mapping[str, Figure] = field(default_factory=dict[str, Figure])
    """USD of one NPU for an hour, by kind of contract."""

    @property
    def name(self) -> str:
        """The chip's."""
        return self.chip.name


CHIPS: Final = SheetCatalog[ChipSheet]("chip", "sim_hw.chips")
"""Everything that `--cluster` files may name."""

_WITH_CUBE_CORES: Final = "ascend-910c"
_WITHOUT: Final = "h800"


def find_chip(name: str) -> Chip:
    """The chip of that name; `UnknownNameError` lists the known ones."""
    return CHIPS.find(name).chip


def sheet_of(chip: Chip) -> ChipSheet:
    """Its own sheet, or that of a relative: by whether it has cube cores."""
    return CHIPS.get(chip.name) or CHIPS.find(_WITHOUT if chip.die.cube_cores is None else _WITH_CUBE_CORES)


def fitted_sheet(chip: Chip) -> ChipSheet:
    """The sheet whose fit holds for `chip`: its own, or its relative's."""
    sheet = sheet_of(chip)
    return CHIPS.find(sheet.fit) if isinstance(sheet.fit, str) else sheet


def fit_of(chip: Chip) -> ChipFit:
    """The numbers that a user's measurements gave `chip`, those of its sheet, or of its nearest relative."""
    if isinstance(chip, CalibratedChip):
        return chip.calibration.fit
    fit = fitted_sheet(chip).fit
    assert isinstance(fit, ChipFit), "a chip whose fit others take has one of its own"
    return fit


def engine_of(chip: Chip) -> str:
    """Whose numbers `fit_of` gives for a chip that nobody has measured."""
    return fitted_sheet(chip).engine


def chip_under(chip: Chip, engine: str) -> CalibratedChip:
    """`chip` with the numbers of another engine than its sheet's; KeyError if no rows of it are published."""
    return calibrated_chip(chip, sheet_of(chip).engines[engine])


def known_engines() -> dict[str, list[str]]:
    """Chips that have numbers of it, by the name of an engine."""
    found: dict[str, list[str]] = {}
    for sheet in CHIPS:
        for name in sheet.engines:
            found.setdefault(name, []).append(sheet.name)
    return found


def rivals_of(chip: Chip) -> tuple[ChipFit, ...]:
    """The rivals of `fit_of(chip)`; of what a user measured, fits one standard deviation away."""
    if isinstance(chip, CalibratedChip):
        return chip.calibration.one_spread_away
    return tuple(fitted_sheet(chip).rivals.values())


def power_fit(chip: Chip) -> PowerFit:
    """The numbers of a chip's power, or of its nearest relative's."""
    fit = sheet_of(chip).power_fit
    if isinstance(fit, str):
        fit = CHIPS.find(fit).power_fit
    assert isinstance(fit, PowerFit), "a chip whose power fit others take has one of its own"
    return fit


def rents_of(chip: Chip) -> Mapping[str, Figure]:
    """USD of one NPU for an hour, by kind of contract; empty where none is published."""
    sheet = CHIPS.get(chip.name)
    return sheet.rents if sheet else {}


def makers() -> list[str]:
    """Of all known chips."""
    return sorted({sheet.maker for sheet in CHIPS})


def maker_of(chip: Chip) -> str:
    """Who made it, as its file or its sheet says; else by the kind of its cores; empty where they do not tell."""
    is_known = chip.name in CHIPS or chip.die.cube_cores or chip.die.streaming_multiprocessors
    return chip.maker or (sheet_of(chip).maker if is_known else "")
