"""The decode step as an emulated instance needs it: integer picoseconds of each die, linear in its KV tokens.

The way in which expert layers run (one batch or two, and the split of the cores) is chosen from the load when
membership changes, and held until it changes again. In between a die's step is the longer of at most two streams,
`base_ps[requests] + constant_ps + kv_ps * kv_tokens` each, so sums over steps stay closed forms. What other dies do
enters through the mean number of requests, which sets the load of the experts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.supernode import Overlap
from sim_hw.instance.geometric_grid import GeometricGrid
from sim_hw.operators.layout import expert_layout, tensor_ranks
from sim_hw.operators.operating_point import DecodePoint
from sim_hw.operators.operator import Operator, OperatorClass
from sim_hw.operators.roofline import compute_flops_per_s, handling_stretch, memory_bytes_per_s
from sim_hw.steps.decode_step import (
    SPLIT_STEP_CORES,
    DecodeModel,
    contended_s,
    dense_draft_operators,
    draft_operators,
    exchange_kernels_s,
    expert_draft_operators,
    once_operators,
    single_batch,
)

PS_PER_S = 1e12

FEWEST_REQUESTS = 1 / 64
"""The least mean number of requests of a die that the table tells from others."""

KV_STEP_TOKENS = 1024
"""KV tokens of a die below which two loads count as equal when the way to run them is chosen."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class StreamCost(Struct, frozen=True):
    """A stream of a step of one die with R requests and K KV tokens between them, picoseconds:
    `base_ps[R] + constant_ps + kv_ps * K`."""

    base_ps: Integers
    constant_ps: int
    kv_ps: int

    def at(self, requests: int, kv_tokens: int) -> int:
        """Picoseconds."""
        return int(self.base_ps[requests]) + self.constant_ps + self.kv_ps * kv_tokens


class StepForm(Struct, frozen=True):
    """How steps run until membership changes: a die's step is the longest of its streams."""

    streams: tuple[StreamCost, ...]
    way: int
    """Which of `CompiledDecode.ways`; forms of one way differ in the constants of their streams only."""

    def die_step_ps(self, requests: int, kv_tokens: int) -> int:
        """Of a die with that many requests, picoseconds."""
        return max(stream.at(requests, kv_tokens) for stream in self.streams)


class Way(Struct, frozen=True):
    """One way to run expert layers: attention on `core_share` of the cores, for the batch in `parts` parts."""

    core_share: float
    parts: int
    attention_cores: int | None


_WHOLE = Way(1.0, 1, None)


class CompiledDecode(Struct, frozen=True):
    """The steps of one instance. Columns of arrays are ways to run its expert layers; times are picoseconds."""

    ways: tuple[Way, ...]
    attention_base_ps: Integers
    """The stream of attention; a row for each number of requests of a die."""
    attention_kv_ps: Integers
    rest_base_ps: Integers
    """The other stream, of any way: what lies outside expert layers, by requests of a die."""
    rest_kv_ps: int
    table: GeometricGrid
    """By mean requests of a die: what follows attention in each way, then what the other stream of each lasts."""

    def form(self, mean_requests: float, requests: int, kv_tokens: int) -> StepForm:
        """The fastest way for dies with `mean_requests` each, the fullest with `requests` and `kv_tokens`."""
        loads_ps = np.array(self.table.at(max(mean_requests, self.table.loads[0])))
        follows_ps, other_ps = loads_ps[: len(self.ways)], loads_ps[len(self.ways) :]
        rest_ps = int(self.rest_base_ps[requests]) + self.rest_kv_ps * kv_tokens
        attention_ps = self.attention_base_ps[requests] + self.attention_kv_ps * kv_tokens + follows_ps
        way = int(np.maximum(attention_ps, other_ps + rest_ps).argmin())
        bases_ps = self.attention_base_ps[:, way]
        streams = [StreamCost(bases_ps, round(float(follows_ps[way])), int(self.attention_kv_ps[way]))]
        if other_ps[way]:
            streams.append(StreamCost(self.rest_base_ps, round(float(other_ps[way])), self.rest_kv_ps))
        return StepForm(tuple(streams), way)


