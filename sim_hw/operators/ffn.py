"""What the feed-forward part of one layer does on one rank: experts with gate and all-to-all, or a dense one."""

from __future__ import annotations

from sim_hw.chips.chip import Precision
from sim_hw.chips.fit import ChipFit
from sim_hw.models.shape import ModelShape
from sim_hw.operators.attention import WRITTEN_AND_READ_BYTES, matrix_product
from sim_hw.operators.collectives import ExpertAllToAll
from sim_hw.operators.layout import ExpertLayout
from sim_hw.operators.operator import Operator, OperatorClass

ROWS_PER_HANDLING = 2
"""Token rows among the experts that cost as much as one request in attention: what a request has in the fitted rows."""

DOWN_PROJECTION_SHARE = 1 / 3
"""Of the products of an expert; behind it a single batch can hide its combine."""


def dispatch_and_combine(all_to_all: ExpertAllToAll, rows: float) -> tuple[Operator, Operator]:
    """Dispatch and combine of `rows` token rows of each rank."""
    return (
        Operator("dispatch", OperatorClass.WAIT, wait_s=all_to_all.seconds("dispatch", rows)),
        Operator("combine", OperatorClass.WAIT, wait_s=all_to_all.seconds("combine", rows)),
    )


def expert_products(
    model: ModelShape,
    layout: ExpertLayout,
    precision: Precision,
    rows: float,
    slowest_rows: float,
    weight_bytes: float | None = None,
    ranks: int = 1,
    gate_rows: float | None = None,
) -> tuple[Operator, Operator]:
    """Gate for the rank's own `rows`, grouped products for the `slowest_rows` that arrive at the slowest rank.

    Of its experts, those that no row comes to are not read. `weight_bytes` is the size of a weight where it is not
    kept in `precision`. Each expert is split over `ranks`, which then have `rows` together; `gate_rows` are a rank's
    own where these are others.
    """
    weights = model.expert_parameters / ranks
    weight_bytes = precision.bytes_per_element if weight_bytes is None else weight_bytes
    return (
        matrix_product("gate", model.router_parameters, rows if gate_rows is None else gate_rows, Precision.BF16),
        Operator(
            "experts",
            OperatorClass.MATRIX,
            precision,
            2.0 * slowest_rows * weights,
            layout.slowest_rank_slots(rows) * weights * weight_bytes,
        ),
    )


def dense_products(model: ModelShape, precision: Precision, rows: float, ranks: int = 1) -> Operator:
    """The dense feed-forward part, weights split over `ranks`."""
    return matrix_product("dense_ffn", model.dense_parameters / ranks, rows, precision)


def row_handling(fit: ChipFit, rows: float) -> Operator:
    """Decode's vector work and launches around the products, by token rows."""
    return Operator("row_handling", OperatorClass.REQUEST, wait_s=rows / ROWS_PER_HANDLING * fit.request_s.value)


def ffn_vector(
    model: ModelShape, intermediate: int, rows: float, ranks: int = 1, inputs: float | None = None
) -> Operator:
    """Prefill's activations of `rows` passes through a feed-forward part: input, gate and up, product, output.

    `inputs` are the rows that are taken in where these are fewer: several experts read one where it lies.
    """
    elements = rows * (model.hidden + 3 * intermediate / ranks) + (rows if inputs is None else inputs) * model.hidden
    return Operator("ffn_vector", OperatorClass.VECTOR, hbm_bytes=elements * WRITTEN_AND_READ_BYTES)
