"""A decode step whose attention and experts are on different NPUs (attention-FFN disaggregation, AFD).

Attention, its KV, dense layers and head are on one side, experts on the other. In each expert layer the token rows of a
micro-batch travel to the experts and back (M2N), and while they do, the attention side works on the next one. A layer
of M micro-batches lasts as long as the side that works longest on all of them, or as one of them needs for its way
through both sides, as in MegaScale-Infer and xDeepServe.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.chip import Precision
from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import fit_of
from sim_hw.errors import OperatingPointError
from sim_hw.operators.attention import matrix_product
from sim_hw.operators.collectives import SidesExchange
from sim_hw.operators.ffn import row_handling
from sim_hw.operators.layout import ExpertLayout, expert_layout
from sim_hw.operators.operating_point import DecodePoint, Drafter
from sim_hw.operators.operator import Operator
from sim_hw.steps.decode_step import (
    DecodeModel,
    dense_draft_operators,
    draft_operators,
    expert_draft_operators,
    once_operators,
)
from sim_hw.steps.step_time import StepTime, one_after_another, total

AFD_MICROBATCHES: Final = (1, 2, 3, 4)
"""In flight between the two sides; published systems use 2 to 4."""

_AT_HOME: Final = ("gate", "row_handling")
"""What the experts of a die that has both do to its own rows."""


class AfdPoint(DecodePoint, frozen=True, kw_only=True):
    """`num_npus` packages of attention with `batch_per_npu` requests each, `ffn_npus` of experts; `ep` are the dies of
    these."""

    ffn_npus: int

    def check(self) -> None:
        """Raise `OperatingPointError` for a point that cannot exist."""
        for side, count in (("attention", self.num_npus), ("experts", self.ffn_npus)):
            if count < 1:
                raise OperatingPointError(f"{count} NPUs for {side}: give --afd A:F, each at least 1")
        if self.num_npus + self.ffn_npus > self.cluster.num_npus:
            raise OperatingPointError(
                f"{self.num_npus} NPUs for attention and {self.ffn_npus} for experts, {self.cluster.name} has "
                f"{self.cluster.num_npus}: lower --afd"
            )
        if self.model.experts is None:
            raise OperatingPointError(f"{self.model.name} has no experts to be on other NPUs: leave --afd out")
        if (self.tp or 1) > 1 or self.expert_tp > 1:
            raise OperatingPointError(
                "with --afd attention is data parallel and experts are whole: leave --tp and --expert-tp out"
            )
        DecodePoint.check(replace(self, ep=min(self.ep, self.num_ranks)))


class AfdStep(Struct, frozen=True):
    """`layer` is one expert layer, all micro-batches. Shares are those of an expert layer's time."""

    step: StepTime
    layer: StepTime
    microbatches: int
    attention_busy_share: float
    ffn_busy_share: float
    bound_by: str
    """attention, experts, the exchange, or the way of one micro-batch through both sides."""


class _Layer(Struct, frozen=True):
    """One micro-batch in one expert layer: seconds by operator on each side, and on the way there and back."""

    attention_s: dict[str, float]
    ffn_s: dict[str, float]
    there_s: dict[str, float]
    back_s: dict[str, float]

    def of_many(self, count: int) -> tuple[StepTime, str]:
        """`count` of them, and what they wait for."""
        whole = self.attention_s | self.there_s | self.ffn_s | self.back_s
        exchange = max(self.there_s, self.back_s, key=lambda one: sum(one.values()))
        waits = {
            "one micro-batch": (whole, 1),
            "attention": (self.attention_s, count),
            "experts": (self.ffn_s, count),
            "exchange": (exchange, count),
        }
        bound_by = max(waits, key=lambda name: waits[name][1] * sum(waits[name][0].values()))
        waited_s, times = waits[bound_by]
        busy_s = {name: count * seconds for name, seconds in whole.items()}
        return StepTime(busy_s, {name: times * seconds for name, seconds in waited_s.items()}), bound_by


