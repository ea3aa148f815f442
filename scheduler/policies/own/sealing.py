"""Views for policies of one's own, in which nothing can be written: copies, so that the core's books stay its own.

Policies that come with the program are shown the core's own columns, which costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NoReturn, TypeVar, cast

from scheduler.policies.admission import AdmissionView
from scheduler.policies.undeclared import Refusal
from scheduler.policies.view import Columns, RequestView, StageView
from scheduler.policies.waiting import WaitingRequest

EntryT = TypeVar("EntryT")
KindT = TypeVar("KindT")


class _Sealed:
    """Attributes cannot be set or deleted."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name} cannot be written: a policy reads its views and returns its choice")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{name} cannot be deleted: a policy reads its views and returns its choice")


class SealedRequest(_Sealed, RequestView):
    """A request that cannot be written."""

    __slots__ = ()


class SealedWaitingRequest(_Sealed, WaitingRequest):
    """A request in front of all instances that cannot be written."""

    __slots__ = ()


class SealedAdmissionView(_Sealed, AdmissionView):
    """What admission may know, and cannot write."""

    __slots__ = ()


def sealed_stage(stage: StageView) -> Columns:
    """The same columns as tuples."""
    return Columns(
        _column(stage.outstanding_requests),
        _column(stage.outstanding_tokens),
        _column(stage.running_requests),
        _column(stage.kv_tokens),
        _column(stage.kv_capacity_tokens),
        _column(stage.tokens_per_s),
        _column(stage.reported_ns),
        _column(stage.cached_blocks),
        _column(stage.supernodes),
    )


def sealed_request(request: RequestView) -> RequestView:
    """The same request, its columns as tuples; one without fields is sealed already."""
    if type(request) is not RequestView:
        return request
    sealed = RequestView(
        request.now_ns,
        request.num_tokens,
        request.total_tokens,
        request.cached_tokens,
        _column(request.blocks),
        request.tenant,
        request.block_tokens,
        _column(request.held_tokens),
        _column(request.backlog_ns),
        _column(request.work_ns),
        request.num_samples,
    )
    return _as(sealed, SealedRequest)


def sealed_waiting(request: WaitingRequest) -> WaitingRequest:
    """A copy that cannot be written."""
    limits = request.ttft_limit_ns, request.tpot_limit_ns
    copy = WaitingRequest(
        request.request_id, request.arrived_ns, request.num_tokens, request.priority, request.tenant, *limits
    )
    return _as(copy, SealedWaitingRequest)


def sealed_admission_view(view: AdmissionView) -> AdmissionView:
    """A copy that cannot be written; its columns are tuples already."""
    copy = AdmissionView(view.now_ns, view.ttft_ns, view.tpot_ns, view.num_samples, view.queues, view.kv_usages)
    return _as(copy, SealedAdmissionView)


_set_class: Final[Any] = object.__setattr__


def _as(view: KindT, sealed: type[KindT]) -> KindT:
    """Sealed once its fields are set: a third of what setting each past the seal would take."""
    _set_class(view, "__class__", sealed)
    return view


def _column(column: Sequence[EntryT]) -> Sequence[EntryT]:
    """A refusal stays one."""
    if isinstance(column, (tuple, Refusal)):
        return cast("Sequence[EntryT]", column)
    return tuple(column)
