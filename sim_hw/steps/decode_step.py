"""One decode step of an instance: layers, MTP module and head on its slowest rank.

With two micro-batches an expert layer runs as two streams. Where the chip gives each stream cores of its own (Ascend),
attention of one micro-batch runs beside gate, dispatch, experts and combine of the other, and the layer lasts twice the
slower stream; the split of the cores is the best one for the operating point. Where it does not (GPUs), computation of
one micro-batch covers what the all-to-all of the other has on the wire. Either way the two read all weights twice, so
an instance that may split its batch does so only where that is faster.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.supernode import Overlap
from sim_hw.models.shape import ModelShape
from sim_hw.operators.attention import decode_attention, matrix_product
from sim_hw.operators.collectives import ALL_REDUCE_FIXED_S, ExpertAllToAll
from sim_hw.operators.ffn import (
    DOWN_PROJECTION_SHARE,
    dense_products,
    dispatch_and_combine,
    expert_products,
    row_handling,
)
from sim_hw.operators.layout import ExpertLayout, expert_layout, tensor_ranks
from sim_hw.operators.operating_point import DecodePoint, Drafter
from sim_hw.operators.operator import Operator, OperatorClass
from sim_hw.operators.roofline import busy_s
from sim_hw.operators.sharing import Sharing, sharing_of
from sim_hw.steps.step_time import StepTime, behind, one_after_another, total

SPLIT_STEP_CORES = 2
"""Core splits are tried in steps of so many cube cores."""

SAMPLING_BYTES_PER_LOGIT = 112.0
"""Assumed: FP32 read and written 14 times: scale, softmax in 3 passes, a radix sort of keys and indices in 4 x 2, sum
and draw."""


class DecodeStep(Struct, frozen=True):
    """`layer` is one expert layer, both micro-batches; `attention_cores` are the cube cores of its attention stream."""

    step: StepTime
    layer: StepTime
    is_split: bool
    """Into two micro-batches."""
    attention_cores: int | None
    """None where the batch is not split, or its streams are not given cores."""


class ExpertLayer(Struct, frozen=True):
    """One expert layer and the way in which it runs, as in `DecodeStep`."""

    time: StepTime
    is_split: bool
    attention_cores: int | None


class DecodeModel(Struct, frozen=True):
    """The operators of one rank at one operating point, for as many requests as a caller names: those of the rank, or
    of the ranks together that share its attention."""

    point: DecodePoint
    fit: ChipFit
    layout: ExpertLayout | None

    @property
    def sharing(self) -> Sharing:
        """Which ranks share tensors."""
        return sharing_of(self.point, ALL_REDUCE_FIXED_S.value)

    def attention(self, requests: float) -> tuple[Operator, ...]:
        """Of one layer."""
        point = self.point
        ranks = tensor_ranks(point)
        operators = decode_attention(
            point.model,
            self.fit,
            point.precision,
            requests,
            point.rows_per_request,
            point.context_tokens,
            ranks,
            point.kv_precision,
            point.score_precision,
        )
        launch = self._launch("attention_launch")
        shared = self.sharing.after_attention(requests * point.rows_per_request) if ranks > 1 else ()
        return (*operators, *launch, *shared)

    def experts(self, layout: ExpertLayout, requests: float) -> tuple[tuple[Operator, ...], tuple[Operator, ...]]:
        """Computation of one expert layer, and its all-to-all."""
        point, sharing = self.point, self.sharing
        rows = requests * point.rows_per_request
        rank_rows = sharing.rank_rows(rows)
        shared_rows = rank_rows * point.expert_tp
        spread = self.fit.text_spread.value / (layout.ep * point.expert_tp * requests / sharing.attention) ** 0.5
        slowest = layout.slowest_rank_rows(shared_rows, point.eplb, spread)
        products = expert_products(
            point.model,
            layout,
            point.expert_precision,
            shared_rows,
            slowest,
            point.expert_bytes,
            point.expert_tp,
            rows if sharing.is_joined else rank_rows,
        )
        computed = (*products, row_handling(self.fit, rank_rows), *self._launch("ffn_launch"))
        exchanged = () if sharing.is_joined else self._exchange(layout, shared_rows)
        return computed, (*exchanged, *sharing.around_experts(rows))

    def dense(self, requests: float) -> tuple[Operator, ...]:
        """Of one dense layer.

        What rows and launches cost was fitted on all layers of models with experts, and is left out without any.
        """
        rows, sharing = requests * self.point.rows_per_request, self.sharing
        products = dense_products(self.point.model, self.point.precision, sharing.dense_rows(rows), sharing.dense)
        handling = (row_handling(self.fit, sharing.rank_rows(rows)),) if self.layout else ()
        return (products, *handling, *self._launch("ffn_launch"), *sharing.around_dense(rows))

    def _launch(self, name: str) -> tuple[Operator, ...]:
        """What a block takes for each micro-batch, however few requests it has."""
        if self.layout:
            return (Operator(name, OperatorClass.WAIT, wait_s=self.fit.block_s.value),)
        dense_s = self.fit.dense_block_s.value
        return (Operator(name, OperatorClass.WAIT, wait_s=dense_s),) if dense_s else ()

    def _exchange(self, layout: ExpertLayout, rows: float) -> tuple[Operator, ...]:
        point = self.point
        messages, hidden = layout.messages_per_row, point.model.hidden
        communication = ExpertAllToAll(point.cluster, self.fit, layout.ep, hidden, messages, point.expert_tp)
        return dispatch_and_combine(communication, rows)

    def busy_s(self, operators: tuple[Operator, ...], core_share: float = 1.0) -> dict[str, float]:
        """Seconds by operator on that share of the cores."""
        return busy_s(operators, self.point.chip, self.fit, core_share)


def decode_step(point: DecodePoint, fit: ChipFit | None = None) -> DecodeStep:
    """The step at `point` with the fitted numbers of its chip, or with others for comparison."""
    model = DecodeModel(point, fit or fit_of(point.chip), expert_layout(point))
    requests = float(point.requests_per_rank) * tensor_ranks(point)
    shape = point.model
    attention_s = model.busy_s(model.attention(requests))
    dense_layer = one_after_another(attention_s | model.busy_s(model.dense(requests)))
    layer = expert_layer(model, requests) if model.layout else ExpertLayer(dense_layer, False, None)
    parts = [
        dense_layer.times(shape.dense_layers),
        layer.time.times(shape.moe_layers),
        one_after_another(model.busy_s(once_operators(model, requests))),
    ]
    if point.mtp_k:
        entry = one_after_another(model.busy_s(draft_operators(model, requests)))
        single = one_after_another(model.busy_s(single_draft_operators(model, requests)))
        whole = layer.time.times(point.whole_drafts)
        drafting = total([whole, single.times(point.single_drafts), entry.times(point.mtp_k)])
        parts.append(_named(point.drafter.value, drafting))
    return DecodeStep(total(parts), layer.time, layer.is_split, layer.attention_cores)


def expert_layer(model: DecodeModel, requests: float) -> ExpertLayer:
    """One expert layer of `requests` requests per rank, in the fastest way that the instance may run it."""
    layout = model.layout
    assert layout is not None
    computed, communication = model.experts(layout, requests)
    computed_s = model.busy_s(model.attention(requests)) | model.busy_s(computed)
    communication_s = model.busy_s(communication)
    whole = ExpertLayer(one_after_another(computed_s | communication_s), False, None)
    if model.point.overlap is Overlap.NONE:
        return whole
    if model.point.overlap is Overlap.SINGLE_BATCH:
        return ExpertLayer(single_batch(layout, computed_s, communication_s), False, None)
    if model.point.chip.die.cube_cores is None:
        split = [_covered_all_to_all(model, layout, requests / 2)]
    else:
        split = _split_streams(model, layout, requests / 2)
    return min([whole, *split], key=lambda layer: layer.time.seconds)


def stage_s(model: DecodeModel, requests: float, attention_share: float) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds by operator of the two streams for one micro-batch, the first with that share of the cores."""
    layout = model.layout
    assert layout is not None
    computed, communication = model.experts(layout, requests)
    return _streams(model, model.attention(requests), computed, communication, attention_share)


