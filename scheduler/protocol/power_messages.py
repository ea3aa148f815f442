"""What core and instances say of power budgets and of parking; `messages` has these with all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class SetPowerBudget:
    """Draw at most so much, all NPUs of the instance together, from the next step or pass on (`PowerBudgetSet`)."""

    budget_w: Final[int]


@dataclass(slots=True)
class PowerBudgetSet:
    """The instance keeps this budget since `set_ns`."""

    instance: Final[str]
    set_ns: Final[int]
    budget_w: Final[int]


@dataclass(slots=True)
class SetParked:
    """Park if there is nothing to do and nothing held, or wake; answered by `ParkedSet`."""

    is_parked: Final[bool]


@dataclass(slots=True)
class ParkedSet:
    """Since `set_ns` the instance is parked, or awake: it has woken, or could not park."""

    instance: Final[str]
    set_ns: Final[int]
    is_parked: Final[bool]
