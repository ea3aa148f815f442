"""One step of an aggregated instance: token rows of sequences that decode and chunks of prompts in one pass.

The products with weights are made for both at once, so that each weight is read once: a product lasts the longer of the
arithmetic of all its rows and of the bytes that both parts move, where the two parts alone would each last the longer
of their own. Attention, the handling of requests and the exchange of experts belong to one part or the other and follow
each other, and the launch of an iteration is waited for once. So a mixed step lasts

    decode step + prefill pass - what is saved,    and never less than the longer of the two,

with both as `decode_step` and `prefill_pass` have them, hidden time and all. What hides behind what is left as it is in
each part: nothing of one part hides behind the other.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import fit_of
from sim_hw.operators.ffn import expert_products
from sim_hw.operators.layout import ExpertLayout, expert_layout, tensor_ranks
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.operators.operator import Operator, OperatorClass
from sim_hw.operators.roofline import operator_s
from sim_hw.steps.decode_step import DecodeModel, decode_step, once_operators
from sim_hw.steps.prefill_pass import PassTokens, PrefillModel, pass_time
from sim_hw.steps.step_time import StepTime, total


class MixedModel(Struct, frozen=True):
    """The two parts of the steps of one instance, whose experts lie alike."""

    decode: DecodeModel
    prefill: PrefillModel

    def saved_s(self, requests: float, tokens: float) -> float:
        """Seconds of a step that the two parts save together: `requests` of a rank decode beside `tokens` that are
        computed; with tensor parallelism those of all ranks that share the layers."""
        return sum(count * sum(saved_s.values()) for count, saved_s in self._saved_parts(requests, tokens))

    def saved_by_operator_s(self, requests: float, tokens: float) -> dict[str, float]:
        """The same by operator."""
        saved: dict[str, float] = {}
        for count, saved_s in self._saved_parts(requests, tokens):
            for name, seconds in saved_s.items():
                saved[name] = saved.get(name, 0.0) + count * seconds
        return saved

    def _saved_parts(self, requests: float, tokens: float) -> list[tuple[int, dict[str, float]]]:
        """What one part of a step saves by operator, and how often the step has it."""
        work = PassTokens(tokens, 0.0, 0.0)
        decode, prefill, shape = self.decode, self.prefill, self.decode.point.model
        once = once_operators(decode, requests)
        return [
            (
                shape.dense_layers + shape.moe_layers,
                self._shared_s(decode.attention(requests), prefill.attention(work), decode.attention(0.0)),
            ),
            (
                shape.dense_layers,
                self._shared_s(decode.dense(requests), prefill.dense(work), decode.dense(0.0)),
            ),
            (shape.moe_layers, self._experts_s(decode.layout, requests, work) if decode.layout else {}),
            (1, self._shared_s(once, prefill.once(), once_operators(decode, 0.0))),
            (1, {"iteration": decode.fit.iteration_s.value}),
        ]

    def _shared_s(
        self, decoded: Iterable[Operator], computed: Iterable[Operator], weights: Iterable[Operator]
    ) -> dict[str, float]:
        """Saved by products that both parts make with the same weights; `weights` are the products of no rows."""
        beside = {one.name: one for one in computed if one.kind is OperatorClass.MATRIX}
        read = {one.name: one.hbm_bytes for one in weights}
        return {
            one.name: self._saved_s(one, beside[one.name], read[one.name])
            for one in decoded
            if one.kind is OperatorClass.MATRIX and one.name in beside
        }

    def _experts_s(self, layout: ExpertLayout, requests: float, work: PassTokens) -> dict[str, float]:
        """Of one expert layer: the experts that are read are those that any row of either part comes to."""
        point = self.decode.point
        rows = requests * point.rows_per_request + work.computed
        shared_rows = self.decode.sharing.rank_rows(rows) * point.expert_tp
        decoded = {one.name: one for one in self.decode.experts(layout, requests)[0]}
        computed = {one.name: one for one in self.prefill.experts(layout, work)}
        gate, together = expert_products(
            point.model, layout, point.expert_precision, shared_rows, 0.0, point.expert_bytes, point.expert_tp
        )
        both_bytes = decoded["experts"].hbm_bytes + computed["experts"].hbm_bytes
        return {
            "gate": self._saved_s(decoded["gate"], computed["gate"], gate.hbm_bytes),
            "experts": self._saved_s(decoded["experts"], computed["experts"], both_bytes - together.hbm_bytes),
        }

    def _saved_s(self, decoded: Operator, computed: Operator, twice_bytes: float) -> float:
        """Of one product, of which `twice_bytes` would be read for each part."""
        chip, fit = self.decode.point.chip, self.decode.fit
        together = replace(
            computed,
            flops=decoded.flops + computed.flops,
            hbm_bytes=decoded.hbm_bytes + computed.hbm_bytes - twice_bytes,
        )
        apart_s = operator_s(decoded, chip, fit) + operator_s(computed, chip, fit)
        return max(0.0, apart_s - operator_s(together, chip, fit))


def mixed_model(decode: DecodePoint, prefill: PrefillPoint, fit: ChipFit | None = None) -> MixedModel:
    """Of an instance whose two parts have these points, with the fitted numbers of its chip or with others for
    comparison; the loads that the points name do not matter."""
    fit = fit or fit_of(decode.chip)
    return MixedModel(
        DecodeModel(replace(decode, context_tokens=0), fit, expert_layout(decode)),
        PrefillModel(prefill, fit, expert_layout(prefill)),
    )


def mixed_step(decode: DecodePoint, prefill: PrefillPoint, tokens: PassTokens, fit: ChipFit | None = None) -> StepTime:
    """A step over the requests of `decode` and chunks of prompts of `tokens` of each rank, whose cached part has
    arrived. Without tokens it is the decode step."""
    step = decode_step(decode, fit).step
    if not tokens.computed:
        return step
    model, requests = mixed_model(decode, prefill, fit), _requests(decode)
    chunk = pass_time(model.prefill, tokens).whole
    seconds = _together_s(step.seconds, chunk.seconds, model.saved_s(requests, tokens.computed))
    return _together(total([step, chunk]), model.saved_by_operator_s(requests, tokens.computed), seconds)


def mixed_step_s(decode: DecodePoint, prefill: PrefillPoint, tokens: PassTokens) -> float:
    """Its seconds, to the last digit."""
    step_s = decode_step(decode).step.seconds
    if not tokens.computed:
        return step_s
    model = mixed_model(decode, prefill)
    pass_s = pass_time(model.prefill, tokens).whole.seconds
    return _together_s(step_s, pass_s, model.saved_s(_requests(decode), tokens.computed))


def _requests(decode: DecodePoint) -> float:
    """Of a rank, or of the ranks together that share its layers."""
    return float(decode.requests_per_rank) * tensor_ranks(decode)


def _together_s(step_s: float, pass_s: float, saved_s: float) -> float:
    return max(step_s, pass_s, step_s + pass_s - saved_s)


def _together(apart: StepTime, saved_s: dict[str, float], seconds: float) -> StepTime:
    """Both parts in a step of `seconds`: what is saved is taken from where it was waited for, as far as it was."""
    busy_s, exposed_s = (
        {name: max(0.0, taken - saved_s.get(name, 0.0)) for name, taken in one.items()}
        for one in (apart.busy_s, apart.exposed_s)
    )
    stretch = seconds / sum(exposed_s.values())
    return StepTime(busy_s, {name: stretch * waited for name, waited in exposed_s.items()})
