"""What stands in the place of whatever a policy does not declare in `reads`, so that reading it is an error at once.

A policy that reads a column nobody keeps for it would choose by zeros, and nobody would notice. So a router shows it a
`Refusal` instead: an object that raises an `UndeclaredReadError` whatever is done with it. Refusals are made once per
router and take the place of values that would be as constant; a policy that keeps to its declaration pays nothing.

The one gap: times and matches that an admission rule reads as well are shown to a policy that did not declare them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, NoReturn, TypeVar

from msgspec import Struct

from scheduler.policies.view import Columns, Reads, RequestView, RoutingPolicy
from scheduler.protocol.errors import UndeclaredReadError

EntryT = TypeVar("EntryT")

FIELDS: Final[Mapping[Reads, tuple[str, ...]]] = {
    Reads.REPORTS: ("running_requests", "kv_tokens", "kv_capacity_tokens", "tokens_per_s", "reported_ns"),
    Reads.OWN_CACHES: ("cached_blocks", "held_tokens"),
    Reads.PREDICTIONS: ("backlog_ns", "work_ns", "num_samples"),
    Reads.REQUEST: ("now_ns", "num_tokens", "total_tokens", "cached_tokens", "blocks", "tenant", "block_tokens"),
}
"""Fields of views by what a policy must declare to read them; all others are for everybody."""

NEEDS: Final = {name: reads for reads, names in FIELDS.items() for name in names}


class Refusal:
    """In the place of a value: whatever is done with it raises the error that it was made with."""

    __slots__ = ("_error",)

    def __init__(self, error: str) -> None:
        self._error: Final = error

    def _refuse(self, *_: object) -> NoReturn:
        raise UndeclaredReadError(self._error)

    __getattr__ = __getitem__ = __len__ = __iter__ = __contains__ = __bool__ = __int__ = __index__ = __float__ = _refuse
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse


class _RefusedRequest(RequestView):
    """A request without fields."""

    __slots__ = ("_declared",)

    _declared: Declared

    def __init__(self, declared: Declared) -> None:
        object.__setattr__(self, "_declared", declared)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """All policies are shown the same one."""
        raise AttributeError(f"{name} cannot be written: a policy reads its views and returns its choice")

    def __getattr__(self, name: str) -> NoReturn:
        """Called for whatever is not there."""
        if name in NEEDS:
            raise UndeclaredReadError(self._declared.error(name))
        raise AttributeError(f"a request has no field {name!r}")


class Declared(Struct, frozen=True):
    """What a policy declares that it reads, and what it is shown accordingly."""

    policy: str
    reads: Reads

    @classmethod
    def by(cls, policy: RoutingPolicy) -> Declared:
        """The declaration of a policy, under the name of its class or that of its file and class."""
        return cls(getattr(policy, "name", type(policy).__name__), policy.reads)

    def error(self, field: str) -> str:
        """A line on a field that is read without being declared."""
        view = "stage" if hasattr(Columns, field) else "request"
        reads = " | ".join(f"Reads.{flag.name}" for flag in Reads if flag and flag in self.reads | NEEDS[field])
        return f"policy {self.policy} reads {view}.{field} and does not declare it; write reads = {reads} in its class"

    def refusal(self, field: str) -> Any:
        """For the place of a field."""
        return Refusal(self.error(field))

    @property
    def request(self) -> RequestView:
        """In the place of a request, for a policy that reads nothing of any."""
        return _RefusedRequest(self)

    @property
    def sees_request(self) -> bool:
        """Whether it reads anything of a request."""
        return bool(self.reads & (Reads.REQUEST | Reads.OWN_CACHES | Reads.PREDICTIONS))

    def columns(self, columns: Columns) -> Columns:
        """The same columns, as live as they are, but for those that are not declared."""
        names = [field.name for field in fields(Columns)]
        return Columns(*[getattr(columns, name) if self._has(name) else self.refusal(name) for name in names])

    def _has(self, field: str) -> bool:
        return NEEDS.get(field, Reads.LOAD) in self.reads


def entries_of(column: Sequence[EntryT], indices: Sequence[int]) -> Sequence[EntryT]:
    """The entries of these instances; a refusal stays one."""
    if isinstance(column, Refusal):
        return column
    return [column[index] for index in indices]
