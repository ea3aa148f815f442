"""One measurement: an operating point, and how long its step, pass or collective took."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from sim_hw.chips.chip import Chip
from sim_hw.chips.fit import ChipFit
from sim_hw.clusters.supernode import Supernode
from sim_hw.operators.collectives import CollectiveName
from sim_hw.operators.error_bar import Stage
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.steps.decode_step import decode_step
from sim_hw.steps.predict import all_to_all_s
from sim_hw.steps.prefill_pass import prefill_pass, prompt_passes

DEFAULT_SPREAD: Final = 0.03
"""Of a measurement, relative: from run to run of one benchmark, assumed."""


class CollectivePoint(Struct, frozen=True):
    """One call of dispatch or combine on `ep` ranks, with so many token rows each."""

    cluster: Supernode
    operator: CollectiveName
    ep: int
    rows: int


Point = DecodePoint | PrefillPoint | CollectivePoint


class Metric(Struct, frozen=True):
    """What was measured, as a function of the time of the step: `scale * seconds ** power`."""

    name: str
    scale: float
    power: int

    def value(self, seconds: float) -> float:
        """Of a step of that length."""
        return self.scale * seconds**self.power

    def seconds(self, value: float) -> float:
        """The inverse of `value`."""
        return (value / self.scale) ** self.power


class Measurement(Struct, frozen=True):
    """`seconds` are of the step, pass or call; `spread` is the standard deviation of their logarithm."""

    name: str
    point: Point
    metric: Metric
    seconds: float
    spread: float = DEFAULT_SPREAD

    @property
    def chip(self) -> Chip:
        """What it was measured on."""
        return self.point.cluster.chip

    @property
    def stage(self) -> Stage:
        """What it is of."""
        return stage_of(self.point)


def stage_of(point: Point) -> Stage:
    """What a point is of."""
    if isinstance(point, DecodePoint):
        return "decode"
    return "prefill" if isinstance(point, PrefillPoint) else "operator"


def predicted_s(point: Point, fit: ChipFit) -> float:
    """Seconds of the step, pass or call with these numbers of the software."""
    if isinstance(point, DecodePoint):
        return decode_step(point, fit).step.seconds
    if isinstance(point, PrefillPoint):
        return prefill_pass(point, fit).whole.seconds
    return all_to_all_s(point.operator, point.cluster, fit, point.ep, point.rows)


METRICS: Final = {
    "decode": ("tpot_s", "iteration_s", "tokens_per_s_per_npu"),
    "prefill": ("tokens_per_s_per_npu", "pass_s", "ttft_s"),
    "operator": ("latency_s",),
}
"""What may have been measured, by stage."""


def metric_of(name: str, point: Point) -> Metric:
    """One of `METRICS` at a point."""
    if name == "tpot_s" and isinstance(point, DecodePoint):
        return Metric(name, 1.0 / point.tokens_per_iteration, 1)
    if name == "tokens_per_s_per_npu" and isinstance(point, DecodePoint):
        return Metric(name, point.batch_per_npu * point.tokens_per_iteration, -1)
    if name == "tokens_per_s_per_npu" and isinstance(point, PrefillPoint):
        return Metric(name, float(point.batch_tokens_per_npu), -1)
    if name == "ttft_s" and isinstance(point, PrefillPoint):
        return Metric(name, prompt_passes(point), 1)
    return Metric(name, 1.0, 1)
