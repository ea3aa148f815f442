"""The power budget of an instance, in watts, which it keeps from the next boundary between steps or passes on."""

from __future__ import annotations

from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import PowerBudgetSet, SetPowerBudget, Usage, UsageReported


class PowerBudget:
    """What is kept now, and what was asked for since; `watts` is for the whole instance."""

    def __init__(self, address: str, watts: int, reports_to: str) -> None:
        self.watts = watts
        self._address = address
        self._reports_to = reports_to
        self._asked: int | None = None

    def ask(self, message: SetPowerBudget) -> None:
        """Keep another budget from the next boundary on, in place of any that was asked for before."""
        self._asked = message.budget_w

    def take_on(self) -> Outputs:
        """At a boundary: keep what was asked for, and confirm it; nothing if nothing was."""
        if self._asked is None:
            return NOTHING
        self.watts, self._asked = self._asked, None
        return [(self._reports_to, PowerBudgetSet(self._address, self.watts))]

    def account(self, usage: Usage) -> Outputs:
        """Report what was drawn under a budget that ends."""
        return [(self._reports_to, UsageReported(self._address, usage))]
