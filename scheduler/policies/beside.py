"""A policy that decides, and another that is asked beside it: what would it have said to the same views?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from scheduler.policies.failures import BrokenOffError, PolicyFailures
from scheduler.policies.view import PairPolicy, Reads, RequestView, RoutingPolicy, StageView
from scheduler.protocol.errors import PolicyStuckError, UndeclaredReadError


class AskedBeside:
    """A `RoutingPolicy` that does what `policy` does; `other` is shown the same, and what it says is noted.

    `said`: the places among eligible instances that both named last, None for one that failed or was not asked. Both
    are shown what either reads.
    """

    def __init__(self, policy: RoutingPolicy, other: RoutingPolicy) -> None:
        self.said: tuple[int | None, int | None] = (None, None)
        self.failures: Final = PolicyFailures()
        """Of the other."""
        self.other: Final = other
        self._policy = policy
        if hasattr(policy, "choose_pair"):
            self.choose_pair = self._choose_pair

    @property
    def reason(self) -> str:
        """Of the one that decides."""
        return self._policy.reason

    @property
    def reads(self) -> Reads:
        """What either reads."""
        return self._policy.reads | self.other.reads

    def choose(self, stage: StageView, request: RequestView) -> int:
        """What the one that decides chooses."""
        other = self._ask_other(self.other.choose, stage, request)
        self.said = None, other
        place = self._policy.choose(stage, request)
        self.said = place, other
        return place

    def _choose_pair(self, prefill: StageView, decode: StageView, request: RequestView) -> tuple[int, int]:
        if hasattr(self.other, "choose_pair"):
            pair = self._ask_other(cast("PairPolicy", self.other).choose_pair, prefill, decode, request)
            other = None if pair is None else pair[0]
        else:
            other = self._ask_other(self.other.choose, prefill, request)
        self.said = None, other
        places = cast("PairPolicy", self._policy).choose_pair(prefill, decode, request)
        self.said = places[0], other
        return places

    def _ask_other(self, choose: Callable[..., Any], *views: object) -> Any:
        try:
            return choose(*views)
        except (UndeclaredReadError, PolicyStuckError):
            raise
        except BrokenOffError:
            return None
        except Exception as error:  # noqa: BLE001 - as in the router: a policy may fail in any way
            self.failures.add(str(error) or repr(error))
            return None

    def take(self) -> tuple[int | None, int | None]:
        """What both said last, once."""
        said, self.said = self.said, (None, None)
        return said
