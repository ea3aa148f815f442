"""The published performance points that the model is fitted on and tested against, from the data file beside this."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from msgspec import Struct

MODEL_CACHING = "model_caching"
"""The group of points about loading models, which no part of this model predicts."""


class CalibrationPoint(Struct, frozen=True):
    """One published value. `unit` is as printed ("us", "tok/s/NPU"); `confidence` counts the texts that agree."""

    id: str
    group: str
    system: str
    metric: str
    value: float
    unit: str
    source: str
    confidence: str
    conditions: dict[str, Any]
    note: str


@cache
def calibration_points() -> tuple[CalibrationPoint, ...]:
    """All of them, in the order of the file."""
    text = files("sim_hw.validation").joinpath("calibration_points.json").read_text(encoding="utf-8")
    names = CalibrationPoint.__struct_fields__
    return tuple(CalibrationPoint(**{name: row.get(name, "") for name in names}) for row in json.loads(text)["points"])
