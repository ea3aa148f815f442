"""A user's class as a scaling policy: when it fails, all stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from operator import index as as_index
from typing import Any, Final, cast

from scheduler.policies.failures import BrokenOffError, PolicyFailedError, PolicyFailures
from scheduler.policies.own.adapters import Ask, shown
from scheduler.policies.scaling_view import ScalingView, Wanted


class OwnScaling:
    """A class with a method `wanted`, as a `ScalingPolicy`: it returns `Wanted`, or just a mapping of counts by role.

    A view is made anew for each call, of frozen structs, so that nothing of it need be sealed.
    """

    def __init__(self, policy: Any, ask: Ask) -> None:
        self.failures: Final = PolicyFailures()
        self._policy = policy
        self._ask = ask

    def wanted(self, view: ScalingView) -> Wanted:
        """What the class says."""
        try:
            return self._ask(self._wanted, view)
        except PolicyFailedError as error:
            self.failures.add(str(error))
            return Wanted({}, f"{self._ask.name} failed")
        except BrokenOffError:
            return Wanted({}, f"{self._ask.name} was broken off")

    def _wanted(self, view: ScalingView) -> Wanted:
        answer: object = self._policy.wanted(view)
        counts, reason = (
            (answer.instances, answer.reason) if isinstance(answer, Wanted) else (answer, f"{self._ask.name}")
        )
        if not isinstance(counts, Mapping) or not all(
            role in view.roles and _is_count(count) for role, count in cast("Mapping[str, object]", counts).items()
        ):
            known = ", ".join(f"{role!r}: 1" for role in view.roles)
            what = f"wanted() returned {shown(answer)}; return counts by role such as {{{known}}}"
            raise self._ask.failed(self._policy.wanted, what)
        whole = {role: as_index(count) for role, count in cast("Mapping[str, Any]", counts).items()}
        return Wanted(whole, str(reason))


def _is_count(count: object) -> bool:
    try:
        return as_index(count) >= 0  # pyright: ignore[reportArgumentType]
    except TypeError:
        return False
