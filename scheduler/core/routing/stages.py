"""The routers of the two stages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast

from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import Stage
from scheduler.core.guest import Guest
from scheduler.core.open_requests import RequestFacts
from scheduler.core.routing.decision import Decision
from scheduler.core.routing.router import Router
from scheduler.policies.failures import PolicyFailures
from scheduler.policies.options import split_spec
from scheduler.policies.view import PairPolicy, Reads, RoutingPolicy, StageKind

# Only runs that predict need it.
if TYPE_CHECKING:
    from scheduler.core.estimates.prediction_error import PredictionError
    from scheduler.core.routing.sides import Sides


class Placing(Protocol):
    """The router of a stage, or what stands before it."""

    def choose(self, now_ns: int, request_id: int, num_tokens: int) -> Decision:
        """As `Router.choose`."""
        ...

    def withdrawn(self, index: int, request_id: int) -> None:
        """As `Router.withdrawn`."""
        ...


class Routing:
    """`prefill` and `decode` choose."""

    def __init__(
        self,
        prefill: tuple[Stage, RoutingPolicy],
        decode: tuple[Stage, RoutingPolicy],
        facts: RequestFacts,
        config: SchedulerConfig,
        also_reads: Reads = Reads.LOAD,
        replicas: Sequence[tuple[RoutingPolicy, RoutingPolicy]] = (),
    ) -> None:
        has_own_caches, age_ns = config.cache_mode is CacheMode.LOCAL, config.view_age_ns
        self.prefill: Final = Router(
            *prefill,
            StageKind.PREFILL,
            facts,
            has_own_caches=has_own_caches,
            view_age_ns=age_ns,
            counts_sends=config.counts_sends,
            replicas=[of_prefill for of_prefill, _ in replicas],
            also_reads=also_reads,
        )
        pairs = hasattr(prefill[1], "choose_pair")
        self.decode: Final = Router(
            *decode,
            StageKind.DECODE,
            facts,
            view_age_ns=age_ns,
            counts_sends=config.counts_sends,
            replicas=[of_decode for _, of_decode in replicas],
            also_reads=also_reads,
            pair_reads=prefill[1].reads if pairs else Reads.LOAD,
        )
        aggregated = prefill[0].index.keys() & decode[0].index.keys()
        self._sides: Sides | None = None
        if 0 < len(aggregated) < len(prefill[0]):
            from scheduler.core.routing.sides import Sides

            rule = config.make_rule(config.disaggregation)
            self._sides = Sides(self.prefill, aggregated, rule, split_spec(config.disaggregation)[0], facts)
        if pairs:
            self.prefill.pair_with(cast("PairPolicy", prefill[1]), self.decode)
        before = self._sides or self.prefill
        self.placing: Placing = before
        """Who chooses where a prompt is computed."""
        self.placing_decode: Placing = self.decode
        """Who chooses where a request decodes."""
        self.candidates: Callable[[int], Collection[int]] | None = None
        """Supernodes that a request may go to, where not all."""
        if config.supernode_candidates and len(set(prefill[0].pool)) > 1:
            from scheduler.core.routing.supernodes import BesidePrefill, SupernodeChoice, WithinCandidates

            choice = SupernodeChoice(prefill[0], facts, config.supernode_candidates, config.supernode_key_blocks)
            self.placing = WithinCandidates(before, choice)
            self.placing_decode = BesidePrefill(self.decode, prefill[0], decode[0], facts)
            self.candidates = choice.candidates

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
        of_stages = {"prefill": self.prefill.failures, "decode": self.decode.failures}
        return of_stages if self._sides is None else {**of_stages, "disaggregation": self._sides.failures}
