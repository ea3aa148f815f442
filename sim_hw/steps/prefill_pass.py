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
from sim_hw.operators.attention import (
    WRITTEN_AND_READ_BYTES,
    expanded_elements,
    expansion_parameters,
    matrix_product,
    prefill_attention,
)
from sim_hw.operators.collectives import ExpertAllToAll, all_to_all_s, distinct_nodes, gather_s, send_s
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
from sim_hw.operators.sharing import ACTIVATION_BYTES, Sharing, sharing_of
from sim_hw.planes import Plane
from sim_hw.steps.step_time import StepTime, behind, one_after_another, total

TEXT_TOKENS = 4096
"""Tokens of a prefill batch that count as one text for the skew of its experts; the prompt of the fitted rows."""


MICROBATCHES: Final = tuple(2**power for power in range(8))
"""Into which a pass through a pipeline may be cut."""

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
    """The work of one rank in one pass, or of the ranks together that share its attention.

    Fractions arise where several ranks work on one prompt. `pairs` are (query, key) pairs, causal mask.
    """

    computed: float
    cached: float
    pairs: float

    def part(self, count: int) -> PassTokens:
        """One of so many equal parts."""
        return PassTokens(self.computed / count, self.cached / count, self.pairs / count)


def is_staged(point: PrefillPoint, fit: ChipFit) -> bool:
    """Whether attention runs SP-TP-SP over all ranks: what the software does unless it is told how to share."""
    is_told = point.tp is not None or point.cp > 1
    is_latent = isinstance(point.model.attention, LatentAttention)
    return fit.is_staged_prefill and is_latent and not is_told and tensor_ranks(point) == 1


