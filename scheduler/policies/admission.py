"""Who is let in: a request that could not be served in time is better turned away at once.

Each class answers whether a request may come in, given what the core knows at that instant. The core rejects those that
may not, with reason `admission`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from scheduler.policies.waiting import NO_LIMIT_NS, WaitingRequest


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
    """Lets requests in, or not."""

    def admits(self, request: WaitingRequest, view: AdmissionView) -> bool:
        """May it come in now? One that may is counted as having come in."""
        ...


class Always:
    """Everybody."""

    def admits(self, request: WaitingRequest, view: AdmissionView) -> bool:
        """Yes."""
        return True


class TokenBucket:
    """At most `tokens_per_s` prompt tokens over time, and `burst_tokens` at once; one longer than a burst never.

    The bucket fills between requests and is emptied by those let in; a request finds room or is turned away.
    """

    def __init__(self, tokens_per_s: float, burst_tokens: float) -> None:
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


class SloEarlyReject:
    """Those predicted to meet their limits: elapsed + predicted TTFT <= limit, predicted TPOT <= limit.

    Early rejection of Mooncake (FAST 2025, algorithm 1). `slack` above 1 lets in who would be late by that factor,
    below 1 it allows for predictions that are optimistic.
    """

    def __init__(self, slack: float = 1.0) -> None:
        self._slack: Final = slack

    def admits(self, request: WaitingRequest, view: AdmissionView) -> bool:
        """If it would be in time, or nobody can tell yet."""
        if view.num_samples < MIN_SAMPLES:
            return True
        ttft_ns = view.now_ns - request.arrived_ns + view.ttft_ns
        if request.ttft_limit_ns != NO_LIMIT_NS and ttft_ns > self._slack * request.ttft_limit_ns:
            return False
        return request.tpot_limit_ns == NO_LIMIT_NS or view.tpot_ns <= self._slack * request.tpot_limit_ns


class SaturationShedding:
    """While the pool is saturated, only those of at least `least_priority`.

    Saturation is the mean over instances of max(queue / queue_threshold, KV usage / kv_threshold), as llm-d's
    utilization detector has it, with its thresholds 5 and 0.8; from 1 on the pool is saturated.
    """

    def __init__(self, least_priority: int = 0, queue_threshold: float = 5.0, kv_threshold: float = 0.8) -> None:
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
