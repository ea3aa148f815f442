"""Instances of a case that can be parked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scheduler.protocol.component import Component
from tests.naive.case import PARKED_WATTS, Case
from workers.parking import ParkableInstance


@dataclass(frozen=True)
class WholeParkedDraw:
    """Of a parked instance, in the same units."""

    wake_ns: int

    def joules(self, span_ns: int) -> float:
        """The integral of one power."""
        return float(PARKED_WATTS * span_ns)


def parkable(case: Case, instance: Component, is_empty: Callable[[], bool]) -> Component:
    """The instance, such that it can be parked where a case has that."""
    if case.parking is None:
        return instance
    return ParkableInstance(instance, is_empty, WholeParkedDraw(case.parking[2]))
