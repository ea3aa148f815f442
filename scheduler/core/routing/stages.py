"""The routers of the two stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import Stage
from scheduler.core.guest import Guest
from scheduler.core.open_requests import RequestFacts
from scheduler.core.routing.router import Router
from scheduler.policies.failures import PolicyFailures
from scheduler.policies.view import PairPolicy, Reads, RoutingPolicy, StageKind

# Only runs that predict need it.
if TYPE_CHECKING:
    from scheduler.core.estimates.prediction_error import PredictionError


class Routing:
    """`prefill` and `decode` choose."""

    def __init__(
        self,
        prefill: tuple[Stage, RoutingPolicy],
        decode: tuple[Stage, RoutingPolicy],
        facts: RequestFacts,
        config: SchedulerConfig,
        also_reads: Reads = Reads.LOAD,
    ) -> None:
        has_own_caches, age_ns = config.cache_mode is CacheMode.LOCAL, config.view_age_ns
        self.prefill: Final = Router(
            *prefill,
            StageKind.PREFILL,
            facts,
            has_own_caches=has_own_caches,
            view_age_ns=age_ns,
            also_reads=also_reads,
        )
        pairs = hasattr(prefill[1], "choose_pair")
        self.decode: Final = Router(
            *decode,
            StageKind.DECODE,
            facts,
            view_age_ns=age_ns,
            also_reads=also_reads,
            pair_reads=prefill[1].reads if pairs else Reads.LOAD,
        )
        if pairs:
            self.prefill.pair_with(cast("PairPolicy", prefill[1]), self.decode)

    @property
    def guests(self) -> list[Guest]:
        """Who learns from reports, of the stages where anybody reads what is learned."""
        return [router.worker_state for router in (self.prefill, self.decode) if router.worker_state is not None]

    @property
    def predicts(self) -> bool:
        """Whether anybody reads predicted times."""
        return self.prefill.predicts or self.decode.predicts

    @property
    def prediction_errors(self) -> dict[str, PredictionError]:
        """Of times to first token and per output token, as far as anybody predicts them."""
        found = {"ttft": self.prefill.prediction_error, "tpot": self.decode.prediction_error}
        return {kind: error for kind, error in found.items() if error is not None}

    @property
    def failures(self) -> dict[str, PolicyFailures]:
        """Of the policy of each stage."""
        return {"prefill": self.prefill.failures, "decode": self.decode.failures}