def prompt_passes(point: PrefillPoint) -> float:
    """Passes that a prompt takes, at least 1, where those that work on it have fewer tokens in one."""
    sharing = point.stage_ranks if is_staged(point, fit_of(point.chip)) else tensor_ranks(point) * point.cp
    return max(1.0, 1.0 / (sharing * point.prompts_per_rank))


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

    @property
    def sharing(self) -> Sharing:
        """Which ranks share tensors."""
        return sharing_of(self.point)

    def attention(self, tokens: PassTokens) -> tuple[Operator, ...]:
        """Of one layer, with the collectives between ranks."""
        point, ranks = self.point, tensor_ranks(self.point)
        operators = prefill_attention(
            point.model, self.fit, point.precision, tokens.computed, tokens.cached, tokens.pairs, ranks
        )
        shared = self.sharing.after_attention(tokens.computed) if ranks > 1 else ()
        return (*operators, *self._staging(tokens), *shared, *self._of_other_parts(tokens))

    def experts(self, layout: ExpertLayout, tokens: PassTokens) -> tuple[Operator, ...]:
        """Computation of one expert layer."""
        point, sharing = self.point, self.sharing
        ranks = point.expert_tp
        rank_rows = sharing.rank_rows(tokens.computed)
        text_tokens = rank_rows + self.fit.cached_text_share.value * sharing.rank_rows(tokens.cached)
        num_texts = max(1.0, layout.ep * ranks * text_tokens / TEXT_TOKENS)
        spread = self.fit.text_spread.value / num_texts**0.5
        slowest = layout.slowest_rank_rows(rank_rows * ranks, point.eplb, spread)
        products = expert_products(
            point.model,
            layout,
            point.expert_precision,
            rank_rows * ranks,
            slowest,
            point.expert_bytes,
            ranks,
            tokens.computed if sharing.is_joined else rank_rows,
        )
        inputs = min(slowest, tokens.computed) if sharing.is_joined else None
        return (*products, ffn_vector(point.model, layout.experts.intermediate, slowest, ranks, inputs))

    def all_to_all(self, layout: ExpertLayout, tokens: PassTokens) -> tuple[Operator, ...]:
        """Dispatch and combine of one expert layer, and what moves between the ranks that share an expert."""
        point, sharing, messages = self.point, self.sharing, float(layout.messages_per_row)
        shared = sharing.around_experts(tokens.computed)
        if sharing.is_joined:
            return shared
        fit, ranks = self.fit, layout.ep * point.expert_tp
        if not fit.is_staged_prefill:
            # Large batches are forwarded inside a node: a row crosses to each other node once, if there is one.
            crossed = distinct_nodes(point.cluster, ranks, messages)
            messages = crossed or messages
            fit = fit if crossed else replace(fit, all_to_all_plane=Plane.UB)
        communication = ExpertAllToAll(point.cluster, fit, layout.ep, point.model.hidden, messages, point.expert_tp)
        rows = sharing.rank_rows(tokens.computed) * point.expert_tp
        return (*dispatch_and_combine(communication, rows), *shared)

    def dense(self, tokens: PassTokens) -> tuple[Operator, ...]:
        """Of one dense layer."""
        shape, sharing = self.point.model, self.sharing
        rows = sharing.dense_rows(tokens.computed)
        return (
            dense_products(shape, self.point.precision, rows, sharing.dense),
            ffn_vector(shape, shape.dense_intermediate, rows, sharing.dense),
            *sharing.around_dense(tokens.computed),
        )

    def once(self) -> tuple[Operator, ...]:
        """Head and launches. The last tokens of a pass are few: the head takes the time of reading its weights."""
        head = self.point.model.embedding_parameters / self.point.stage_ranks
        wait_s = self.fit.iteration_s.value + self.fit.pass_s.value
        return (
            matrix_product("head", head, 1.0, self.point.precision),
            Operator("iteration", OperatorClass.WAIT, wait_s=wait_s),
        )

    def handed_on(self, tokens: PassTokens) -> tuple[Operator, ...]:
        """Hidden states from a rank of one stage to one of the next."""
        point = self.point
        if point.pp == 1:
            return ()
        num_bytes = ACTIVATION_BYTES * self.sharing.rank_rows(tokens.computed) * point.model.hidden
        wait_s = send_s(point.cluster, point.num_ranks, num_bytes)
        return (Operator("stage_send", OperatorClass.WAIT, wait_s=wait_s),)

    def busy_s(self, operators: tuple[Operator, ...]) -> dict[str, float]:
        """Seconds by operator on all cores."""
        return busy_s(operators, self.point.chip, self.fit)

    def _staging(self, tokens: PassTokens) -> tuple[Operator, ...]:
        attention, point = self.point.model.attention, self.point
        if not (is_staged(point, self.fit) and isinstance(attention, LatentAttention)):
            return ()
        element_bytes = point.precision.bytes_per_element
        cache_bytes = attention.cached_elements * point.kv_precision.bytes_per_element
        computed_bytes = (attention.q_rank or point.model.hidden) * element_bytes + cache_bytes
        gathered_bytes = point.stage_ranks * (tokens.computed * computed_bytes + tokens.cached * cache_bytes)
        heads_bytes = tokens.computed * attention.heads * attention.value_dim * element_bytes
        gathered_s = gather_s(point.cluster, point.stage_ranks, gathered_bytes)
        heads_s = all_to_all_s(point.cluster, point.stage_ranks, heads_bytes)
        return (
            Operator("latent_gather", OperatorClass.WAIT, wait_s=gathered_s),
            Operator("head_exchange", OperatorClass.WAIT, wait_s=heads_s),
        )

    def _of_other_parts(self, tokens: PassTokens) -> tuple[Operator, ...]:
        """What a rank reads, before it attends, of the prompts that it shares with others: keys and values, which it
        expands once more where they are latents."""
        point, parts = self.point, self.point.cp
        if parts == 1:
            return ()
        attention, ranks = point.model.attention, tensor_ranks(point)
        theirs = (parts - 1) * (tokens.computed + tokens.cached)
        element_bytes = point.kv_precision.bytes_per_element / min(ranks, attention.cached_heads)
        kv_bytes = theirs * parts / (parts - 1) * attention.cached_elements * element_bytes
        written_bytes = theirs * expanded_elements(point.model) * WRITTEN_AND_READ_BYTES / ranks
        flops = 2.0 * theirs * expansion_parameters(point.model) / ranks
        return (
            Operator("context_gather", OperatorClass.WAIT, wait_s=gather_s(point.cluster, parts, kv_bytes, ranks)),
            Operator("context_expansion", OperatorClass.MATRIX, point.precision, flops),
            Operator("context_vector", OperatorClass.VECTOR, hbm_bytes=written_bytes),
        )


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
    """A pass whose cached latents have arrived, in the number of micro-batches in which its stages are done first."""
    if model.point.pp == 1:
        return _stage_time(model, tokens)
    return min((_pipelined(model, tokens, count) for count in MICROBATCHES), key=lambda found: found.whole.seconds)


def _stage_time(model: PrefillModel, tokens: PassTokens) -> PrefillPass:
    """Of the stage with the most layers."""
    shape, share = model.point.model, model.point.layer_share
    attention_s = model.busy_s(model.attention(tokens))
    dense = one_after_another(attention_s | model.busy_s(model.dense(tokens)))
    layer = _expert_layer(model, model.layout, tokens, attention_s) if model.layout else dense
    once = one_after_another(model.busy_s((*model.once(), *model.handed_on(tokens))))
    layers = [dense.times(share * shape.dense_layers), layer.times(share * shape.moe_layers)]
    return PrefillPass(total([*layers, once]), layer)


def _pipelined(model: PrefillModel, tokens: PassTokens, count: int) -> PrefillPass:
    """The last of `count` micro-batches leaves the last stage; each stage waits for those before it to begin, and for
    those behind it to end."""
    stage = _stage_time(model, tokens.part(count))
    idle_s = (model.point.pp - 1) * stage.whole.seconds
    whole = total([stage.whole.times(count), one_after_another({"pipeline_bubble": idle_s})])
    return PrefillPass(whole, stage.layer)


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
