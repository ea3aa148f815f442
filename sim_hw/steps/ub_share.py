"""What an instance's own all-to-alls take of the UB links of its dies, and the instance as it is with less of them.

Dispatch, combine and the collectives of staged attention move bytes between dies. As any access, one of them takes a
die's whole link while its bytes flow, and moves what that kind was measured to. With a share s of the link that part
lasts 1 / s times as long; what an all-to-all waits for besides, such as messages and rows, does not.
"""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from sim_hw.chips.sheet import fit_of
from sim_hw.figure import Figure
from sim_hw.operators.layout import expert_layout, tensor_ranks
from sim_hw.operators.operating_point import DecodePoint, Instance, PrefillPoint
from sim_hw.operators.operator import Operator, OperatorClass
from sim_hw.steps.decode_step import DecodeModel, single_draft_operators
from sim_hw.steps.prefill_pass import PassTokens, PrefillModel

AnyInstance = TypeVar("AnyInstance", bound=Instance)


def with_ub_share(point: AnyInstance, share: float) -> AnyInstance:
    """The instance of `point` with that share of what UB gives its dies, 0 < share <= 1."""
    cluster = point.cluster
    die = cluster.chip.die
    slower = replace(die, scale_up_bytes_per_s=_part(die.scale_up_bytes_per_s, share))
    accesses = [replace(access, bytes_per_s=_part(access.bytes_per_s, share)) for access in cluster.ub_accesses]
    chip = replace(cluster.chip, die=slower)
    return replace(point, cluster=replace(cluster, chip=chip, ub_accesses=tuple(accesses)))


def prefill_link_s(point: PrefillPoint) -> tuple[float, float]:
    """Seconds of the UB link of each die that a pass takes for one computed and for one cached token of a rank.

    What a pass takes is proportional to its tokens.
    """
    halved = with_ub_share(point, 0.5)
    computed, cached = PassTokens(1.0, 0.0, 0.0), PassTokens(0.0, 1.0, 0.0)
    # Half the link doubles what waits for it, and nothing else.
    return (
        _pass_wait_s(halved, computed) - _pass_wait_s(point, computed),
        _pass_wait_s(halved, cached) - _pass_wait_s(point, cached),
    )


def decode_link_s(point: DecodePoint) -> float:
    """Seconds of the UB link of each die that a step takes for one request of each die, in proportion to these."""
    return _step_wait_s(with_ub_share(point, 0.5)) - _step_wait_s(point)


def _pass_wait_s(point: PrefillPoint, tokens: PassTokens) -> float:
    model, shape = PrefillModel(point, fit_of(point.chip), expert_layout(point)), point.model
    wait_s = shape.layers * _wait_s(model.attention(tokens)) + shape.dense_layers * _wait_s(model.dense(tokens))
    wait_s += shape.moe_layers * _wait_s(model.all_to_all(model.layout, tokens)) if model.layout else 0.0
    return wait_s / point.pp + _wait_s(model.handed_on(tokens))


def _step_wait_s(point: DecodePoint) -> float:
    model, shape = DecodeModel(point, fit_of(point.chip), expert_layout(point)), point.model
    requests = float(tensor_ranks(point))
    wait_s = (shape.layers + point.whole_drafts) * _wait_s(model.attention(requests))
    wait_s += point.single_drafts * _wait_s(single_draft_operators(model, requests))
    if model.layout is None:
        return wait_s + (shape.dense_layers + point.whole_drafts) * _wait_s(model.dense(requests))
    communication = model.experts(model.layout, requests)[1]
    return (
        wait_s
        + shape.dense_layers * _wait_s(model.dense(requests))
        + (shape.moe_layers + point.whole_drafts) * _wait_s(communication)
    )


def _wait_s(operators: tuple[Operator, ...]) -> float:
    return sum(operator.wait_s for operator in operators if operator.kind is OperatorClass.WAIT)


def _part(figure: Figure, share: float) -> Figure:
    return replace(figure, value=share * figure.value)
