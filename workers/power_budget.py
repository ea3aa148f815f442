"""The budget of watts of an instance, which it keeps from the next boundary between steps or passes on."""

from __future__ import annotations

from scheduler.protocol.messages import Message, PowerBudgetSet, SetPowerBudget, Usage, UsageReported


class PowerBudget:
    """What is kept now, and what was asked for since; `watts` is for the whole instance."""

    def __init__(self, address: str, watts: int, reports_to: str) -> None:
        self.watts = watts
        self._address = address
        self._reports_to = reports_to
        self._asked: int | None = None

    def ask(self, message: SetPowerBudget) -> None:
        """From the next boundary on; what was asked for before and not taken on is forgotten."""
        self._asked = message.budget_w

    def take_on(self) -> tuple[str, Message] | None:
        """At a boundary: keep what was asked for, and confirm it; None if nothing was."""
        if self._asked is None:
            return None
        self.watts, self._asked = self._asked, None
        return self._reports_to, PowerBudgetSet(self._address, self.watts)

    def account(self, usage: Usage) -> tuple[str, Message]:
        """What was drawn under a budget that ends."""
        return self._reports_to, UsageReported(self._address, usage)
