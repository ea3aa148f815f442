"""A policy that is followed, and at one decision not: what makes a run that differs from another in one choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from deploy.settings.own_policy import PolicyChoice
from deploy.settings.settings import Settings
from scheduler.core.routing.decision import Decision
from scheduler.policies.view import PolicyContext, RequestView, RoutingPolicy, StageKind, StageView
from scheduler.protocol.messages import TransferDone

OTHER_REASON: Final = "another choice, to see what it costs"


class Override(Struct, frozen=True):
    """At the call number `call` (from 0) of a stage the instance at `place` of the eligible ones is chosen instead."""

    stage: StageKind
    call: int
    place: int


class Asked(Struct):
    """One call of a policy: how many instances it could choose from, and which place it chose.

    `request_id` and `decision` are what the core made of it; -1 and None where it came to nothing (a request that was
    turned away after it was looked where it would go).
    """

    num_places: int
    place: int
    request_id: int = -1
    decision: Decision | None = None


class AskedPolicies:
    """The policies of one run: counts their calls by stage, keeps them, and answers one of them otherwise.

    It is a `DecisionLog`, by which a call is known to be of a request.
    """

    def __init__(self, override: Override | None = None) -> None:
        self.calls: Final = {stage: list[Asked]() for stage in StageKind}
        self._override = override

    def answer(self, stage: StageKind, place: Any, num_places: int) -> Any:
        """The place that counts, where the policy has named one. What is no place is left to the router to refuse."""
        calls, override = self.calls[stage], self._override
        if override is not None and override.stage is stage and override.call == len(calls):
            place = override.place
        calls.append(Asked(num_places, place))
        return place

    def is_overriding(self, stage: StageKind) -> bool:
        """Whether the last answer of a stage was another than the policy's own."""
        override = self._override
        return override is not None and override.stage is stage and override.call == len(self.calls[stage]) - 1

    def chose(self, stage: StageKind, request_id: int, decision: Decision) -> None:
        """The last call was for this request, if it was for none yet."""
        calls = self.calls[stage]
        if calls and calls[-1].decision is None:
            calls[-1].request_id, calls[-1].decision = request_id, decision

    def started(
        self, stage: StageKind, now_ns: int, instance: int, ids: Sequence[int], flow: TransferDone | None
    ) -> None:
        """Nothing is kept of it."""


class AskedPolicy:
    """Answers as `inner` does, but for the one call. All that `inner` has beside `choose` is its own."""

    def __init__(self, inner: RoutingPolicy, stage: StageKind, asked: AskedPolicies) -> None:
        self.name: Final = getattr(inner, "name", type(inner).__name__)
        self.reads: Final = inner.reads
        self._inner: Final[Any] = inner
        self._stage: Final = stage
        self._asked: Final = asked
        if hasattr(inner, "choose_pair"):
            self.choose_pair = self._choose_pair

    def __getattr__(self, name: str) -> Any:
        """Called for what is not here, such as `scores`."""
        return getattr(self._inner, name)

    @property
    def reason(self) -> str:
        """Its own, or that it was not asked."""
        return OTHER_REASON if self._asked.is_overriding(self._stage) else self._inner.reason

    def choose(self, stage: StageView, request: RequestView) -> int:
        """The policy is asked in any case, so that what it draws and remembers stays the same."""
        return self._asked.answer(self._stage, self._inner.choose(stage, request), len(stage.outstanding_requests))

    def _choose_pair(self, prefill: StageView, decode: StageView, request: RequestView) -> tuple[int, int]:
        place, partner = self._inner.choose_pair(prefill, decode, request)
        return self._asked.answer(self._stage, place, len(prefill.outstanding_requests)), partner


class _AskedChoice(PolicyChoice, frozen=True):
    """The choice of policies that are asked so; `asked` is of one run."""

    asked: AskedPolicies

    def make(self, context: PolicyContext) -> RoutingPolicy:
        """The same policy, followed."""
        return AskedPolicy(super().make(context), context.stage, self.asked)


def asking(settings: Settings, asked: AskedPolicies) -> Settings:
    """The same settings, for one run in this process, whose routing policies are asked so."""
    policy = settings.routing.policy
    choice = _AskedChoice(policy.kind, policy.spec, policy.files, asked)
    return replace(settings, routing=replace(settings.routing, policy=choice))
