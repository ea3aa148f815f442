"""Which policy chose an instance for how many requests, and why."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from scheduler.metrics.family import Family
from scheduler.metrics.layout import Layout
from scheduler.metrics.live.decisions import DecisionCounts, decision_series
from scheduler.metrics.subject import SUBJECTS, Account, Session, Subject


class DecisionTotals(Struct, frozen=True):
    """Requests by stage, policy and reason, in the order of `decision_series`."""

    counts: tuple[int, ...]


class DecisionAccount(Account[DecisionTotals]):
    """What the cores that `counts` watches have decided."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.counts: Final = DecisionCounts()

    def totals(self, session: Session | None) -> DecisionTotals:
        """As they stand."""
        return DecisionTotals(self.counts.totals())


FAMILIES: Final = (
    Family(
        "supernode_decisions_total", "counter",
        "Requests for which an instance was chosen, by the policy that chose and why; of policies of one's own all "
        "reasons are one.",
        lambda s: s[DecisionTotals].counts, ("stage", "policy", "reason"), lambda _: decision_series(),
    ),
)  # fmt: skip

SUBJECTS.register("decisions", Subject(DecisionTotals, DecisionAccount, FAMILIES))
