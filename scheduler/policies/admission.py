"""Who is let in: a request that could not be served in time is better turned away at once.

Each class decides whether a request may come in, given what the core knows at that instant. The core rejects those that
may not, with reason `admission`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

from scheduler.policies.registry import KnownPolicy, register
from scheduler.policies.view import READS_ALL, Reads
from scheduler.policies.waiting import NO_LIMIT_NS, WaitingRequest
from scheduler.protocol.catalog import Catalog
from scheduler.protocol.errors import ConfigError

ADMISSIONS: Final = Catalog[KnownPolicy](besides="or FILE.py:Class")
ADMITS: Final = "who comes in"


@dataclass(slots=True)
class AdmissionView:
    """What admission may know. Predictions are for this request where it would go.

    `ttft_ns` and `tpot_ns` are predicted, with `num_samples` reports behind them. `queues` and `kv_usages` are waiting
    requests and the share of KV used, by instance.
    """

    now_ns: Final[int]
    ttft_ns: Final[float] = 0.0
    tpot_ns: Final[float] = 0.0
    num_samples: Final[int] = 0
    queues: Final[tuple[int, ...]] = ()
    kv_usages: Final[tuple[float, ...]] = ()


class Admission(Protocol):
    """Lets requests in, or not. `reads`: what must be kept of instances for its view."""

    reads: ClassVar[Reads]

    def admits(self, request: WaitingRequest, view: AdmissionView) -> bool:
        """May it come in now? One that may is counted as having come in."""
        ...


def require_above_0(**options: float) -> None:
    """A `ConfigError` if an option is 0 that others are divided or bounded by."""
    for name, value in options.items():
        if not value:
            raise ConfigError(f"option {name}=0 lets nobody in; give a number above 0")


@register(ADMISSIONS, "always", formula="everybody", source="what all others are compared with", chooses=ADMITS)
class Always:
    """Everybody."""

    reads: ClassVar = Reads.LOAD

    def admits(self, request: WaitingRequest, view: AdmissionView) -> bool:
        """Yes."""
        return True


@register(
    ADMISSIONS,
    "token_bucket",
    formula="uncached prompt tokens <= bucket, filled by tokens_per_s up to burst_tokens",
    source="folklore of traffic shaping",
    chooses=ADMITS,
)
class TokenBucket:
    """At most `tokens_per_s` prompt tokens over time, and `burst_tokens` at once; one longer than a burst never.

    The bucket fills between requests and is emptied by those let in; a request finds room or is turned away.
    """

    reads: ClassVar = Reads.LOAD

    def __init__(self, tokens_per_s: float = 1e6, burst_tokens: float = 1e6) -> None:
        require_above_0(tokens_per_s=tokens_per_s, burst_tokens=burst_tokens)
        self._tokens_per_ns: Final = tokens_per_s / 1e9
        self._burst: Final = burst_tokens
        self._level = burst_tokens
        self._filled_ns = 0

    def admits(self, request: WaitingRequest, view: AdmissionView) -> bool:
        """If the bucket holds its tokens."""
        self._level = min(self._burst, self._level + self._tokens_per_ns * (view.now_ns - self._filled_ns))
        self._filled_ns = view.now_ns
        if request.num_tokens > self._level:
            return False
        self._level -= request.num_tokens
        return True


MIN_SAMPLES: Final = 16
"""Reports before a prediction may turn anybody away: a guess is no reason."""


@register(
    ADMISSIONS,
    "slo_early_reject",
    formula="elapsed + predicted TTFT <= slack * limit, and predicted TPOT likewise",
    source="Mooncake, FAST 2025, algorithm 1",
    chooses=ADMITS,
)
class SloEarlyReject:
    """Those predicted to meet their limits: elapsed + predicted TTFT <= limit, predicted TPOT <= limit.

    Early rejection of Mooncake (FAST 2025, algorithm 1). `slack` above 1 lets in who would be late by that factor,
    below 1 it allows for predictions that are optimistic.
    """

    reads: ClassVar = READS_ALL

    def __init__(self, slack: float = 1.0) -> None:
        require_above_0(slack=slack)
        self._slack: Final = slack

    def admits(self, request: WaitingRequest, view: AdmissionView) -> bool:
        """If it would be in time, or nobody can tell yet."""
        if view.num_samples < MIN_SAMPLES:
            return True
        ttft_ns = view.now_ns - request.arrived_ns + view.ttft_ns
        if request.ttft_limit_ns != NO_LIMIT_NS and ttft_ns > self._slack * request.ttft_limit_ns:
            return False
        return request.tpot_limit_ns == NO_LIMIT_NS or view.tpot_ns <= self._slack * request.tpot_limit_ns


@register(
    ADMISSIONS,
    "shedding",
    formula="mean over instances of max(queue / queue_threshold, KV / kv_threshold) < 1, or priority >= least_priority",
    source="llm-d utilization-detector; its thresholds",
    chooses=ADMITS,
)
class SaturationShedding:
    """While the pool is saturated, only those of at least `least_priority`.

    Saturation is the mean over instances of max(queue / queue_threshold, KV usage / kv_threshold), as llm-d's
    utilization detector has it, with its thresholds 5 and 0.8; from 1 on the pool is saturated.
    """

    reads: ClassVar = Reads.REPORTS

    def __init__(self, least_priority: int = 1, queue_threshold: float = 5.0, kv_threshold: float = 0.8) -> None:
        require_above_0(queue_threshold=queue_threshold, kv_threshold=kv_threshold)
        self._least_priority: Final = least_priority
        self._queue_threshold: Final = queue_threshold
        self._kv_threshold: Final = kv_threshold

    def admits(self, request: WaitingRequest, view: AdmissionView) -> bool:
        """If it is important enough for how full the pool is."""
        return request.priority >= self._least_priority or self.saturation(view) < 1.0

    def saturation(self, view: AdmissionView) -> float:
        """0 with nothing to do; 1 and above is saturated, and so is a pool of which nothing is known."""
        pairs = list(zip(view.queues, view.kv_usages))
        if not pairs:
            return 1.0
        loads = [max(queue / self._queue_threshold, usage / self._kv_threshold) for queue, usage in pairs]
        return sum(loads) / len(loads)
