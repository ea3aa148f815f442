"""A user's class as a `DisaggregationRule`."""

from __future__ import annotations

from typing import Any, Final

from scheduler.policies.disaggregation import DisaggregationView
from scheduler.policies.own.adapters import Ask, shown


class OwnDisaggregation:
    """A class with a method `stays`; whoever asks it has a fallback for when it fails."""

    def __init__(self, rule: Any, ask: Ask) -> None:
        self._rule: Final = rule
        self._ask: Final = ask

    def stays(self, view: DisaggregationView) -> bool:
        """What the class says."""
        return self._ask(self._stays, view)

    def _stays(self, view: DisaggregationView) -> bool:
        answer = self._rule.stays(view)
        if type(answer).__name__ not in ("bool", "bool_"):  # numpy's too
            raise self._ask.failed(self._rule.stays, f"stays() returned {shown(answer)}; return True or False")
        return bool(answer)
