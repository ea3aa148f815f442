"""What the attention of one layer does on one rank: on the cached form in decode, with heads expanded in prefill."""

from __future__ import annotations

from sim_hw.chips.chip import Precision
from sim_hw.chips.fit import ChipFit
from sim_hw.models.attention import LatentAttention
from sim_hw.models.shape import ModelShape
from sim_hw.operators.operator import Operator, OperatorClass

WRITTEN_AND_READ_BYTES = 4
"""An activation in BF16, once written and once read."""

_OUTPUT = "output"


def matrix_product(name: str, parameters: float, rows: float, precision: Precision) -> Operator:
    """`rows` token rows times a matrix of weights, which is read once."""
    return Operator(
        name, OperatorClass.MATRIX, precision, 2.0 * rows * parameters, parameters * precision.bytes_per_element
    )


def projections(model: ModelShape, rows: float, precision: Precision, ranks: int = 1) -> tuple[Operator, Operator]:
    """All products before attention ("attention_prolog") and the one after it, weights shared by `ranks`."""
    weights = shared_parameters(model, ranks)
    output = weights.pop(_OUTPUT)
    return (
        matrix_product("attention_prolog", sum(weights.values()), rows, precision),
        matrix_product("output_projection", output, rows, precision),
    )


def shared_parameters(model: ModelShape, ranks: int) -> dict[str, float]:
    """Weights of one layer on each of the ranks that share its heads, by projection.

    What turns into a latent, and heads of keys and values that are fewer than ranks, are on each of them.
    """
    found: dict[str, float] = {}
    for one in model.attention.projections(model.hidden):
        parts = ranks if one.into_heads or one.name == _OUTPUT else 1
        found[one.name] = one.parameters / (
            min(parts, model.attention.cached_heads) if one.name in ("k", "v") else parts
        )
    return found


def decode_attention(
    model: ModelShape,
    fit: ChipFit,
    precision: Precision,
    requests: float,
    rows_per_request: int,
    context_tokens: float,
    ranks: int = 1,
    kv_precision: Precision = Precision.BF16,
    score_precision: Precision = Precision.BF16,
) -> tuple[Operator, ...]:
    """One decode step of `requests` requests with `context_tokens` KV tokens each; heads split over `ranks`."""
    rows = requests * rows_per_request
    prolog, output = projections(model, rows, precision, ranks)
    kv_elements = model.attention.cached_elements / min(ranks, model.attention.cached_heads)
    scores = Operator(
        "attention",
        OperatorClass.ATTENTION,
        score_precision,
        flops=rows * context_tokens * model.attention.decode_flops_per_kv_token / ranks,
        hbm_bytes=requests * context_tokens * kv_elements * kv_precision.bytes_per_element,
    )
    request_s = fit.request_s.value + context_tokens * fit.kv_token_s.value
    handling = Operator("request_handling", OperatorClass.REQUEST, wait_s=requests / ranks * request_s)
    return (prolog, scores, output, handling)


def prefill_attention(
    model: ModelShape,
    fit: ChipFit,
    precision: Precision,
    computed_tokens: float,
    cached_tokens: float,
    pairs: float,
    ranks: int = 1,
) -> tuple[Operator, ...]:
    """One pass over `computed_tokens` of one rank that attend to (query, key) `pairs`, `cached_tokens` among the keys.

    `ranks` splits the heads of each token (tensor parallelism of a dense model).
    """
    prolog, output = projections(model, computed_tokens, precision, ranks)
    # Its weights are among those that the prolog reads.
    expansion_flops = 2.0 * cached_tokens * expansion_parameters(model) / ranks
    expanded = Operator("cached_expansion", OperatorClass.MATRIX, precision, expansion_flops)
    scores = Operator(
        "attention", OperatorClass.ATTENTION, flops=pairs * model.attention.prefill_flops_per_pair / ranks
    )
    moved_bytes = computed_tokens * activation_elements(model) * WRITTEN_AND_READ_BYTES / ranks
    cached_bytes = cached_tokens * fit.cached_moves.value * expanded_elements(model) * WRITTEN_AND_READ_BYTES / ranks
    return (
        prolog,
        expanded,
        scores,
        output,
        Operator("attention_vector", OperatorClass.VECTOR, hbm_bytes=moved_bytes),
        Operator("cached_handling", OperatorClass.VECTOR, hbm_bytes=cached_bytes),
    )


def expansion_parameters(model: ModelShape) -> int:
    """Weights that turn a cached latent into keys and values; none where those are cached themselves."""
    return sum(one.parameters for one in model.attention.projections(model.hidden) if one.name == "kv_up")


def expanded_elements(model: ModelShape) -> int:
    """Keys and values of one token in one layer, in the form in which prefill attends to them."""
    attention = model.attention
    if isinstance(attention, LatentAttention):
        return attention.heads * (attention.nope_dim + attention.value_dim)
    return attention.cached_elements


def activation_elements(model: ModelShape) -> int:
    """Activations of one token around attention: norm, projections' outputs, attention's output, residual."""
    outputs = sum(one.outputs for one in model.attention.projections(model.hidden))
    attended = next(one.inputs for one in model.attention.projections(model.hidden) if one.name == _OUTPUT)
    return outputs + attended + 2 * model.hidden
