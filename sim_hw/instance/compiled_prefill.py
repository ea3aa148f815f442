"""The prefill pass as an emulated instance needs it: nanoseconds from three totals of a pass, within microseconds.

What depends on computed tokens alone stands in a table; attention pairs and cached tokens enter by their slopes. The
fetch of cached latents is not included: an instance waits for it on its fabric.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import asdict

from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.supernode import Overlap
from sim_hw.instance.geometric_grid import GeometricGrid
from sim_hw.operators.ffn import DOWN_PROJECTION_SHARE
from sim_hw.operators.layout import expert_layout, tensor_ranks
from sim_hw.operators.operating_point import PrefillPoint
from sim_hw.steps.prefill_pass import MICROBATCHES, PassTokens, PrefillModel

NODES_PER_OCTAVE: Final = 18
"""Where the matrices of a small dense model turn from weights to arithmetic, a pass bends at once."""


class CompiledPrefill(Struct, frozen=True):
    """A pass of one instance. Per layer: `front` is what computes, `all_to_all` what may hide behind it."""

    num_ranks: float
    """Ranks that share the tokens of the instance; those that share attention count as one, and so do stages."""
    dense_layers: float
    expert_layers: float
    core_share: float
    """Cores left to the front while an all-to-all hides behind it; 0 where none does."""
    pair_s: float
    """Of one (query, key) pair in one layer of one rank."""
    cached_token_s: float
    """Of one cached token in one layer of one rank."""
    table: GeometricGrid
    """By computed tokens of a rank: outside expert layers, front, expert all-to-all; seconds."""

    def prefill_ns(self, computed_tokens: float, attention_pairs: float, cached_tokens: float) -> int:
        """Nanoseconds of a pass over these totals of the whole instance."""
        low, high, weight = self.table.around(max(1.0, computed_tokens / self.num_ranks))
        outside_s = low[0] + weight * (high[0] - low[0])
        front_s = low[1] + weight * (high[1] - low[1])
        all_to_all_s = low[2] + weight * (high[2] - low[2])
        variable_s = (self.pair_s * attention_pairs + self.cached_token_s * cached_tokens) / self.num_ranks
        front_s += variable_s
        layer_s = front_s + all_to_all_s
        if self.core_share:
            layer_s = min(layer_s, max(front_s / self.core_share, all_to_all_s))
        return round(1e9 * (outside_s + self.dense_layers * variable_s + self.expert_layers * layer_s))


class CompiledPipeline(CompiledPrefill, frozen=True, kw_only=True):
    """The same for the longest of `num_stages` stages, through which a pass goes in micro-batches."""

    num_stages: int

    def prefill_ns(self, computed_tokens: float, attention_pairs: float, cached_tokens: float) -> int:
        """Of the number of micro-batches that is done first."""
        best_ns = 0
        for count in MICROBATCHES:
            stage_ns = CompiledPrefill.prefill_ns(
                self, computed_tokens / count, attention_pairs / count, cached_tokens / count
            )
            pass_ns = (count + self.num_stages - 1) * stage_ns
            best_ns = min(best_ns or pass_ns, pass_ns)
        return best_ns


def compile_prefill(point: PrefillPoint) -> CompiledPrefill:
    """For passes of any size in the instance of `point`; the load it names sets only how far the table goes.

    Raises `HardwareModelError` for an instance that cannot exist.
    """
    point.check()
    model = PrefillModel(point, fit_of(point.chip), expert_layout(point))
    ranks, shape = tensor_ranks(point) * point.pp, point.model
    idle_s = _attention_s(model, PassTokens(0.0, 0.0, 0.0))
    many = 1e6  # enough for all slopes to be those of large numbers
    compiled = CompiledPrefill(
        num_ranks=point.num_ranks / ranks,
        dense_layers=shape.dense_layers * point.layer_share,
        expert_layers=shape.moe_layers * point.layer_share,
        core_share=model.fit.prefill_core_share.value if _hides_all(point) else 0.0,
        pair_s=(_attention_s(model, PassTokens(0.0, 0.0, many)) - idle_s) / many,
        cached_token_s=(_attention_s(model, PassTokens(0.0, many, 0.0)) - idle_s) / many,
        table=GeometricGrid(
            lambda tokens: _row(model, tokens), 1.0, max(2.0, 2 * ranks * point.tokens_per_rank), NODES_PER_OCTAVE
        ),
    )
    return CompiledPipeline(num_stages=point.pp, **asdict(compiled)) if point.pp > 1 else compiled


def _hides_all(point: PrefillPoint) -> bool:
    return point.overlap is Overlap.TWO_BATCHES and point.model.experts is not None


def _attention_s(model: PrefillModel, tokens: PassTokens) -> float:
    return sum(model.busy_s(model.attention(tokens)).values())


def _row(model: PrefillModel, computed: float) -> tuple[float, float, float]:
    """Seconds of a pass without pairs or cached tokens."""
    tokens = PassTokens(computed, 0.0, 0.0)
    attention_s = _attention_s(model, tokens)
    dense_s = attention_s + sum(model.busy_s(model.dense(tokens)).values())
    dense_layers = model.point.model.dense_layers * model.point.layer_share
    outside_s = dense_layers * dense_s + sum(model.busy_s((*model.once(), *model.handed_on(tokens))).values())
    if model.layout is None:
        return outside_s, 0.0, 0.0
    computed_s = model.busy_s(model.experts(model.layout, tokens))
    all_to_all_s = sum(model.busy_s(model.all_to_all(model.layout, tokens)).values())
    if model.point.overlap is Overlap.SINGLE_BATCH:
        all_to_all_s = max(0.0, all_to_all_s - DOWN_PROJECTION_SHARE * computed_s["experts"])
    return outside_s, attention_s + sum(computed_s.values()), all_to_all_s
