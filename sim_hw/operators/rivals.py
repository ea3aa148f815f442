"""Other sets of numbers that fit the calibration rows about as well as `fitted`: their spread is the error bar.

Each rival explains the same rows by another mechanism where the rows cannot tell the two apart, with the numbers beside
it fitted anew. What all of them leave out, the bar leaves out too.
"""

from __future__ import annotations

from dataclasses import replace

from sim_hw.figure import Confidence, Figure
from sim_hw.hardware.chip import Chip
from sim_hw.operators.fitted import ASCEND_910C_FIT, FITS, GB200_FIT, H800_FIT, ChipFit, CollectiveFit, relative_of

FIT_ERROR = Figure(
    0.03, "1", "what the fit itself misses: twice the mean error over the calibration rows", Confidence.ESTIMATE
)

BORROWED_ERROR = Figure(
    0.45,
    "1",
    "a chip without a row of its own came out 25 to 70 % too fast in trial fits; the middle of that",
    Confidence.ESTIMATE,
)


def _with(fit: ChipFit, **values: float) -> ChipFit:
    return replace(fit, **{name: replace(getattr(fit, name), value=value) for name, value in values.items()})


def _with_far_latency(fit: ChipFit, share: float) -> ChipFit:
    """That share of what distance costs a batch of 128 rows is a latency, the rest belongs to rows."""

    def moved(collective: CollectiveFit) -> CollectiveFit:
        row_s = collective.far_row_s.value
        return replace(
            collective,
            far_s=replace(collective.far_s, value=share * 128 * row_s),
            far_row_s=replace(collective.far_row_s, value=(1.0 - share) * row_s),
        )

    return replace(fit, dispatch=moved(fit.dispatch), combine=moved(fit.combine))


ASCEND_910C_RIVALS = {
    "bandwidth follows cores up to 20 of 24": _with(
        ASCEND_910C_FIT, saturating_core_share=20 / 24, request_s=2.66e-6, iteration_s=0.97e-3
    ),
    "distance costs half a latency": _with(
        _with_far_latency(ASCEND_910C_FIT, 0.5), request_s=2.69e-6, iteration_s=0.38e-3
    ),
    "half of a request's cost follows its context": _with(
        ASCEND_910C_FIT, request_s=2.38e-6, kv_token_s=1.38e-6 / 4096, iteration_s=0.72e-3
    ),
    "skew follows texts, cached or not": _with(ASCEND_910C_FIT, cached_text_share=1.0, cached_moves=5.54),
    "a pass costs time, a cached token does not": _with(
        ASCEND_910C_FIT, cached_moves=1.0, pass_s=0.272, vector_efficiency=0.657, text_spread=3.33, request_s=2.75e-6
    ),
}

H800_RIVALS = {
    "decode fitted on the TPOT": _with(H800_FIT, request_s=1.81e-6),
    "slower products, faster vectors": _with(
        H800_FIT, matrix_efficiency=0.65, vector_efficiency=0.592, request_s=2.25e-6
    ),
    "short launches": _with(H800_FIT, request_s=2.28e-6, iteration_s=0.3e-3),
}

GB200_RIVALS = {
    "slower products": _with(GB200_FIT, matrix_efficiency=0.5, request_s=0.577e-6),
    "short launches": _with(GB200_FIT, request_s=0.713e-6, iteration_s=0.3e-3),
    "long launches": _with(GB200_FIT, request_s=0.471e-6, iteration_s=20e-3),
}

RIVALS = {"ascend-910c": ASCEND_910C_RIVALS, "h800": H800_RIVALS, "gb200": GB200_RIVALS}
"""By chip, as `fitted.FITS`."""


def rivals_of(chip: Chip) -> tuple[ChipFit, ...]:
    """The rivals of `fit_of(chip)`."""
    return tuple(RIVALS[relative_of(chip)].values())


def error_bar(chip: Chip, predicted: float, rival_predictions: list[float]) -> float:
    """The largest relative distance of a rival's prediction; no less than the fit's own error, or a borrowed fit's."""
    least = FIT_ERROR if chip.name in FITS else BORROWED_ERROR
    return max([least.value, *(abs(rival / predicted - 1.0) for rival in rival_predictions)])