def _split_streams(model: DecodeModel, layout: ExpertLayout, requests: float) -> list[ExpertLayer]:
    cores = model.point.chip.die.cube_cores
    assert cores is not None
    found: list[ExpertLayer] = []
    attention, (computed, communication) = model.attention(requests), model.experts(layout, requests)
    for attention_cores in range(SPLIT_STEP_CORES, cores.count, SPLIT_STEP_CORES):
        share = attention_cores / cores.count
        first, second = _streams(model, attention, computed, communication, share)
        exposed = max(first, second, key=lambda stream: sum(stream.values()))
        found.append(ExpertLayer(StepTime(first | second, exposed).times(2), True, attention_cores))
    return found


def _streams(
    model: DecodeModel,
    attention: tuple[Operator, ...],
    computed: tuple[Operator, ...],
    communication: tuple[Operator, ...],
    attention_share: float,
) -> tuple[dict[str, float], dict[str, float]]:
    first_s = model.busy_s(attention, attention_share)
    second_s = model.busy_s((*computed, *communication), 1.0 - attention_share)
    return (
        first_s | {"attention_stall": contended_s(model, computed)},
        second_s | {"ffn_stall": contended_s(model, attention)},
    )


def contended_s(model: DecodeModel, operators: tuple[Operator, ...]) -> float:
    """What a stream waits while `operators` of the stream beside it use the memory that both share."""
    num_bytes = sum(operator.hbm_bytes for operator in operators)
    full_bytes_per_s = model.point.chip.die.hbm_bytes_per_s.value * model.fit.memory_efficiency.value
    return model.fit.contended_share.value * num_bytes / full_bytes_per_s


