"""One prefill pass of an instance over packed prompts: its slowest rank.

Staged attention (SP-TP-SP) gathers latents from all ranks before the heads and exchanges heads after them; neither is
hidden. With two micro-batches dispatch and combine of one run beside the computation of the other. Cached tokens skip
projections and experts; their latents are fetched before the pass begins, gathered, expanded and attended to.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.supernode import Endpoint, Memory, Operation, Overlap, Reach
from sim_hw.figure import Confidence, Figure
from sim_hw.models.attention import LatentAttention
from sim_hw.operators.attention import matrix_product, prefill_attention
from sim_hw.operators.collectives import ExpertAllToAll, all_reduce_s, all_to_all_s, distinct_nodes, gather_s
from sim_hw.operators.ffn import (
    DOWN_PROJECTION_SHARE,
    dense_products,
    dispatch_and_combine,
    expert_products,
    ffn_vector,
)
from sim_hw.operators.layout import ExpertLayout, expert_layout, tensor_ranks
from sim_hw.operators.operating_point import PrefillPoint
from sim_hw.operators.operator import Operator, OperatorClass
from sim_hw.operators.roofline import busy_s
from sim_hw.planes import Plane
from sim_hw.steps.step_time import StepTime, behind, one_after_another, total

TEXT_TOKENS = 4096
"""Tokens of a prefill batch that count as one text for the skew of its experts; the prompt of the fitted rows."""


VPC_LINE_SHARE: Final = Figure(
    0.33,
    "1",
    "row ub-vs-vpc-90: a pass whose prefixes come over VPC instead of UB is 1.35 to 1.6 times as long",
    Confidence.ESTIMATE,
)
"""Of its line rate, what reading prefixes over VPC reaches: they are copied by CPUs at both ends."""


class PrefillPass(Struct, frozen=True):
    """`layer` is one expert layer, or one dense layer of a dense model."""

    whole: StepTime
    layer: StepTime


class PassTokens(Struct, frozen=True):
    """The work of one rank in one pass, or of the ranks together that share the layers of a dense model.

    Fractions arise where several ranks work on one prompt. `pairs` are (query, key) pairs, causal mask.
    """

    computed: float
    cached: float
    pairs: float


def pass_tokens(point: PrefillPoint) -> PassTokens:
    """What `point` gives a rank to do."""
    prompts = point.prompts_per_rank * tensor_ranks(point)
    cached = point.cached_per_prompt
    computed = point.prompt_tokens - cached
    pairs = cached * computed + computed * (computed + 1.0) / 2.0
    return PassTokens(prompts * computed, prompts * cached, prompts * pairs)


class PrefillModel(Struct, frozen=True):
    """The operators of one rank of an instance, for whatever tokens a pass has."""

    point: PrefillPoint
    fit: ChipFit
    layout: ExpertLayout | None

    def attention(self, tokens: PassTokens) -> tuple[Operator, ...]:
        """Of one layer, with the collectives between ranks."""
        point, ranks = self.point, tensor_ranks(self.point)
        operators = prefill_attention(
            point.model, self.fit, point.precision, tokens.computed, tokens.cached, tokens.pairs, ranks
        )
        return (*operators, *self._staging(tokens), *self._all_reduce("attention_all_reduce", tokens))

    def experts(self, layout: ExpertLayout, tokens: PassTokens) -> tuple[Operator, ...]:
        """Computation of one expert layer."""
        text_tokens = tokens.computed + self.fit.cached_text_share.value * tokens.cached
        num_texts = max(1.0, layout.ep * text_tokens / TEXT_TOKENS)
        spread = self.fit.text_spread.value / num_texts**0.5
        slowest = layout.slowest_rank_rows(tokens.computed, self.point.eplb, spread)
        point = self.point
        products = expert_products(
            point.model, layout, point.expert_precision, tokens.computed, slowest, point.expert_bytes
        )
        return (*products, ffn_vector(self.point.model, layout.experts.intermediate, slowest))

    def all_to_all(self, layout: ExpertLayout, tokens: PassTokens) -> tuple[Operator, ...]:
        """Dispatch and combine of one expert layer."""
        point, messages = self.point, float(layout.messages_per_row)
        if not self.fit.is_staged_prefill:
            # Large batches are forwarded inside a node: a row crosses to each other node once.
            messages = distinct_nodes(point.cluster, layout.ep, messages) or messages
        communication = ExpertAllToAll(point.cluster, self.fit, layout.ep, point.model.hidden, messages)
        return dispatch_and_combine(communication, tokens.computed)

    def dense(self, tokens: PassTokens) -> tuple[Operator, ...]:
        """Of one dense layer."""
        shape, ranks = self.point.model, tensor_ranks(self.point)
        return (
            dense_products(shape, self.point.precision, tokens.computed, ranks),
            ffn_vector(shape, shape.dense_intermediate, tokens.computed, ranks),
            *self._all_reduce("ffn_all_reduce", tokens),
        )

    def once(self) -> tuple[Operator, ...]:
        """Head and launches. The last tokens of a pass are few: the head takes the time of reading its weights."""
        head = self.point.model.embedding_parameters / self.point.num_ranks
        wait_s = self.fit.iteration_s.value + self.fit.pass_s.value
        return (
            matrix_product("head", head, 1.0, self.point.precision),
            Operator("iteration", OperatorClass.WAIT, wait_s=wait_s),
        )

    def busy_s(self, operators: tuple[Operator, ...]) -> dict[str, float]:
        """Seconds by operator on all cores."""
        return busy_s(operators, self.point.chip, self.fit)

    def _staging(self, tokens: PassTokens) -> tuple[Operator, ...]:
        attention, point = self.point.model.attention, self.point
        if not (self.fit.is_staged_prefill and isinstance(attention, LatentAttention)):
            return ()
        element_bytes = point.precision.bytes_per_element
        cache_bytes = attention.cached_elements * point.kv_precision.bytes_per_element
        computed_bytes = (attention.q_rank or point.model.hidden) * element_bytes + cache_bytes
        gathered_bytes = point.num_ranks * (tokens.computed * computed_bytes + tokens.cached * cache_bytes)
        heads_bytes = tokens.computed * attention.heads * attention.value_dim * element_bytes
        gathered_s = gather_s(point.cluster, point.num_ranks, gathered_bytes)
        heads_s = all_to_all_s(point.cluster, point.num_ranks, heads_bytes)
        return (
            Operator("latent_gather", OperatorClass.WAIT, wait_s=gathered_s),
            Operator("head_exchange", OperatorClass.WAIT, wait_s=heads_s),
        )

    def _all_reduce(self, name: str, tokens: PassTokens) -> tuple[Operator, ...]:
        ranks = tensor_ranks(self.point)
        if ranks == 1:
            return ()
        wait_s = all_reduce_s(self.point.cluster, ranks, 2.0 * tokens.computed * self.point.model.hidden)
        return (Operator(name, OperatorClass.WAIT, wait_s=wait_s),)


def prefill_pass(point: PrefillPoint, fit: ChipFit | None = None) -> PrefillPass:
    """The pass at `point` with the fitted numbers of its chip, or with others for comparison; fetch included.

    What would be quicker to compute than to fetch and handle is computed, as a small pass waits for its weights anyway:
    all of the cached prefix is used, or a half, a quarter, and so on, or none.
    """
    fit = fit or fit_of(point.chip)
    candidates = [_pass_with_fetch(replace(point, reuse=0.0), fit)]
    while point.cached_per_prompt >= 1.0:
        candidates.append(_pass_with_fetch(point, fit))
        point = replace(point, reuse=point.reuse / 2)
    return min(candidates, key=lambda candidate: candidate.whole.seconds)


def _pass_with_fetch(point: PrefillPoint, fit: ChipFit) -> PrefillPass:
    tokens = pass_tokens(point)
    found = pass_time(PrefillModel(point, fit, expert_layout(point)), tokens)
    fetch = one_after_another({"fetch": fetch_s(point, tokens.cached / tensor_ranks(point))})
    return PrefillPass(total([found.whole, fetch]), found.layer)


def pass_time(model: PrefillModel, tokens: PassTokens) -> PrefillPass:
    """A pass whose cached latents have arrived."""
    shape = model.point.model
    attention_s = model.busy_s(model.attention(tokens))
    dense = one_after_another(attention_s | model.busy_s(model.dense(tokens)))
    layer = _expert_layer(model, model.layout, tokens, attention_s) if model.layout else dense
    once = one_after_another(model.busy_s(model.once()))
    return PrefillPass(total([dense.times(shape.dense_layers), layer.times(shape.moe_layers), once]), layer)


def _expert_layer(
    model: PrefillModel, layout: ExpertLayout, tokens: PassTokens, attention_s: dict[str, float]
) -> StepTime:
    computed_s = attention_s | model.busy_s(model.experts(layout, tokens))
    communication_s = model.busy_s(model.all_to_all(layout, tokens))
    whole = one_after_another(computed_s | communication_s)
    if model.point.overlap is Overlap.NONE:
        return whole
    if model.point.overlap is Overlap.SINGLE_BATCH:
        return behind(computed_s, communication_s, DOWN_PROJECTION_SHARE * computed_s["experts"])
    share = model.fit.prefill_core_share.value
    front_s = {name: seconds / share for name, seconds in computed_s.items()}
    hidden = behind(front_s, communication_s, sum(front_s.values()))
    return min(hidden, whole, key=lambda layer: layer.seconds)


def fetch_s(point: PrefillPoint, cached_tokens: float) -> float:
    """Each rank reads the KV of its `cached_tokens` over the cache plane, at the share of it that is its own."""
    num_bytes = cached_tokens * point.model.kv_bytes_per_token(False, point.kv_precision.bytes_per_element)
    if point.cache_plane is Plane.VPC:
        ranks_per_node = point.cluster.npus_per_node.count * point.chip.num_dies.count
        node_bytes_per_s = point.cluster.port(Plane.VPC, Endpoint.NODE).bytes_per_s.value
        return num_bytes * ranks_per_node / (VPC_LINE_SHARE.value * node_bytes_per_s)
    for access in point.cluster.ub_accesses:
        if (access.memory, access.operation, access.reach) == (Memory.CPU_DRAM, Operation.READ, Reach.OTHER_NODE):
            return num_bytes / access.bytes_per_s.value
    return num_bytes / point.chip.die.scale_out_bytes_per_s.value
