"""Published performance beside the calibration points: chips, engines, batches and contexts of others.

The data file beside this asks each as a question to the model. `use` says what the row was good for: `fitted` (a number
of a chip, or of another engine on it, was fixed with it), `checked` (none was), `not predicted` (the note says what is
missing). `blind` is what the model said before the row was seen, where it was asked then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.calibration import CalibratedChip
from sim_hw.chips.chip import ExpertWeights, Precision
from sim_hw.chips.sheet import chip_under
from sim_hw.clusters.sheet import find_supernode
from sim_hw.clusters.supernode import Overlap, Supernode
from sim_hw.models.published import find_model
from sim_hw.models.shape import ModelShape
from sim_hw.operators.operating_point import Drafter, ExpertBalance
from sim_hw.planes import Plane
from sim_hw.steps.aggregated_prediction import (
    AggregatedPrediction,
    largest_aggregated_batch,
    predict_aggregated,
)
from sim_hw.steps.aggregated_step import aggregated_point
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.predict import (
    DecodePrediction,
    PrefillPrediction,
    predict_decode,
    predict_operator,
    predict_prefill,
)

NOT_PREDICTED: Final = "not predicted"

_SCALES: Final = {"ms": 1e3, "us": 1e6}
"""From seconds to the unit of a row."""

_KINDS: Final[Mapping[str, Any]] = {
    "overlap": Overlap,
    "eplb": ExpertBalance,
    "cache_plane": Plane,
    "drafter": Drafter,
}

MODEL: Final = "deepseek-r1"


class PublishedPoint(Struct, frozen=True, kw_only=True):
    """One published value, or a range of it. `point` are fields of an operating point, `over` those of a ratio's
    denominator."""

    id: str
    cluster: str
    engine: str
    stage: str
    unit: str
    low: float
    high: float
    use: str
    source: str
    metric: str = ""
    point: dict[str, Any] = {}
    over: dict[str, Any] = {}
    under: str = ""
    """The engine whose numbers are asked, as `ChipSheet.engines` names it; empty: those of the chip's sheet."""
    model: str = MODEL
    precision: str = ""
    kv_precision: str = ""
    expert_weights: str = ""
    blind: float | None = None
    note: str = ""


class PublishedRow(Struct, frozen=True):
    """A point beside what the model says; `error` is 0 within a published range, None where nothing is predicted."""

    point: PublishedPoint
    chip: str
    predicted: float | None
    error: float | None
    blind_error: float | None
    error_bar: float | None


@cache
def published_points() -> tuple[PublishedPoint, ...]:
    """All of them, in the order of the file."""
    text = files("sim_hw.validation").joinpath("published_points.json").read_text(encoding="utf-8")
    return tuple(PublishedPoint(**row) for row in json.loads(text)["points"])


def published_rows(clusters: Callable[[str], Supernode] = find_supernode) -> tuple[PublishedRow, ...]:
    """Each point beside its prediction, on clusters as `clusters` knows them by name."""
    return tuple(_row(point, clusters(point.cluster)) for point in published_points())


def published_prediction(point: PublishedPoint, cluster: Supernode) -> tuple[float, float]:
    """In the unit of the point, and its error bar."""
    predicted, bar = _predict(point, point.point, cluster)
    if point.over:
        below, other_bar = _predict(point, point.over, cluster)
        return predicted / below, max(bar, other_bar)
    return predicted * _SCALES.get(point.unit, 1.0), bar


def _row(point: PublishedPoint, cluster: Supernode) -> PublishedRow:
    chip = cluster.chip.name
    if point.use == NOT_PREDICTED:
        return PublishedRow(point, chip, None, None, None, None)
    predicted, bar = published_prediction(point, cluster)
    blind_error = None if point.blind is None else relative_error(point, point.blind)
    return PublishedRow(point, chip, predicted, relative_error(point, predicted), blind_error, bar)


def relative_error(point: PublishedPoint, predicted: float) -> float:
    """Distance to the nearer end of the published range, over that end."""
    nearest = min(max(predicted, point.low), point.high)
    return predicted / nearest - 1.0


def _predict(point: PublishedPoint, asked: Mapping[str, Any], cluster: Supernode) -> tuple[float, float]:
    """The metric in SI units, and its error bar."""
    cluster = _under_engine(_with_precisions(cluster, point), point.under)
    if point.stage == "operator":
        collective = predict_operator(asked["operator"], cluster, asked["ep"], asked["rows"])
        return getattr(collective, point.metric), collective.error_bar
    fields = {name: _KINDS[name](value) if name in _KINDS else value for name, value in asked.items()}
    answer = _STAGES[point.stage](cluster, find_model(point.model), fields)
    return getattr(answer, point.metric), answer.error_bar


def _under_engine(cluster: Supernode, engine: str) -> Supernode:
    """With its numbers, unless a user measured the chip."""
    chip = cluster.chip
    return (
        replace(cluster, chip=chip_under(chip, engine)) if engine and not isinstance(chip, CalibratedChip) else cluster
    )


def _decode(cluster: Supernode, model: ModelShape, fields: dict[str, Any]) -> DecodePrediction:
    return predict_decode(replace(default_decode_point(cluster, model), **fields))


def _prefill(cluster: Supernode, model: ModelShape, fields: dict[str, Any]) -> PrefillPrediction:
    return predict_prefill(replace(default_prefill_point(cluster, model), **fields))


def _aggregated(cluster: Supernode, model: ModelShape, fields: dict[str, Any]) -> AggregatedPrediction:
    """Without a batch it is saturated: as many requests as fit, and as can be kept up."""
    of_prompts = {name: fields.pop(name) for name in _OF_PROMPTS if name in fields}
    output_tokens, is_saturated = fields.pop("output_tokens"), "batch_per_npu" not in fields
    prefill = replace(default_prefill_point(cluster, model), **of_prompts)
    if "overlap" in fields:
        prefill = replace(prefill, overlap=fields["overlap"])
    point = aggregated_point(replace(default_decode_point(cluster, model), **fields), prefill, output_tokens)
    return predict_aggregated(largest_aggregated_batch(point) if is_saturated else point)


_OF_PROMPTS: Final = ("prompt_tokens", "batch_tokens_per_npu", "reuse")
"""Fields of a point of both stages that are of its prompts."""

_STAGES: Final[Mapping[str, Callable[..., DecodePrediction | PrefillPrediction | AggregatedPrediction]]] = {
    "decode": _decode,
    "prefill": _prefill,
    "aggregated": _aggregated,
}


def _with_precisions(cluster: Supernode, point: PublishedPoint) -> Supernode:
    kinds = {"precision": Precision, "kv_precision": Precision, "expert_weights": ExpertWeights}
    given = {name: kind(getattr(point, name)) for name, kind in kinds.items() if getattr(point, name)}
    return replace(cluster, defaults=replace(cluster.defaults, **given)) if given else cluster