class DecodeSteps:
    """How the steps of an instance run, asked anew when its membership changes.

    The way is chosen for a die of mean load, its KV in steps of `KV_STEP_TOKENS`, so that results can be remembered:
    loads come back, and choosing costs ten times as much as remembering. The costs themselves do not depend on that.
    Ways are numbered from `first_way`, so that those of two compilations can be told apart.
    """

    def __init__(self, compiled: CompiledDecode, num_dies: int, first_way: int = 0) -> None:
        self._compiled = compiled
        self._num_dies = num_dies
        self._first_way = first_way
        self._kv_step_tokens = num_dies * KV_STEP_TOKENS
        self._forms: dict[tuple[int, int], StepForm] = {}

    def form(self, num_running: int, kv_tokens: int) -> StepForm:
        """For so many requests and KV tokens on all dies together."""
        key = num_running, kv_tokens // self._kv_step_tokens
        found = self._forms.get(key)
        if found is None:
            requests = -(-num_running // self._num_dies)
            found = self._compiled.form(num_running / self._num_dies, requests, key[1] * KV_STEP_TOKENS)
            found = self._forms[key] = replace(found, way=self._first_way + found.way)
        return found


def compile_decode(point: DecodePoint, max_requests_per_die: int) -> CompiledDecode:
    """For any load of the instance of `point` with up to `max_requests_per_die` requests on a die.

    Batch and context that `point` names do not matter. Raises `HardwareModelError` for an instance that cannot exist.
    """
    point.check()
    layout = expert_layout(point)
    model = DecodeModel(replace(point, context_tokens=0), fit_of(point.chip), layout)
    ranks, shape = tensor_ranks(point), point.model
    expert_layers = shape.moe_layers + point.whole_drafts if layout else 0
    dense_layers = shape.dense_layers if layout else shape.dense_layers + point.whole_drafts
    ways = _ways(point) if layout else (_WHOLE,)
    requests = np.arange(max_requests_per_die + 1, dtype=np.float64) * ranks
    rest_s = _outside_s(model, requests, dense_layers)
    rest_kv_s = dense_layers * _kv_s(model, 1.0) + point.single_drafts * _draft_kv_s(model)
    bases_s = [
        rest_s + expert_layers * way.parts * _roofline_s(model, model.attention, requests / way.parts, way.core_share)
        for way in ways
    ]
    return CompiledDecode(
        ways=ways,
        attention_base_ps=np.ascontiguousarray(_integers(np.array(bases_s)).T),
        attention_kv_ps=_integers(
            ranks * np.array([rest_kv_s + expert_layers * _kv_s(model, way.core_share) for way in ways])
        ),
        rest_base_ps=_integers(rest_s),
        rest_kv_ps=round(PS_PER_S * ranks * (rest_kv_s + expert_layers * _contended_kv_s(model, ways))),
        table=GeometricGrid(
            lambda load: [PS_PER_S * one for one in _with_drafts_s(model, ways, expert_layers, ranks * load)],
            FEWEST_REQUESTS,
            float(max(1, max_requests_per_die)),
        ),
    )


def _ways(point: DecodePoint) -> tuple[Way, ...]:
    if point.overlap is not Overlap.TWO_BATCHES:
        return (_WHOLE,)
    cores = point.chip.die.cube_cores
    if cores is None:
        return (_WHOLE, Way(1.0, 2, None))
    splits = range(SPLIT_STEP_CORES, cores.count, SPLIT_STEP_CORES)
    return (_WHOLE, *(Way(count / cores.count, 2, count) for count in splits))


def _outside_s(model: DecodeModel, requests: Floats, dense_layers: int) -> Floats:
    """Dense layers, head and drafts for each number of requests, without KV."""
    dense_s = _roofline_s(model, model.attention, requests) + _roofline_s(model, model.dense, requests)
    once_s = _roofline_s(model, lambda load: once_operators(model, load), requests)
    draft_s = _roofline_s(model, lambda load: draft_operators(model, load), requests)
    single_s = _roofline_s(model, lambda load: dense_draft_operators(model, load), requests)
    drafts_s = model.point.mtp_k * draft_s + model.point.single_drafts * single_s
    return dense_layers * dense_s + once_s + drafts_s


def _with_drafts_s(model: DecodeModel, ways: Sequence[Way], expert_layers: int, load: float) -> list[float]:
    """As `_beside_attention_s` of all expert layers; drafts of one row follow either stream, where there is one."""
    drafts_s = model.point.single_drafts * sum(model.busy_s(expert_draft_operators(model, load)).values())
    layers_s = [expert_layers * one for one in _beside_attention_s(model, ways, load)]
    return [one + drafts_s if at < len(ways) or one else one for at, one in enumerate(layers_s)]


def _beside_attention_s(model: DecodeModel, ways: Sequence[Way], load: float) -> list[float]:
    """Of one expert layer: what follows attention in each way, then what the other stream of each lasts."""
    layout = model.layout
    if layout is None:
        return [0.0, 0.0]
    computed, communication = model.experts(layout, load)
    computed_s, communication_s = model.busy_s(computed), model.busy_s(communication)
    if model.point.overlap is Overlap.SINGLE_BATCH:
        return [single_batch(layout, computed_s, communication_s).seconds, 0.0]
    follow_s, other_s = [sum(computed_s.values()) + sum(communication_s.values())], [0.0]
    computed, communication = model.experts(layout, load / 2)
    for way in ways[1:]:
        if way.attention_cores is None:
            front_s = sum(model.busy_s(computed).values()) + sum(exchange_kernels_s(model).values())
            follow_s.append(way.parts * front_s)
            other_s.append(way.parts * sum(model.busy_s(communication).values()))
        else:
            other = sum(model.busy_s((*computed, *communication), 1.0 - way.core_share).values())
            follow_s.append(way.parts * contended_s(model, computed))
            other_s.append(way.parts * (other + contended_s(model, model.attention(load / 2))))
    return follow_s + other_s


def _kv_s(model: DecodeModel, core_share: float) -> float:
    """Of one KV token in one layer."""
    one_token = replace(model, point=replace(model.point, context_tokens=1))
    seconds = [sum(one.busy_s(one.attention(1.0), core_share).values()) for one in (model, one_token)]
    return seconds[1] - seconds[0]


def _draft_kv_s(model: DecodeModel) -> float:
    """Of one KV token in a draft of one row."""
    one_token = replace(model, point=replace(model.point, context_tokens=1))
    seconds = [sum(one.busy_s(dense_draft_operators(one, 1.0)).values()) for one in (model, one_token)]
    return seconds[1] - seconds[0]


def _contended_kv_s(model: DecodeModel, ways: Sequence[Way]) -> float:
    """What the stream beside attention waits while one KV token is read in one layer."""
    if all(way.attention_cores is None for way in ways):
        return 0.0
    one_token = replace(model, point=replace(model.point, context_tokens=1))
    return contended_s(one_token, one_token.attention(1.0)) - contended_s(model, model.attention(1.0))


def _roofline_s(
    model: DecodeModel, operators_of: Callable[[float], tuple[Operator, ...]], loads: Floats, core_share: float = 1.0
) -> Floats:
    """Seconds of operators whose work grows in proportion to the load, beside weights that are read whatever it is."""
    chip, fit = model.point.chip, model.fit
    seconds = np.zeros_like(loads)
    for one, two in zip(operators_of(1.0), operators_of(2.0), strict=True):
        flops = one.flops + (two.flops - one.flops) * (loads - 1.0)
        num_bytes = one.hbm_bytes + (two.hbm_bytes - one.hbm_bytes) * (loads - 1.0)
        wait_s = one.wait_s + (two.wait_s - one.wait_s) * (loads - 1.0)
        if one.kind is OperatorClass.WAIT:
            seconds += wait_s
        elif one.kind is OperatorClass.REQUEST:
            seconds += wait_s * handling_stretch(fit, core_share)
        else:
            compute_s = flops / compute_flops_per_s(one, chip, fit, core_share)
            seconds += np.maximum(compute_s, num_bytes / memory_bytes_per_s(one, chip, fit, core_share))
    return seconds


def _integers(seconds: Floats) -> Integers:
    return (PS_PER_S * seconds).round().astype(np.int64)
