"""What a subject of metrics is: one thing that is measured (cache, fabric, SLO, ...), with all that is said of it.

There are two ways to measure. **Live**, totals are kept over all sessions of a system while messages come in, because
somebody may look at any moment and nothing may grow with the run. **At the end of a run** everything is worked out in
bulk from the request table and from logged rows, because exact percentiles need all values and a replay on the virtual
clock may pay no more per message than one packed row. A subject is where both meet. Its file holds

- its *totals*: a frozen struct, the subject's part of a `Snapshot`;
- its *account*, which adds up these totals in a live system;
- its *families*, which say under which names and labels the totals are exported;
- its *summary*: the keys that it adds to `replay --json`, from an `EndedRun`;

and, between the two ways, each quantity is defined once: a latency is a column of `Records`, a request within its
limits is one of `slo.meets`, and what is counted of ended requests is counted by one function over `Records`, which an
account calls with those who ended since the last look and the summary with all.

Modules of `scheduler.metrics.subjects` register a subject when they are imported, and all of them are imported the
first time somebody looks into `SUBJECTS`. So a new family is a line in one file, and a new subject one file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from msgspec import Struct, field

from scheduler.core.estimates.prediction_error import PredictionError
from scheduler.core.lifecycle import State
from scheduler.core.request_table import RequestTable
from scheduler.metrics.columns import view
from scheduler.metrics.family import AnyFamily
from scheduler.metrics.layout import Layout
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.records import Records
from scheduler.metrics.slo import Slo
from scheduler.protocol.catalog import Catalog

TotalsT = TypeVar("TotalsT")

RunOutcome = Literal["completed", "interrupted", "failed"]
"""How a replay ends."""


class Lateness(Protocol):
    """How late messages of one session were, in emulated nanoseconds."""

    num_samples: int
    sum_ns: int

    def num_within(self, limits_ns: Sequence[float]) -> list[int]:
        """Messages that were at most so late, for each limit."""
        ...


class Fleet(Protocol):
    """Whose instances may come and go: a scheduler core."""

    def instance_phases(self) -> Mapping[str, str]:
        """Where each instance is, in a word, by address."""
        ...

    def wanted_instances(self) -> Mapping[str, int]:
        """How many of each role there shall be, where somebody decides that."""
        ...


class Session(Struct):
    """The life of one request table on one emulated clock: a replay, or the idle time between two.

    `speed`: emulated seconds per second on the wall. `slo`: the limits to which requests are held. `power_cap_w`: at
    the feeds, 0 for none. `errors`: those of its predictions, by kind, if it makes any. `concurrency`: its clients, by
    the class that they ask for, empty for all. `fleet` tells how many instances there are, `autoscaler` is the name of
    who says how many there shall be, empty for nobody. `now_ns`: how far its clock is
    known to be. Requests below `first_open` have ended, as of the last look. `first_ids`: whose first token came out
    since the last drain; of those who ended, as the table lists them, `num_ended_read` were drained.
    """

    is_replay: Final[bool]
    table: Final[RequestTable]
    speed: Final[float]
    lateness: Final[Lateness | None] = None
    slo: Final[Slo | None] = None
    power_cap_w: Final[float] = 0.0
    errors: Final[Mapping[str, PredictionError]] = field(default_factory=dict[str, PredictionError])
    concurrency: Final[Mapping[str, int]] = field(default_factory=dict[str, int])
    fleet: Final[Fleet | None] = None
    autoscaler: Final[str] = ""
    outcome: RunOutcome = "failed"
    now_ns: int = 0
    first_open: int = 0
    first_ids: list[int] = field(default_factory=list[int])
    num_ended_read: int = 0

    def skip_ended(self) -> None:
        """Move `first_open` on: what is looked up of open requests shall not grow with those that ended."""
        is_open = view(self.table.state, self.table.num_requests)[self.first_open :] != State.ENDED
        self.first_open += int(is_open.argmax()) if is_open.any() else len(is_open)


Handlers = Mapping[type, Callable[[Session, Any], None]]
"""What an account does at each kind of message to the core, before the core has seen it."""


class Account(Generic[TotalsT]):
    """Adds up one subject of a live system, over all its sessions; a subject overrides what it needs.

    `begin` and `end` enclose each session, between them come messages, by the account's own handlers, and now and then
    `drain`. A counter never falls: what a session came to is kept when it ends.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout: Final = layout

    def handlers(self) -> Handlers:
        """By class of message; asked once."""
        return {}

    def begin(self, session: Session) -> None:
        """A session begins, with a fresh table, a clock at 0 and all workers up."""

    def drain(self, first: Records, ended: Records) -> None:
        """Count requests whose first token came out, and those that ended, since the last drain."""

    def end(self, session: Session) -> None:
        """The session is over, and drained."""

    def totals(self, session: Session | None) -> TotalsT:
        """As they stand, in the session that is on, if one is."""
        raise NotImplementedError


def no_summary(_run: EndedRun) -> Mapping[str, Any]:
    """Of a subject that adds nothing to `replay --json`."""
    return {}


class Subject(Struct, Generic[TotalsT], frozen=True):
    """One thing that is measured. `totals` is the type of its part of a snapshot, and the key to it.

    `summary` maps keys of `replay --json` to structs or plain values. Fields of `outcome.summary.Summary` take what
    has their name; other keys follow in the order of subjects.
    """

    totals: type[TotalsT]
    account: Callable[[Layout], Account[TotalsT]]
    families: tuple[AnyFamily, ...] = ()
    summary: Callable[[EndedRun], Mapping[str, Any]] = no_summary


SUBJECTS: Final[Catalog[Subject[Any]]] = Catalog("subject", package="scheduler.metrics.subjects")
"""By name, in the order of names: that of exposition."""


def own_families() -> tuple[AnyFamily, ...]:
    """The families of all subjects: what is exported under names of our own.

    Names are fixed: dashboards and alerts refer to them. All times are emulated seconds, unless the help says wall.
    """
    return tuple(family for subject in SUBJECTS.values() for family in subject.families)