def _covered_all_to_all(model: DecodeModel, layout: ExpertLayout, requests: float) -> ExpertLayer:
    computed, communication = model.experts(layout, requests)
    front_s = model.busy_s(model.attention(requests)) | model.busy_s(computed)
    exchange_s, kernels_s = model.busy_s(communication), exchange_kernels_s(model)
    wire_s = {name: seconds - kernels_s.get(name, 0.0) for name, seconds in exchange_s.items()}
    waited_s = behind(front_s, wire_s, sum(front_s.values())).exposed_s
    exposed_s = {name: waited_s.get(name, 0.0) + kernels_s.get(name, 0.0) for name in front_s | exchange_s}
    return ExpertLayer(StepTime(front_s | exchange_s, exposed_s).times(2), True, None)


def exchange_kernels_s(model: DecodeModel) -> dict[str, float]:
    """Of dispatch and combine, what no computation of another micro-batch hides on a GPU: quantisation, flags and sums
    take the multiprocessors that it would need."""
    if model.sharing.is_joined or (model.layout and model.layout.ep == 1):
        return {}
    return {"dispatch": model.fit.dispatch.fixed_s.value, "combine": model.fit.combine.fixed_s.value}


def single_batch(layout: ExpertLayout, front_s: dict[str, float], communication_s: dict[str, float]) -> StepTime:
    """Dispatch hides behind the shared expert, combine behind the down-projections of the routed ones."""
    shared_s = layout.experts.shared * front_s["experts"] / layout.slots_per_rank
    cover_s = shared_s + DOWN_PROJECTION_SHARE * (front_s["experts"] - shared_s)
    return behind(front_s, communication_s, cover_s)


def once_operators(model: DecodeModel, requests: float) -> tuple[Operator, ...]:
    """What a step does outside its layers: head, sampling, launches."""
    wait = Operator("iteration", OperatorClass.WAIT, wait_s=model.fit.iteration_s.value)
    return (*_logits(model, requests * model.point.rows_per_request), wait, *_drafting(model))


