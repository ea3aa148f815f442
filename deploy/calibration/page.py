"""A calibration as people read it, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import asdict

from deploy.calibration.advice import Advice
from deploy.calibration.calibrate import Calibrated, FittedChip, Residual
from deploy.calibration.measurement import Point
from deploy.hardware.quantities import count, quantity
from deploy.terminal.table import table
from sim_hw.chips.constants import Constant
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint

Advices = Mapping[str, Sequence[Advice]]

TOLD: Final = 0.9
"""A constant whose spread is more than this share of its prior's was hardly told by the measurements."""


def calibration_page(found: Calibrated, advices: Advices) -> str:
    """Block by block for each chip, ending in a newline."""
    blocks: list[str] = []
    for one in found.chips:
        blocks += [
            _residuals(one.chip, found.residuals[one.chip]),
            _constants(one),
            *([_advice(advices[one.chip])] if advices[one.chip] else []),
        ]
    return "\n\n".join(blocks) + "\n"


def calibration_document(found: Calibrated, advices: Advices) -> dict[str, Any]:
    """Plain values."""
    return {
        "measurements": found.digest,
        "chips": {
            one.chip: {
                "residuals": [_residual(row) for row in found.residuals[one.chip]],
                "constants": {
                    constant.name: {
                        "unit": constant.unit,
                        "prior": constant.mean,
                        "prior_spread": constant.spread,
                        "is_relative": constant.is_relative,
                        "value": one.values[constant.name],
                        "spread": one.spreads[constant.name] * constant.spread,
                        "source": constant.source,
                    }
                    for constant in one.constants
                },
                "stage_spread": asdict(one.stage_spread),
                "next": [
                    {
                        "point": point_fields(advice.point),
                        "spread": advice.spread,
                        "mean_spread_before": advice.before,
                        "mean_spread_after": advice.after,
                    }
                    for advice in advices[one.chip]
                ],
            }
            for one in found.chips
        },
    }


def point_fields(point: Point) -> dict[str, Any]:
    """As a row of measurements names them."""
    if isinstance(point, DecodePoint):
        load: dict[str, Any] = {"batch": point.batch_per_npu, "context": point.context_tokens, "mtp": point.mtp_k}
        return {"stage": "decode", "npus": point.num_npus, "ep": point.ep, **load}
    if isinstance(point, PrefillPoint):
        load = {"batch_tokens": point.batch_tokens_per_npu, "prompt": point.prompt_tokens, "reuse": point.reuse}
        return {"stage": "prefill", "npus": point.num_npus, "ep": point.ep, **load}
    return {"stage": "operator", "operator": point.operator, "ep": point.ep, "batch": point.rows}


def _residual(row: Residual) -> dict[str, Any]:
    return {**asdict(row), "error_before": row.error_before, "error_after": row.error_after}


def _residuals(chip: str, rows: Sequence[Residual]) -> str:
    head = (f"Measured on {chip}", "", "measured", "before", "error", "after", "error")
    lines = [
        (
            f"  {row.name}",
            row.metric.removesuffix("_s"),
            _shown(row, row.measured),
            _shown(row, row.before),
            f"{100 * row.error_before:+.1f} %",
            _shown(row, row.after),
            f"{100 * row.error_after:+.1f} %",
        )
        for row in rows
    ]
    worst = max(abs(row.error_after) for row in rows)
    mean = sum(abs(row.error_after) for row in rows) / len(rows)
    foot = f"  mean absolute error {100 * mean:.1f} %, largest {100 * worst:.1f} %"
    return table([head, *lines], right=(2, 3, 4, 5, 6)) + "\n" + foot


def _shown(row: Residual, value: float) -> str:
    return quantity(value, "tok/s" if row.metric == "tokens_per_s_per_npu" else "s")


def _constants(one: FittedChip) -> str:
    head = ("Constants", "before", "+-", "after", "+-", "")
    rows = [
        (
            f"  {constant.name}",
            _value(constant, constant.mean),
            _spread(constant, 1.0),
            _value(constant, one.values[constant.name]),
            _spread(constant, one.spreads[constant.name]),
            "" if one.spreads[constant.name] < TOLD else "hardly told",
        )
        for constant in one.constants
    ]
    return table([head, *rows], right=(1, 2, 3, 4))


def _value(constant: Constant, value: float) -> str:
    return quantity(value, "s") if constant.unit == "s" and value else f"{value:.4g}"


def _spread(constant: Constant, share: float) -> str:
    spread = share * constant.spread
    if constant.is_relative:
        return f"{100 * spread:.0f} %"
    return quantity(spread, "s") if constant.unit == "s" else f"{spread:.3g}"


def _advice(advices: Sequence[Advice]) -> str:
    head = ("Measure next", "its spread now", "mean spread then")
    rows = [
        (
            f"  {_told(one.point)}",
            f"{100 * one.spread:.1f} %",
            f"{100 * one.after:.1f} %",
        )
        for one in advices
    ]
    foot = f"  mean over all points that were tried: {100 * advices[0].before:.1f} % now"
    return table([head, *rows], right=(1, 2)) + "\n" + foot


def _told(point: Point) -> str:
    fields = point_fields(point)
    stage, operator = fields.pop("stage"), fields.pop("operator", None)
    return ", ".join(
        [operator or stage, *(f"{name.replace('_', ' ')} {count(value)}" for name, value in fields.items())]
    )
