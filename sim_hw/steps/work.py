"""What a step or pass does, against what the die could do: utilisation of arithmetic (MFU) and of memory bandwidth.

Of the mean rank: where tokens fall unevenly on experts, the slowest rank takes the time and all ranks share the work.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.chip import Chip
from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import fit_of
from sim_hw.operators.layout import expert_layout, tensor_ranks
from sim_hw.operators.operating_point import DecodePoint, ExpertBalance, PrefillPoint
from sim_hw.operators.operator import Operator
from sim_hw.operators.roofline import is_clock_bound, operator_s
from sim_hw.steps.decode_step import DecodeModel, draft_operators, once_operators, single_draft_operators
from sim_hw.steps.prefill_pass import PassTokens, PrefillModel, pass_tokens

Counted = Iterable[tuple[float, tuple[Operator, ...]]]


class Work(Struct, frozen=True):
    """Seconds that the arithmetic and the memory traffic would take at peak; each operator in its own precision."""

    compute_s: float
    memory_s: float
    clock_bound_s: float
    """Seconds at the full clock of operators that a lower clock makes slower: those bound by cores, not by memory,
    links or waits."""


def decode_work(point: DecodePoint, *, is_split: bool) -> Work:
    """Of one step of one rank; a batch that is split in two reads weights twice."""
    model = DecodeModel(replace(point, eplb=ExpertBalance.PERFECT), fit_of(point.chip), expert_layout(point))
    requests = float(point.requests_per_rank) * tensor_ranks(point)
    shape = point.model
    attention, dense = model.attention(requests), model.dense(requests)
    counted: list[tuple[float, tuple[Operator, ...]]] = [
        (shape.dense_layers, (*attention, *dense)),
        (1.0, once_operators(model, requests)),
        (point.mtp_k, draft_operators(model, requests)),
        (point.single_drafts, single_draft_operators(model, requests)),
    ]
    if model.layout:
        parts = 2 if is_split else 1
        layer = (*model.attention(requests / parts), *model.experts(model.layout, requests / parts)[0])
        counted.append((parts * (shape.moe_layers + point.whole_drafts), layer))
    return _work(point.chip, model.fit, counted)


def prefill_work(point: PrefillPoint) -> Work:
    """Of one pass of one rank."""
    return pass_work(point, pass_tokens(point))


def pass_work(point: PrefillPoint, tokens: PassTokens) -> Work:
    """Of one pass of one rank over these tokens, whatever load `point` names; a pipeline reads weights only once."""
    model = PrefillModel(replace(point, eplb=ExpertBalance.PERFECT), fit_of(point.chip), expert_layout(point))
    shape, share = point.model, 1.0 / point.pp
    attention = model.attention(tokens)
    counted: list[tuple[float, tuple[Operator, ...]]] = [
        (share * shape.dense_layers, (*attention, *model.dense(tokens))),
        (1.0, model.once()),
    ]
    if model.layout:
        counted.append((share * shape.moe_layers, (*attention, *model.experts(model.layout, tokens))))
    return _work(point.chip, model.fit, counted)


def _work(chip: Chip, fit: ChipFit, counted: Counted) -> Work:
    compute_s = memory_s = clock_bound_s = 0.0
    for count, operators in counted:
        for operator in operators:
            if operator.flops:
                compute_s += count * operator.flops / chip.die_flops(operator.precision)
            memory_s += count * operator.hbm_bytes / chip.die.hbm_bytes_per_s.value
            if is_clock_bound(operator, chip, fit):
                clock_bound_s += count * operator_s(operator, chip, fit)
    return Work(compute_s, memory_s, clock_bound_s)
