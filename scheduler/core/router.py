"""Asks a stage's policy, and holds it in bounds: what it sees, and what happens if it fails."""

from __future__ import annotations

from collections.abc import Callable
from operator import index as as_index
from types import TracebackType
from typing import TYPE_CHECKING, Final

from scheduler.core.fleet import Stage
from scheduler.core.open_requests import RequestFacts
from scheduler.core.tentative_decodes import TentativeDecodes
from scheduler.policies.routing.scoring import only
from scheduler.policies.undeclared import Declared, entries_of
from scheduler.policies.view import (
    Columns,
    PairPolicy,
    Reads,
    RequestView,
    RoutingPolicy,
    StageKind,
    StageView,
)
from scheduler.protocol.errors import UndeclaredReadError
from scheduler.protocol.messages import Message

# A run by load alone keeps no worker_state and should not wait for what does.
if TYPE_CHECKING:
    from scheduler.core.estimates.prediction_error import PredictionError
    from scheduler.core.estimates.worker_state import WorkerState

FALLBACK_REASON: Final = "fallback: fewest outstanding tokens, as the policy failed"


class Router:
    """The choices of one stage.

    A policy that raises, or names no instance that is eligible, is contained: the request goes to the instance with the
    fewest outstanding tokens, `num_failures` counts it, and `first_failure` tells of the first. With `view_age_ns`
    above 0 the policy sees columns as they were when they were last taken, at most so long ago; what it is told of the
    request is of now. A policy that reads what it did not declare ends the run with an `UndeclaredReadError`.
    """

    def __init__(
        self,
        stage: Stage,
        policy: RoutingPolicy,
        kind: StageKind,
        facts: RequestFacts,
        *,
        has_own_caches: bool = False,
        view_age_ns: int = 0,
        also_reads: Reads = Reads.LOAD,
    ) -> None:
        self.num_failures = 0
        self.first_failure = ""
        self.observe: Callable[[Message], None] | None = None
        """Wants to hear what the core is told, if anything is to be learned from it."""
        self._stage = stage
        self._policy = policy
        self._choose: Callable[[StageView, RequestView], int] = policy.choose
        self._pair: tuple[PairPolicy, Router] | None = None
        self._tentative: TentativeDecodes | None = None
        self._partner: int | None = None
        self._now_ns = 0
        self._facts = facts
        self._is_prefill = kind is StageKind.PREFILL
        self._view_age_ns = view_age_ns
        self._worker_state: WorkerState | None = None
        reads, declared = policy.reads | also_reads, Declared.by(policy)
        if reads == Reads.LOAD:
            work = stage.outstanding_requests, stage.outstanding_tokens
            self._live = Columns(*work, *[()] * 6, supernodes=stage.pool)
        else:
            from scheduler.core.estimates.worker_state import WorkerState

            has_own_caches = has_own_caches and self._is_prefill
            self._worker_state = WorkerState(
                stage, facts, reads, declared, is_prefill=self._is_prefill, has_own_caches=has_own_caches
            )
            self._live = self._worker_state.columns
            self.observe = self._worker_state.observe
        self._declared_columns = declared.columns(self._live)
        self._no_request = declared.request
        self._sees_request = declared.sees_request
        self._all = stage.eligible
        # As long as all instances are up, nothing has to be prepared for a policy that reads nothing but load.
        self._shows_live = self._worker_state is None and not view_age_ns
        self._shown: tuple[int, list[int], Columns] | None = None
        self._has_failed_now = False
        self._foreseen: tuple[int, int, RequestView] | None = None

    @property
    def reason(self) -> str:
        """Why the last choice was made."""
        if self._has_failed_now:
            return FALLBACK_REASON
        if self._worker_state is None or Reads.PREDICTIONS not in self._policy.reads:
            return self._policy.reason
        told = self._worker_state.source_of_times(self._now_ns)
        return f"{self._policy.reason}; {told}" if told else self._policy.reason

    @property
    def predicts(self) -> bool:
        """Whether times of this stage are predicted for anybody."""
        return self._worker_state is not None and self._worker_state.learns

    @property
    def columns(self) -> Columns:
        """Live columns of all instances of the stage."""
        return self._live

    @property
    def prediction_error(self) -> PredictionError | None:
        """How far predicted times were from what came; None if this stage's policy reads none."""
        return None if self._worker_state is None else self._worker_state.prediction_error

    def choose(self, now_ns: int, request_id: int, num_tokens: int) -> int:
        """Index of the instance for a request that brings so many tokens to this stage; somebody is eligible."""
        if self._shows_live and self._stage.eligible is self._all:
            return self._ask(self._declared_columns, self._no_request, self._all)
        if self._tentative is not None:
            return self._choose_paired(self._tentative, now_ns, request_id, num_tokens)
        return self._choose_alone(now_ns, request_id, num_tokens)

    def pair_with(self, policy: PairPolicy, decode: Router) -> None:
        """From now on this router of the prefill stage chooses decode instances too."""
        self._pair, self._choose = (policy, decode), self._choose_with_partner
        self._tentative = decode._tentative = TentativeDecodes(len(decode._stage))
        self._shows_live = decode._shows_live = False
        self._facts.open_requests.tentative = self._tentative

    def _choose_paired(self, tentative: TentativeDecodes, now_ns: int, request_id: int, num_tokens: int) -> int:
        if self._pair is None:
            promised = tentative.take(request_id)
            if promised is not None and promised in self._stage.eligible:
                return promised
            return self._choose_alone(now_ns, request_id, num_tokens)
        index = self._choose_alone(now_ns, request_id, num_tokens)
        tentative.take(request_id)
        if self._partner is not None:
            table = self._facts.table
            kv_tokens = table.prompt_tokens[request_id] + table.output_tokens[request_id]
            tentative.make(request_id, self._partner, kv_tokens)
        return index

    def _choose_with_partner(self, view: StageView, request: RequestView) -> int:
        """What the policy answers for this stage; what it answers for the other is kept as `_partner`."""
        assert self._pair is not None
        assert self._tentative is not None
        self._partner = None
        policy, decode = self._pair
        up = decode._stage.eligible
        if not up:
            return policy.choose(view, request)
        others = self._tentative.added_to(decode._view(self._now_ns, up), up)
        index, other = policy.choose_pair(view, others, request)
        if not 0 <= other < len(up):
            raise IndexError(f"it chose decode instance {other} of {len(up)}")
        self._partner = up[as_index(other)]
        return index

    def _choose_alone(self, now_ns: int, request_id: int, num_tokens: int) -> int:
        self._has_failed_now = False
        self._now_ns = now_ns
        up = self._stage.eligible
        if self._worker_state is not None:
            return self._choose_knowing(self._worker_state, now_ns, request_id, num_tokens)
        return self._ask(self._view(now_ns, up), self._no_request, up)

    def _choose_knowing(self, worker_state: WorkerState, now_ns: int, request_id: int, num_tokens: int) -> int:
        foreseen, self._foreseen = self._foreseen, None
        if foreseen is None or foreseen[0] != request_id:
            foreseen = self._look_ahead(worker_state, now_ns, request_id, num_tokens)
        _, index, request = foreseen
        if self._is_prefill:
            worker_state.routed(index, request_id, request)
        return index

    def foresee(self, now_ns: int, request_id: int, num_tokens: int) -> tuple[int, RequestView]:
        """Where the request would go, and what is known of it there. If it is chosen for next, it goes there.

        For a router that predicts.
        """
        assert self._worker_state is not None
        self._has_failed_now = False
        self._now_ns = now_ns
        foreseen = self._foreseen = self._look_ahead(self._worker_state, now_ns, request_id, num_tokens)
        return foreseen[1:]

    def least_tpot_ns(self, now_ns: int, request_id: int, num_tokens: int) -> tuple[float, int]:
        """Predicted time per output token where it is shortest, and the reports behind it; for one that predicts."""
        assert self._worker_state is not None
        seen = self._worker_state.request(now_ns, request_id, num_tokens, is_prefill=False)
        return min([seen.work_ns[index] for index in self._stage.eligible]), seen.num_samples

    def withdrawn(self, index: int, request_id: int) -> None:
        """A prompt that an instance was sent was taken from it before it began."""
        if self._worker_state is not None:
            self._worker_state.withdrawn(index, request_id)

    def _look_ahead(
        self, worker_state: WorkerState, now_ns: int, request_id: int, num_tokens: int
    ) -> tuple[int, int, RequestView]:
        up = self._stage.eligible
        request = worker_state.request(now_ns, request_id, num_tokens, is_prefill=self._is_prefill)
        if not self._sees_request:
            shown = self._no_request
        else:
            shown = request if len(up) == len(self._stage) else _only(request, up)
        return request_id, self._ask(self._view(now_ns, up), shown, up), request

    def _ask(self, view: Columns, request: RequestView, up: list[int]) -> int:
        """What the policy answers, or the fallback."""
        self._has_failed_now = False
        try:
            chosen = as_index(self._choose(view, request))
            if 0 <= chosen < len(up):
                return up[chosen]
            self._note(f"it chose instance {chosen} of {len(up)}")
        except UndeclaredReadError:
            raise  # each choice would fail alike: better no run than one of another policy
        except Exception as error:  # noqa: BLE001 - a user's policy may fail in any way, and requests must go on
            self._note(f"{_place(error.__traceback__)}: {error!r}")
        tokens = self._stage.outstanding_tokens
        return min(up, key=tokens.__getitem__)

    def _note(self, what: str) -> None:
        self._has_failed_now = True
        self._partner = None
        if not self.num_failures:
            self.first_failure = " ".join(what.split())
        self.num_failures += 1

    def _view(self, now_ns: int, up: list[int]) -> Columns:
        """What the policy sees: live columns, or those taken lately, of the instances that are eligible."""
        if not self._view_age_ns:
            return self._declared_columns if len(up) == len(self._stage) else only(self._declared_columns, up)
        shown = self._shown
        if shown is None or shown[1] is not up or now_ns - shown[0] >= self._view_age_ns:
            shown = self._shown = (now_ns, up, only(self._declared_columns, up))
        return shown[2]


def _only(request: RequestView, up: list[int]) -> RequestView:
    """The same request with entries for these instances only."""
    return RequestView(
        request.now_ns,
        request.num_tokens,
        request.total_tokens,
        request.cached_tokens,
        request.blocks,
        request.tenant,
        request.block_tokens,
        entries_of(request.held_tokens, up),
        entries_of(request.backlog_ns, up),
        entries_of(request.work_ns, up),
        request.num_samples,
    )


def _place(traceback: TracebackType | None) -> str:
    """File and line where it went wrong, of the innermost call."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return "" if traceback is None else f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