class AfdModel(Struct, frozen=True):
    """The operators of both sides, for as many requests of an attention die as a caller names."""

    point: AfdPoint
    fit: ChipFit
    layout: ExpertLayout

    @property
    def decode(self) -> DecodeModel:
        """The operators of a die that has both."""
        return DecodeModel(self.point, self.fit, self.layout)

    @property
    def exchange(self) -> SidesExchange:
        """A row goes to each of its experts, shared ones included: none is where it is."""
        point = self.point
        return SidesExchange(
            point.cluster, self.fit, point.num_ranks, point.ep, point.model.hidden, point.model.experts_per_token
        )

    def ffn_requests(self, requests: float) -> float:
        """Of all attention dies, those for each die of experts."""
        return requests * self.point.num_ranks / self.point.ep

    def attention(self, requests: float) -> tuple[Operator, ...]:
        """Of one expert layer; rows are handled, and told where to go, where their request is."""
        rows = requests * self.point.rows_per_request
        gate = matrix_product("gate", self.point.model.router_parameters, rows, Precision.BF16)
        return (*self.decode.attention(requests), gate, row_handling(self.fit, rows))

    def experts(self, requests: float) -> tuple[Operator, ...]:
        """Of one expert layer, for that many requests of each attention die."""
        computed, _ = self.decode.experts(self.layout, self.ffn_requests(requests))
        return tuple(one for one in computed if one.name not in _AT_HOME)

    def layer(self, requests: float) -> _Layer:
        """One micro-batch of that many requests of each attention die."""
        busy_s, rows = self.decode.busy_s, requests * self.point.rows_per_request
        return _Layer(
            busy_s(self.attention(requests)),
            busy_s(self.experts(requests)),
            {"dispatch": self.exchange.seconds("dispatch", rows)},
            {"combine": self.exchange.seconds("combine", rows)},
        )


def afd_step(point: AfdPoint, fit: ChipFit | None = None) -> AfdStep:
    """The step at `point` with the fitted numbers of its chip, or with others for comparison, in the fastest number of
    micro-batches."""
    layout = expert_layout(point)
    assert layout is not None
    model = AfdModel(point, fit or fit_of(point.chip), layout)
    requests = float(point.requests_per_rank)
    counts = [count for count in AFD_MICROBATCHES if count <= requests] or [1]
    found = [(*model.layer(requests / count).of_many(count), count) for count in counts]
    layer, bound_by, count = min(found, key=lambda one: one[0].seconds)
    one = model.layer(requests / count)
    step = total([*_outside_experts(model, requests), layer.times(point.model.moe_layers + point.whole_drafts)])
    return AfdStep(
        step,
        layer,
        count,
        count * sum(one.attention_s.values()) / layer.seconds,
        count * sum(one.ffn_s.values()) / layer.seconds,
        bound_by,
    )


def _outside_experts(model: AfdModel, requests: float) -> list[StepTime]:
    """Dense layers, head and drafts, on the attention side but for the experts of drafts."""
    point, decode = model.point, model.decode
    dense_s = decode.busy_s(decode.attention(requests)) | decode.busy_s(decode.dense(requests))
    parts = [
        one_after_another(dense_s).times(point.model.dense_layers),
        one_after_another(decode.busy_s(once_operators(decode, requests))),
    ]
    if not point.mtp_k:
        return parts
    drafts_s = decode.busy_s(draft_operators(decode, requests))
    single_s = decode.busy_s(dense_draft_operators(decode, requests))
    drafting_s = point.mtp_k * sum(drafts_s.values()) + point.single_drafts * (
        sum(single_s.values()) + _draft_experts_s(model, requests)
    )
    return [*parts, one_after_another({point.drafter.value: drafting_s})]


def _draft_experts_s(model: AfdModel, requests: float) -> float:
    """Of a draft of one row each, which waits for the way there and back."""
    if model.point.drafter is not Drafter.MTP:
        return 0.0
    operators = expert_draft_operators(model.decode, model.ffn_requests(requests))
    computed = tuple(one for one in operators if one.name not in (*_AT_HOME, "dispatch", "combine"))
    home = (row_handling(model.fit, requests),)
    there_and_back_s = sum(model.exchange.seconds(name, requests) for name in ("dispatch", "combine"))
    return sum(model.decode.busy_s((*computed, *home)).values()) + there_and_back_s