def _drafting(model: DecodeModel) -> tuple[Operator, ...]:
    if not model.point.mtp_k:
        return ()
    return (Operator("drafting", OperatorClass.WAIT, wait_s=model.fit.drafting_s.value),)


def draft_operators(model: DecodeModel, requests: float) -> tuple[Operator, ...]:
    """Of a draft beside its layer: the projection that joins state and embedding, head and sampling."""
    if model.point.drafter is Drafter.NGRAM:
        return ()
    if model.point.draft_model is not None:
        return _logits(_of_draft_model(model, model.point.draft_model), requests)
    projection = model.point.model.mtp_projection_parameters
    joined = matrix_product("mtp_projection", projection, requests, model.point.precision)
    return (joined, *_logits(model, requests))


def single_draft_operators(model: DecodeModel, requests: float) -> tuple[Operator, ...]:
    """The layer of a draft for one token row of each request, in one batch, with nothing hidden."""
    return (*dense_draft_operators(model, requests), *expert_draft_operators(model, requests))


def dense_draft_operators(model: DecodeModel, requests: float) -> tuple[Operator, ...]:
    """What of it grows in proportion to the requests: all but experts."""
    if not model.point.single_drafts:
        return ()
    if model.point.draft_model is not None:
        small = _of_draft_model(model, model.point.draft_model)
        layer = (*small.attention(requests), *small.dense(requests))
        return tuple(_times(operator, model.point.draft_model.layers) for operator in layer)
    row = _of_one_row(model)
    if model.point.drafter is Drafter.EAGLE:
        ranks = tensor_ranks(model.point)
        products = matrix_product(
            "dense_ffn", eagle_ffn_parameters(model.point.model) / ranks, requests, model.point.precision
        )
        on_all = replace(row.sharing, is_joined=True)
        return (*row.attention(requests), products, *on_all.around_dense(requests))
    return (*row.attention(requests), *(() if model.layout else row.dense(requests)))


def expert_draft_operators(model: DecodeModel, requests: float) -> tuple[Operator, ...]:
    """The experts of it, where the MTP module drafts for a model with experts."""
    if not (model.point.single_drafts and model.layout and model.point.drafter is Drafter.MTP):
        return ()
    computed, communication = _of_one_row(model).experts(model.layout, requests)
    return (*computed, *communication)


def eagle_ffn_parameters(shape: ModelShape) -> int:
    """As wide as a dense layer, or as the experts that a token passes."""
    experts = shape.experts
    width = shape.dense_intermediate or (shape.experts_per_token * experts.intermediate if experts else 0)
    return 3 * shape.hidden * width


def _of_draft_model(model: DecodeModel, small: ModelShape) -> DecodeModel:
    """On the ranks that share attention, as the model that it drafts for."""
    ranks = tensor_ranks(model.point)
    point = replace(
        model.point, model=small, mtp_k=0, drafter=Drafter.MTP, draft_model=None, ep=ranks, tp=ranks, expert_tp=1
    )
    return DecodeModel(point, model.fit, None)


def _times(operator: Operator, count: int) -> Operator:
    """So many of it, one after the other."""
    return replace(
        operator,
        flops=count * operator.flops,
        hbm_bytes=count * operator.hbm_bytes,
        wait_s=count * operator.wait_s,
    )


def _of_one_row(model: DecodeModel) -> DecodeModel:
    return replace(model, point=replace(model.point, mtp_k=0))


def _logits(model: DecodeModel, rows: float) -> tuple[Operator, Operator]:
    shape, ranks = model.point.model, tensor_ranks(model.point)
    sampled_bytes = rows * shape.vocabulary / ranks * SAMPLING_BYTES_PER_LOGIT
    return (
        matrix_product("head", shape.embedding_parameters / ranks, rows, model.point.precision),
        Operator("sampling", OperatorClass.VECTOR, hbm_bytes=sampled_bytes),
    )


def _named(prefix: str, time: StepTime) -> StepTime:
    """All operators of `time` as one."""
    return StepTime({prefix: sum(time.busy_s.values())}, {prefix: time.seconds})
