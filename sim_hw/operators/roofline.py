"""How long an operator takes on a share of a die: the slower of arithmetic and memory, at its class's efficiency."""

from __future__ import annotations

from collections.abc import Iterable

from sim_hw.chips.chip import Chip
from sim_hw.chips.fit import ChipFit
from sim_hw.operators.operator import Operator, OperatorClass


def operator_s(operator: Operator, chip: Chip, fit: ChipFit, core_share: float = 1.0) -> float:
    """Seconds on `core_share` of the cores of one die of `chip`, 0 < core_share <= 1."""
    if operator.kind is OperatorClass.WAIT:
        return operator.wait_s
    if operator.kind is OperatorClass.REQUEST:
        return operator.wait_s * handling_stretch(fit, core_share)
    memory_s = operator.hbm_bytes / memory_bytes_per_s(operator, chip, fit, core_share)
    if not operator.flops:
        return memory_s
    return max(operator.flops / compute_flops_per_s(operator, chip, fit, core_share), memory_s)


def handling_stretch(fit: ChipFit, core_share: float) -> float:
    """How much longer the handling of a request lasts on `core_share` of the cores than on all of them."""
    divided = fit.handling_core_share.value
    return 1.0 - divided + divided / core_share


def is_clock_bound(operator: Operator, chip: Chip, fit: ChipFit) -> bool:
    """Whether it takes longer when the cores' clock falls.

    Vector operators are: their efficiency, half of what memory gives, is that of the cores that move the bytes.
    """
    if operator.kind in (OperatorClass.VECTOR, OperatorClass.REQUEST):
        return True
    if operator.kind is OperatorClass.WAIT or not operator.flops:
        return False
    arithmetic_s = operator.flops / compute_flops_per_s(operator, chip, fit, 1.0)
    return arithmetic_s > operator.hbm_bytes / memory_bytes_per_s(operator, chip, fit, 1.0)


def compute_flops_per_s(operator: Operator, chip: Chip, fit: ChipFit, core_share: float) -> float:
    """What `core_share` of the cores computes at."""
    efficiency = fit.attention_efficiency if operator.kind is OperatorClass.ATTENTION else fit.matrix_efficiency
    return chip.die_flops(operator.precision) * efficiency.value * core_share


def memory_bytes_per_s(operator: Operator, chip: Chip, fit: ChipFit, core_share: float) -> float:
    """What `core_share` of the cores moves.

    A part of the cores already fills the memory (`fit.saturating_core_share`); below it bandwidth falls with cores.
    """
    efficiency = fit.vector_efficiency if operator.kind is OperatorClass.VECTOR else fit.memory_efficiency
    memory_share = min(1.0, core_share / fit.saturating_core_share.value)
    return chip.die.hbm_bytes_per_s.value * efficiency.value * memory_share


def busy_s(operators: Iterable[Operator], chip: Chip, fit: ChipFit, core_share: float = 1.0) -> dict[str, float]:
    """Seconds by name of operators that run one after another."""
    seconds: dict[str, float] = {}
    for operator in operators:
        seconds[operator.name] = seconds.get(operator.name, 0.0) + operator_s(operator, chip, fit, core_share)
    return seconds
