"""Counts what a core decides while it runs: how often each policy chose an instance, by stage and reason.

Like the log in `decisions` it is put around the core's handlers, because a tap sees what a core is told, not what it
says; only who asked for it pays.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Any, Final, Protocol

from scheduler.core.router import FALLBACK_REASON
from scheduler.metrics.outcome.decisions import DECIDED_ON
from scheduler.policies import ROUTING
from scheduler.protocol.component import Outputs
from scheduler.protocol.messages import ReserveKv, StartPrefill

STAGES: Final = ("prefill", "decode")
OWN: Final = ("own", "its own choice")
"""Policy and reason of whatever is in no list: a policy of the user, which may give any reason."""

Handler = Callable[[int, Any], Outputs]


class Reasoned(Protocol):
    """Who chooses for a stage."""

    @property
    def reason(self) -> str:
        """Why it chose as it did last."""
        ...


@lru_cache(maxsize=1)
def decision_series() -> tuple[tuple[str, str, str], ...]:
    """Stage, policy and reason of each count: those known by name, what takes the place of a policy that fails, and all
    others as one."""
    reasons = [getattr(known.make, "reason", "") for known in ROUTING.values()]
    pairs = [_split(reason) for reason in (*dict.fromkeys(reasons), FALLBACK_REASON) if reason]
    return tuple((stage, policy, why) for stage in STAGES for policy, why in (*pairs, OWN))


class DecisionCounts:
    """Of a live system, over all its sessions."""

    def __init__(self) -> None:
        self._counts: Final = dict.fromkeys(decision_series(), 0)

    def totals(self) -> tuple[int, ...]:
        """In the order of `decision_series`."""
        return tuple(self._counts.values())

    def watch(self, handlers: MutableMapping[type, Handler], decode: Reasoned) -> None:
        """Count what a core with these handlers decides from now on; who chooses for decode says why, as messages do
        not."""
        for kind in handlers.keys() & DECIDED_ON:
            handlers[kind] = self._watched(handlers[kind], decode)

    def _watched(self, handler: Handler, decode: Reasoned) -> Handler:
        def handle(now_ns: int, message: Any) -> Outputs:
            outputs = handler(now_ns, message)
            said: Any  # pyright could not follow which message it is
            for _, said in outputs:
                kind = said.__class__
                if kind is StartPrefill:
                    self._add("prefill", said.reason, len(said.ids))
                elif kind is ReserveKv:
                    self._add("decode", decode.reason, len(said.ids))
            return outputs

        return handle

    def _add(self, stage: str, reason: str, num: int) -> None:
        key = (stage, *_split(reason))
        self._counts[key if key in self._counts else (stage, *OWN)] += num


def _split(reason: str) -> tuple[str, str]:
    """A reason begins with the name of its policy."""
    policy, _, why = reason.partition(": ")
    return policy, why
