"""The named constants of a chip's software that measurements may change, each with what is known of it before any.

Few of the numbers of a `ChipFit` are here: those that differ from engine to engine, or that no published row of the
chip tells. Peaks, line rates and what the software is (`is_staged_prefill`, the plane) are never fitted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import exp, log
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.chip import Chip
from sim_hw.chips.fit import NO_MEASUREMENT, ChipFit, fitted
from sim_hw.chips.sheet import fit_of, fitted_sheet
from sim_hw.figure import Confidence, Figure


class Constant(Struct, frozen=True):
    """A normal distribution of a number, or of its logarithm where `is_relative`; `spread` is its standard deviation,
    relative or in `unit`. `name` is the field of `ChipFit`, or `dispatch.` or `combine.` and that of `CollectiveFit`.
    """

    name: str
    unit: str
    mean: float
    spread: float
    is_relative: bool
    low: float
    high: float
    source: str

    def at(self, deviations: float) -> float:
        """The value so many standard deviations from the mean, within the bounds."""
        value = self.mean * exp(self.spread * deviations) if self.is_relative else self.mean + self.spread * deviations
        return min(max(value, self.low), self.high)

    def deviations(self, value: float) -> float:
        """The inverse of `at`, within the bounds."""
        if self.is_relative:
            return log(value / self.mean) / self.spread
        return (value - self.mean) / self.spread


class _Kind(Struct, frozen=True):
    """How much is known of one constant, as standard deviations: by rows of the chip's own engine (`own`), where the
    number is assumed or another chip's (`assumed`), and from engine to engine on one chip (`engines`)."""

    own: float
    assumed: float
    engines: float
    is_relative: bool = True
    low: float = 0.0
    high: float = 1e9


_SHARE: Final = 0.999

_KINDS: Final[Mapping[str, _Kind]] = {
    "matrix_efficiency": _Kind(0.05, 0.15, 0.15, high=_SHARE),
    "attention_efficiency": _Kind(0.05, 0.20, 0.30, high=_SHARE),
    "memory_efficiency": _Kind(0.04, 0.10, 0.10, high=_SHARE),
    "vector_efficiency": _Kind(0.10, 0.25, 0.30, high=_SHARE),
    "request_s": _Kind(0.20, 0.50, 0.70),
    "kv_token_s": _Kind(0.1e-9, 0.2e-9, 0.5e-9, is_relative=False),
    "block_s": _Kind(5e-6, 30e-6, 80e-6, is_relative=False),
    "contended_share": _Kind(0.30, 0.50, 0.50, high=1.0),
    "iteration_s": _Kind(0.3e-3, 0.6e-3, 3e-3, is_relative=False),
    "drafting_s": _Kind(1e-3, 3e-3, 5e-3, is_relative=False),
    "cached_moves": _Kind(0.20, 0.40, 0.40, low=0.1),
    "pass_s": _Kind(5e-3, 10e-3, 30e-3, is_relative=False),
    "text_spread": _Kind(0.15, 0.30, 0.30),
    "dispatch.fixed_s": _Kind(0.07, 0.30, 0.40),
    "dispatch.far_row_s": _Kind(0.20, 0.50, 0.50),
    "combine.fixed_s": _Kind(0.07, 0.30, 0.40),
    "combine.far_row_s": _Kind(0.20, 0.50, 0.50),
}
"""Relative ones are shares of the number. Between engines: SGLang takes 100 us for each block of a layer on Hopper and
CloudMatrix-Infer none on a 910C; DeepSeek's own engine and SGLang differ as much in what a step takes besides."""

CALIBRATION_SOURCE: Final = "measurements of the user"


def constants_of(chip: Chip, *, of_any_engine: bool = False) -> tuple[Constant, ...]:
    """What may be fitted of `chip`, as its sheet has it, with how sure that is for the engine of its rows; or, with
    `of_any_engine`, for one of which nothing is known."""
    base, is_own = fit_of(chip), fitted_sheet(chip).name == chip.name
    return tuple(
        _constant(name, figure, kind, is_own=is_own, of_any_engine=of_any_engine)
        for name, kind in _KINDS.items()
        if (figure := figure_at(base, name)).value or not kind.is_relative
    )


def _constant(name: str, figure: Figure, kind: _Kind, *, is_own: bool, of_any_engine: bool) -> Constant:
    spread = kind.own if is_own and rests_on_rows(figure) else kind.assumed
    spread = max(spread, kind.engines) if of_any_engine else spread
    return Constant(name, figure.unit, figure.value, spread, kind.is_relative, kind.low, kind.high, figure.source)


def rests_on_rows(figure: Figure) -> bool:
    """Whether published rows of the chip fixed it, rather than an assumption or another chip's rows."""
    if NO_MEASUREMENT in figure.source or figure.source.startswith("assumed"):
        return False
    return figure.confidence is not Confidence.ESTIMATE or re.search(r"\brows?\b", figure.source) is not None


def figure_at(fit: ChipFit, name: str) -> Figure:
    """The number of that name, as in `Constant`."""
    value: Any = fit
    for part in name.split("."):
        value = getattr(value, part)
    return value


def with_constants(fit: ChipFit, values: Mapping[str, float], source: str = CALIBRATION_SOURCE) -> ChipFit:
    """The same fit with other values by name, as in `Constant`."""
    changed: dict[str, Any] = {}
    for name, value in values.items():
        field, _, inner = name.partition(".")
        figure = fitted(value, figure_at(fit, name).unit, source)
        changed[field] = replace(changed.get(field, getattr(fit, field)), **{inner: figure}) if inner else figure
    return replace(fit, **changed)


def known_constants() -> tuple[str, ...]:
    """Names of all that may be fitted on any chip."""
    return tuple(_KINDS)
