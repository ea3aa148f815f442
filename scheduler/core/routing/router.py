"""Asks a stage's policy, and holds it in bounds: what it sees, and what happens if it fails."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index as as_index
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from scheduler.core.fleet import Stage
from scheduler.core.open_requests import RequestFacts
from scheduler.core.routing.ageing_views import AgeingView, AgeingViews
from scheduler.core.routing.decision import Decision
from scheduler.core.routing.tentative_decodes import TentativeDecodes
from scheduler.policies.failures import BrokenOffError, PolicyFailedError, PolicyFailures
from scheduler.policies.routing.scoring import Selection, only, only_of
from scheduler.policies.undeclared import Declared
from scheduler.policies.view import (
    Columns,
    PairPolicy,
    Reads,
    RequestView,
    RoutingPolicy,
    StageKind,
    StageView,
)
from scheduler.protocol.errors import PolicyStuckError, UndeclaredReadError

# A run by load alone keeps no worker state and should not wait for what does.
if TYPE_CHECKING:
    from scheduler.core.estimates.prediction_error import PredictionError
    from scheduler.core.estimates.worker_state import WorkerState

FALLBACK_REASON: Final = "fallback: fewest outstanding tokens, as the policy failed"


class Router:
    """The choices of one stage, each a `Decision`.

    A policy that raises, or names no instance that is eligible, is contained: the request goes to the instance with the
    fewest outstanding tokens, and `failures` counts it and tells of the first. With `view_age_ns` above 0 the policy
    sees columns as they were when they were last taken, at most so long ago; what it is told of the request is of now.
    `replicas` are more policies of the same kind, each of which has its own such view (`AgeingView`); requests go to
    them in turn, as to gateways side by side that do not tell one another what they send.
    `worker_state` is what was learned from reports, None if nobody reads it. A policy that reads what it did not
    declare ends the run with an `UndeclaredReadError`, one that does not return with a `PolicyStuckError`.
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
        counts_sends: bool = False,
        replicas: Sequence[RoutingPolicy] = (),
        also_reads: Reads = Reads.LOAD,
        pair_reads: Reads = Reads.LOAD,
    ) -> None:
        self.failures: Final = PolicyFailures()
        declared = Declared.by(policy)
        # A policy of pairs at the other stage is shown this one, too.
        declared = replace(declared, reads=declared.reads | pair_reads)
        reads = declared.reads | also_reads
        self.worker_state: Final = _worker_state(stage, reads, declared, kind, facts, has_own_caches)
        self.stage: Final = stage
        self.last_request: RequestView | None = None
        """What was known of the request decided on last, by instance; None where nothing is kept."""
        # What a policy answers may be anything, whatever its protocol says.
        self._policy: Any = policy
        self._policies: Sequence[Any] = (policy, *replicas)
        self._pair: tuple[PairPolicy, Router] | None = None
        self._tentative: TentativeDecodes | None = None
        self._facts = facts
        self._is_prefill = kind is StageKind.PREFILL
        if self.worker_state is None:
            work = stage.outstanding_requests, stage.outstanding_tokens
            self._live = Columns(*work, (), (), (), (), (), (), stage.pool)
        else:
            self._live = self.worker_state.columns
        self._declared_columns = declared.columns(self._live)
        self._views: AgeingViews | None = None
        if view_age_ns:
            shown, num = self._declared_columns, len(self._policies)
            self._views = AgeingViews(shown, stage, view_age_ns, num, counts_sends=counts_sends)
        self._no_request = declared.request
        self._sees_request = declared.sees_request
        self._all = stage.eligible
        self._selected: list[int] = []
        self._selection: Selection | None = None
        # Nothing of the request has to be prepared for a policy that reads nothing but load.
        self._shows_live = self.worker_state is None and not view_age_ns and not replicas
        self._tells_predictions = self.worker_state is not None and Reads.PREDICTIONS in policy.reads
        # Most policies give one reason for all they do: its decisions are made once.
        self._decisions = [Decision(index, policy.reason) for index in range(len(stage))]
        self._ageing: AgeingView | None = None if self._views is None else self._views.of(0, 0)
        self._foreseen: tuple[int, Decision, RequestView] | None = None

    @property
    def predicts(self) -> bool:
        """Whether times of this stage are predicted for anybody."""
        return self.worker_state is not None and self.worker_state.learns

    @property
    def columns(self) -> Columns:
        """Live columns of all instances of the stage."""
        return self._live

    @property
    def prediction_error(self) -> PredictionError | None:
        """How far predicted times were from what came; None if this stage's policy reads none."""
        return None if self.worker_state is None else self.worker_state.prediction_error

    def choose(self, now_ns: int, request_id: int, num_tokens: int) -> Decision:
        """Which instance serves a request that brings so many tokens to this stage; at least one is eligible."""
        if self._shows_live:
            up = self.stage.eligible
            if up is self._all:
                view = self._declared_columns
            elif up is self._selected and self._selection is not None:
                view = self._selection.take()
            else:
                view = self._view(now_ns, up)
            return self._ask(now_ns, view, self._no_request, up)
        decision = self._choose_with_partner(now_ns, request_id, num_tokens)
        if self._ageing is not None:
            self._ageing.sent(decision.instance, num_tokens)
        return decision

    def _choose_with_partner(self, now_ns: int, request_id: int, num_tokens: int) -> Decision:
        """Both instances, where a policy chooses pairs, the second as soon as it is asked for; else one."""
        self._turn_to(now_ns, request_id)
        tentative = self._tentative
        if tentative is None:
            return self._choose_alone(now_ns, request_id, num_tokens)
        if self._pair is None:
            decision = tentative.take(request_id)
            if decision is not None and decision.instance in self.stage.eligible:
                return decision
            return self._choose_alone(now_ns, request_id, num_tokens)
        decision = self._choose_alone(now_ns, request_id, num_tokens)
        tentative.take(request_id)  # what was decided for an earlier attempt
        if decision.partner is not None:
            table = self._facts.table
            kv_tokens = table.prompt_tokens[request_id] + table.output_tokens[request_id]
            tentative.make(request_id, Decision(decision.partner, decision.reason), kv_tokens)
        return decision

    def choose_among(self, now_ns: int, request_id: int, num_tokens: int, up: list[int]) -> Decision:
        """The same of some of the eligible instances, at least one; these choose no partners."""
        self._turn_to(now_ns, request_id)
        decision = self._choose_of(now_ns, request_id, num_tokens, up)
        if self._ageing is not None:
            self._ageing.sent(decision.instance, num_tokens)
        return decision

    def _turn_to(self, now_ns: int, request_id: int) -> None:
        """The router whose request this is, where there are several."""
        if len(self._policies) > 1:
            turn = request_id % len(self._policies)
            self._policy = self._policies[turn]
            if self._views is not None:
                self._ageing = self._views.of(now_ns, turn)

    def _choose_of(self, now_ns: int, request_id: int, num_tokens: int, up: list[int]) -> Decision:
        if self.worker_state is None:
            return self._ask(now_ns, self._view(now_ns, up), self._no_request, up)
        request = self.worker_state.request(now_ns, request_id, num_tokens, is_prefill=self._is_prefill)
        seen = self._shown_request(request, up) if self._sees_request else self._no_request
        decision = self._ask(now_ns, self._view(now_ns, up), seen, up)
        self.last_request = request
        if self._is_prefill:
            self.worker_state.routed(decision.instance, request_id, request)
        return decision

    def pair_with(self, policy: PairPolicy, decode: Router) -> None:
        """From now on this router of the prefill stage chooses decode instances too."""
        self._pair = policy, decode
        self._tentative = decode._tentative = TentativeDecodes(len(decode.stage))
        self._shows_live = decode._shows_live = False
        self._facts.open_requests.tentative = self._tentative

    def _choose_alone(self, now_ns: int, request_id: int, num_tokens: int) -> Decision:
        up = self.stage.eligible
        if self.worker_state is None:
            return self._ask(now_ns, self._view(now_ns, up), self._no_request, up)
        foreseen, self._foreseen = self._foreseen, None
        if foreseen is None or foreseen[0] != request_id:
            foreseen = self._look_ahead(self.worker_state, now_ns, request_id, num_tokens)
        _, decision, request = foreseen
        self.last_request = request
        if self._is_prefill:
            self.worker_state.routed(decision.instance, request_id, request)
        return decision

    def scores(self) -> Sequence[float]:
        """Of the eligible instances for the request decided on last, as its policy weighs them; empty if it has no
        scores, or fails to say them."""
        scores = getattr(self._policy, "scores", None)
        if scores is None:
            return ()
        up, request = self.stage.eligible, self._no_request
        if self._sees_request and self.last_request is not None:
            request = self._shown_request(self.last_request, up)
        view = self._declared_columns if len(up) == len(self.stage) else only(self._declared_columns, up)
        try:
            found = list(scores(view if self._ageing is None else self._ageing.shown, request))
        except (UndeclaredReadError, PolicyStuckError):
            raise
        except Exception:  # noqa: BLE001 - it has chosen; that it cannot say why is no failure to choose
            return ()
        return found if len(found) == len(up) else ()

    def foresee(self, now_ns: int, request_id: int, num_tokens: int) -> tuple[Decision, RequestView]:
        """Where the request would go, and what is known of it there. If it is chosen for next, it goes there.

        For a router that predicts.
        """
        assert self.worker_state is not None
        self._turn_to(now_ns, request_id)
        foreseen = self._foreseen = self._look_ahead(self.worker_state, now_ns, request_id, num_tokens)
        return foreseen[1:]

    def least_tpot_ns(self, now_ns: int, request_id: int, num_tokens: int) -> tuple[float, int]:
        """Predicted time per output token where it is shortest, and the reports behind it; for one that predicts."""
        assert self.worker_state is not None
        seen = self.worker_state.request(now_ns, request_id, num_tokens, is_prefill=False)
        return min([seen.work_ns[index] for index in self.stage.eligible]), seen.num_samples

    def withdrawn(self, index: int, request_id: int) -> None:
        """A prompt that an instance was sent was taken from it before it began."""
        if self.worker_state is not None:
            self.worker_state.withdrawn(index, request_id)

    def _look_ahead(
        self, worker_state: WorkerState, now_ns: int, request_id: int, num_tokens: int
    ) -> tuple[int, Decision, RequestView]:
        up = self.stage.eligible
        request = worker_state.request(now_ns, request_id, num_tokens, is_prefill=self._is_prefill)
        seen = self._shown_request(request, up) if self._sees_request else self._no_request
        return request_id, self._ask(now_ns, self._view(now_ns, up), seen, up), request

    def _shown_request(self, request: RequestView, up: list[int]) -> RequestView:
        return request if len(up) == len(self.stage) else only_of(request, up)

    def _ask(self, now_ns: int, view: Columns, request: RequestView, up: list[int]) -> Decision:
        """What the policy decides, or the fallback."""
        try:
            if self._pair is not None:
                decision = self._pick_pair(*self._pair, now_ns, view, request, up)
                if decision is not None:
                    return decision
            policy = self._policy
            chosen = policy.choose(view, request)
            # One call less for what all policies but a broken one answer.
            is_index = type(chosen) is int and 0 <= chosen < len(up)
            index: int = up[chosen] if is_index else _entry(up, chosen, "instance")
            reason = policy.reason
            if self._tells_predictions:
                reason = self._with_source(now_ns, reason)
            decision = self._decisions[index]
            return decision if decision.reason is reason else Decision(index, reason)
        except (UndeclaredReadError, PolicyStuckError):
            raise  # each choice would fail alike: better no run than one of another policy
        except BrokenOffError:
            pass  # the run is to end, and this is its last decision
        except (_NoSuchInstanceError, PolicyFailedError) as error:
            self.failures.add(str(error))
        except Exception as error:  # noqa: BLE001 - a policy may fail in any way, and requests must go on
            self.failures.add(f"{_place(error.__traceback__)}: {error!r}")
        tokens = self.stage.outstanding_tokens
        return Decision(min(up, key=tokens.__getitem__), FALLBACK_REASON)

    def _pick_pair(
        self, policy: Any, decode: Router, now_ns: int, view: StageView, request: RequestView, up: list[int]
    ) -> Decision | None:
        """Both instances at once; None if no decode instance is there to choose."""
        assert self._tentative is not None
        others = decode.stage.eligible
        if not others:
            return None
        other_view = self._tentative.added_to(decode._view(now_ns, others), others)
        index, partner = policy.choose_pair(view, other_view, request)
        partner = _entry(others, partner, "decode instance")
        return Decision(_entry(up, index, "instance"), self._with_source(now_ns, policy.reason), partner)

    def _with_source(self, now_ns: int, reason: str) -> str:
        """A reason, and what predictions behind it stand on as long as that is worth saying."""
        if not self._tells_predictions or self.worker_state is None:
            return reason
        told = self.worker_state.source_of_times(now_ns)
        return f"{reason}; {told}" if told else reason

    def _view(self, now_ns: int, up: list[int]) -> Columns:
        """What the policy sees: live columns, or those taken lately, of the instances that are eligible."""
        if self._ageing is not None:
            return self._ageing.columns(now_ns, up)
        # Who is eligible changes rarely, and then the list is another.
        if self._selection is not None and up is self._selected:
            return self._selection.take()
        if len(up) == len(self.stage):
            self._all = up
            return self._declared_columns
        if up is not self.stage.eligible:
            return only(self._declared_columns, up)
        self._selected, self._selection = up, Selection(self._declared_columns, up)
        return self._selection.take()


class _NoSuchInstanceError(Exception):
    """A policy chose what is not there."""


def _entry(up: list[int], chosen: Any, what: str) -> int:
    """The index of the instance at a place that a policy named."""
    try:
        place = as_index(chosen)
    except TypeError:
        raise _NoSuchInstanceError(f"it chose {what} {chosen!r}, which is no index") from None
    if not 0 <= place < len(up):
        raise _NoSuchInstanceError(f"it chose {what} {place} of {len(up)}")
    return up[place]


def _worker_state(
    stage: Stage, reads: Reads, declared: Declared, kind: StageKind, facts: RequestFacts, has_own_caches: bool
) -> WorkerState | None:
    if reads == Reads.LOAD:
        return None
    from scheduler.core.estimates.worker_state import WorkerState

    is_prefill = kind is StageKind.PREFILL
    has_own_caches = has_own_caches and is_prefill
    return WorkerState(stage, facts, reads, declared, is_prefill=is_prefill, has_own_caches=has_own_caches)


def _place(traceback: TracebackType | None) -> str:
    """File and line where it went wrong, of the innermost call."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return "" if traceback is None else f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
