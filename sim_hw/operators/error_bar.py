"""How sure a prediction is: the spread of the rival fits of its chip (`sim_hw.chips.fit`)."""

from __future__ import annotations

from sim_hw.chips.chip import Chip
from sim_hw.chips.sheet import fitted_sheet
from sim_hw.figure import Confidence, Figure

FIT_ERROR = Figure(
    0.03, "1", "what the fit itself misses: twice the mean error over the calibration rows", Confidence.ESTIMATE
)

BORROWED_ERROR = Figure(
    0.45,
    "1",
    "a chip without a row of its own came out 25 to 70 % too fast in trial fits; the middle of that",
    Confidence.ESTIMATE,
)


def error_bar(chip: Chip, predicted: float, rival_predictions: list[float]) -> float:
    """The largest relative distance of a rival's prediction; no less than the fit's own error, or a borrowed fit's."""
    least = FIT_ERROR if chip.name == fitted_sheet(chip).name else BORROWED_ERROR
    return max([least.value, *(abs(rival / predicted - 1.0) for rival in rival_predictions)])
