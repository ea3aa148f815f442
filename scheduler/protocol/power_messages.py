"""What core and instances say of power budgets; `messages` has these with all others."""

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
