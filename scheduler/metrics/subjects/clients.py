"""Clients that wait: how many requests they keep in flight, and whether that fits what the system serves.

At the end of a run what is in flight is an exact integral over the records. Little's law is the check: a system holds,
on the mean, the rate at which requests leave it times the time that each spends in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field

from scheduler.metrics.columns import Bools, ratio
from scheduler.metrics.family import Family, Labels
from scheduler.metrics.layout import Layout
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.outcome.in_flight import in_flight
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subject import SUBJECTS, Account, Session, Subject

ALL_CLASSES: Final = "all"
"""Clients that ask for requests of any class."""


class ClientTotals(Struct, frozen=True):
    """Clients of the present run by the class that they ask for, empty for all; nobody between runs."""

    concurrency: Mapping[str, int]


class ClientAccount(Account[ClientTotals]):
    """What a session was told."""

    def totals(self, session: Session | None) -> ClientTotals:
        """As they stand."""
        return ClientTotals({} if session is None else session.concurrency)


class LittlesLaw(Struct, frozen=True):
    """What should be in flight by rate and time of requests; by how much, as a share of what was, it is off.

    `requests_per_s` finished, and `e2e_mean_s` is theirs. What did not finish is in neither, and after a warm-up what
    began in it is in the one and not in the other.
    """

    requests_per_s: float | None
    e2e_mean_s: float | None
    in_flight: float | None
    difference: float | None


class GroupUse(Struct, frozen=True):
    """Requests in flight of one group of clients; `concurrency` is None where nothing bounds them."""

    concurrency: int | None
    in_flight_mean: float | None
    in_flight_peak: int
    achieved_requests_per_s: float | None
    little: LittlesLaw


class ClientUse(GroupUse, frozen=True):
    """All together, and each group where there are several."""

    by_class: Mapping[str, GroupUse] = field(default_factory=dict[str, GroupUse])


def _summary(run: EndedRun) -> Mapping[str, Any]:
    clients = run.info.clients
    if clients is None:
        return {}
    groups = clients.concurrency
    together = _use(run, sum(groups.values()) or None)
    names = [name for name in groups if name in clients.class_names]
    by_class: dict[str, GroupUse] = {}
    if len(names) == len(groups) > 1:
        for name in names:
            index = clients.class_names.index(name)
            masks = run.present.request_class == index, run.records.request_class == index
            by_class[name] = _use(run, groups[name], *masks)
    found = {name: getattr(together, name) for name in GroupUse.__struct_fields__}
    return {"clients": ClientUse(**found, by_class=by_class) if by_class else together}


def _use(
    run: EndedRun, concurrency: int | None, is_present: Bools | slice = slice(None), is_own: Bools | slice = slice(None)
) -> GroupUse:
    """Of all requests, or of those that masks of `present` and of `records` pick."""
    present, span_ns = run.present, run.collector.ended_ns
    held = in_flight(present.arrived_ns[is_present], present.ended_ns[is_present])
    mean = held.mean(span_ns)
    rate = ratio(int(present.is_finished[is_present].sum()), run.span_s)
    e2e_s = run.records.e2e_s[is_own][run.records.is_finished[is_own]]
    e2e_mean_s = float(e2e_s.mean()) if len(e2e_s) else None
    fitting = None if rate is None or e2e_mean_s is None else rate * e2e_mean_s
    # To nine digits, so that rounding does not show; the sum makes a zero of -0.0.
    difference = None if fitting is None or not mean else round(fitting / mean - 1, 9) + 0.0
    return GroupUse(concurrency, mean, held.peak, rate, LittlesLaw(rate, e2e_mean_s, fitting, difference))


def _classes(layout: Layout) -> list[Labels]:
    return [(ALL_CLASSES,), *((name,) for name in layout.classes)]


def _concurrency(snapshot: Snapshot) -> list[int]:
    groups = snapshot[ClientTotals].concurrency
    return [groups.get("", 0), *(groups.get(name, 0) for name in snapshot.layout.classes)]


FAMILIES: Final = (
    Family(
        "supernode_clients_concurrency", "gauge",
        "Clients of the present run, each with one request in flight at most, by the class that they ask for; 0 where "
        "requests come without waiting for one another.",
        _concurrency, ("request_class",), _classes,
    ),
)  # fmt: skip

SUBJECTS.register("clients", Subject(ClientTotals, ClientAccount, FAMILIES, _summary))
