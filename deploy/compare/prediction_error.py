"""How far the difference between two set-ups may be off because the hardware model is.

Chance is one matter (`deploy.statistics`); that a step takes as long as predicted is another, which no number of seeds
tells. A latency is taken to be off as the step or pass that it is made of, at the load that its run had. Of two set-ups
of the same hardware all of that is common, and what is left of it is in proportion to their difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from math import hypot
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from deploy.hardware.operating_points import InstanceOptions, decode_point, prefill_point
from deploy.settings.settings import Settings
from deploy.statistics.verdicts import Difference, Verdicts
from deploy.sweep.space import value_at
from sim_hw.chips.chip import Chip
from sim_hw.errors import HardwareModelError
from sim_hw.operators.error_bar import NORMAL_90
from sim_hw.operators.spread import Spread
from sim_hw.steps.spread import decode_spread, prefill_spread

_STAGES: Final = {"ttft_s": "prefill", "tpot_s": "decode", "itl_s": "decode", "e2e_s": "decode"}
"""What a figure is as long as, by the group of its path."""


class Ran(Struct, frozen=True):
    """One set-up, and the JSON of its run."""

    settings: Settings
    document: Mapping[str, Any]


class Predicted(Struct, frozen=True):
    """A latency, and the spread of the step that it is made of, in an instance of so many NPUs."""

    chip: Chip
    num_npus: int
    spread: Spread
    value: float


def with_prediction_error(verdicts: Verdicts, before: Ran, after: Ran) -> Verdicts:
    """The same, each latency with the half of its 90 % interval; none where both are of the same hardware."""
    if before.settings.hardware == after.settings.hardware:
        return verdicts
    here, there = _stages(before), _stages(after)
    figures = {path: _with_error(path, one, here, there) for path, one in verdicts.figures.items()}
    return replace(verdicts, figures=figures)


def half_width(before: Predicted, after: Predicted) -> float:
    """Of the 90 % interval of `after` less `before`, in their unit.

    On one chip both are off by its constants alike; in instances of one size also by what the model leaves out.
    """
    if before.chip != after.chip:
        return NORMAL_90 * hypot(before.value * before.spread.total, after.value * after.spread.total)
    pairs = zip(before.spread.along, after.spread.along, strict=True)
    along = [after.value * there - before.value * here for here, there in pairs]
    rest = before.value * before.spread.rest, after.value * after.spread.rest
    left = abs(rest[1] - rest[0]) if before.num_npus == after.num_npus else hypot(*rest)
    return NORMAL_90 * hypot(*along, left)


def _with_error(path: str, difference: Difference, before: _Stages, after: _Stages) -> Difference:
    stage = _STAGES.get(path.partition(".")[0], "")
    one, other = before.at(stage, path), after.at(stage, path)
    return difference if one is None or other is None else replace(difference, prediction_error=half_width(one, other))


class _Stages(Struct, frozen=True):
    """Chip, size and spread of the largest instance of each stage of a run."""

    ran: Ran
    found: Mapping[str, tuple[Chip, int, Spread]]

    def at(self, stage: str, path: str) -> Predicted | None:
        value = value_at(self.ran.document, path)
        if value is None or stage not in self.found:
            return None
        return Predicted(*self.found[stage], value)


def _stages(ran: Ran) -> _Stages:
    """Stages that the plan has not, or that the model does not predict, are left out."""
    hardware, instances = ran.settings.hardware, ran.settings.instances
    stands = list(zip(hardware.supernodes, hardware.plan.supernodes, strict=True))
    prefill = [(npus, one) for one, plan in stands for npus in (*plan.prefill_npus, *plan.aggregated_npus)]
    decode = [(npus, one) for one, plan in stands for npus in (*plan.decode_npus, *plan.aggregated_npus)]
    batch = max(1, round(value_at(ran.document, "decode_load.batch_per_npu") or 1.0))
    found: dict[str, tuple[Chip, int, Spread]] = {}
    with suppress(HardwareModelError):
        if prefill:
            npus, cluster = max(prefill, key=lambda one: one[0])
            options, tokens = InstanceOptions(num_npus=npus), instances.prefill_tokens_per_npu
            point = prefill_point(cluster, hardware.model, options, batch_tokens_per_npu=tokens)
            found["prefill"] = cluster.chip, npus, prefill_spread(point)
    with suppress(HardwareModelError):
        if decode:
            npus, cluster = max(decode, key=lambda one: one[0])
            step = decode_point(cluster, hardware.model, InstanceOptions(num_npus=npus), batch_per_npu=batch)
            found["decode"] = cluster.chip, npus, decode_spread(step)
    return _Stages(ran, found)
