"""How requests come in: who is admitted, who goes first, and how long they may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from scheduler.policies.admission import ADMISSIONS, Admission
from scheduler.policies.options import split_spec
from scheduler.policies.ordering import ORDERS, Order
from scheduler.policies.registry import make_policy
from scheduler.policies.view import Reads
from scheduler.policies.waiting import NO_LIMIT_NS


def make_admission(spec: str) -> Admission:
    """A fresh one of `NAME` or `NAME:key=value,...`; a `ConfigError` for anything else."""
    return make_policy(ADMISSIONS, spec)


def make_order(spec: str) -> Order:
    """A fresh one of `NAME` or `NAME:key=value,...`; a `ConfigError` for anything else."""
    return make_policy(ORDERS, spec)


class ClassRules(Struct, frozen=True):
    """What holds for requests of one class. Limits and `timeout_ns` (0 for none) are from arrival; a request may be
    held back for `hold_ns` after it."""

    ttft_limit_ns: int = NO_LIMIT_NS
    tpot_limit_ns: int = NO_LIMIT_NS
    timeout_ns: int = 0
    priority: int = 0
    hold_ns: int = 0


@dataclass(frozen=True, slots=True)
class FlowControl:
    """How requests come in.

    `backlog_tokens`: uncached prompt tokens that each prefill instance has before requests wait in front of
    all of them; 0 for no such wait. Limits and `timeout_ns` (0 for none) are from arrival, of every request that
    belongs to none of the `classes`. `cheap_hours` are those for which others may be held back: (from, until) in
    nanoseconds of the day. `make_admission` and `make_order` make what `admission` and `order` name, which may be
    classes of a user's own.
    """

    admission: str = "always"
    order: str = "fcfs"
    backlog_tokens: int = 0
    ttft_limit_ns: int = NO_LIMIT_NS
    tpot_limit_ns: int = NO_LIMIT_NS
    timeout_ns: int = 0
    classes: tuple[ClassRules, ...] = ()
    cheap_hours: tuple[tuple[int, int], ...] = ()
    make_admission: Callable[[str], Admission] = field(default=make_admission, compare=False)
    make_order: Callable[[str], Order] = field(default=make_order, compare=False)

    @property
    def is_plain(self) -> bool:
        """Whether all come in as they come, and stay as long as it takes."""
        is_open = split_spec(self.admission)[0] == "always" and split_spec(self.order)[0] == "fcfs"
        return (
            is_open and not self.backlog_tokens and not any(one.timeout_ns for one in self.by_class) and not self.holds
        )

    @property
    def holds(self) -> bool:
        """Whether anybody may be held back for cheap hours."""
        return bool(self.cheap_hours) and any(one.hold_ns for one in self.classes)

    @property
    def by_class(self) -> tuple[ClassRules, ...]:
        """By the index of a request's class, 0 for those of none."""
        return (ClassRules(self.ttft_limit_ns, self.tpot_limit_ns, self.timeout_ns), *self.classes)

    @property
    def reads(self) -> Reads:
        """What must be kept of instances for the admission rule."""
        return self.make_admission(self.admission).reads


PLAIN_FLOW_CONTROL: Final = FlowControl()
"""All come in as they come."""
