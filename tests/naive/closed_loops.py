"""Random closed loops for Hypothesis: clients that wait for answers, and rows that wait for other rows."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from tests.naive.case import NEVER, Case, Clients, Row

TIMES_NS = st.sampled_from([0, 0, 1, 900, 5_000, 70_000])


@st.composite
def closed_loops(draw: st.DrawFn, bases: st.SearchStrategy[Case]) -> Case:
    """The same, asked for by clients, or by rows that wait for rows, or both."""
    case = draw(bases)
    kind = draw(st.sampled_from(["clients", "graph", "both"]))
    if kind != "clients":
        linked = tuple(draw(_linked(row, number)) for number, row in enumerate(case.rows))
        case = replace(case, rows=linked, is_graph=True)
    return case if kind == "graph" else replace(case, clients=draw(_clients(case)))


@st.composite
def _linked(draw: st.DrawFn, row: Row, number: int) -> Row:
    """A row that waits for a few rows before it, or for the one before of its session, or for none."""
    waits_for: tuple[int, ...] | None = None
    session = draw(st.sampled_from([NEVER, 0, 1, 2]))
    if draw(st.booleans()) and number:
        waits_for = tuple(draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True)))
    return replace(row, waits_for=waits_for, delay_ns=draw(st.one_of(st.none(), TIMES_NS)), session=session)


@st.composite
def _clients(draw: st.DrawFn, case: Case) -> tuple[Clients, ...]:
    """Of all rows, or of each tenant its own."""
    tenants = sorted({row.tenant for row in case.rows})
    groups = draw(st.sampled_from([[None], tenants, tenants[::-1]]))
    think_ns = st.lists(TIMES_NS, min_size=1, max_size=3).map(tuple)
    ramps_ns = st.sampled_from([0, 0, 7_001, 50_000])
    return tuple(draw(st.builds(Clients, st.integers(1, 4), think_ns, ramps_ns, st.just(group))) for group in groups)


@st.composite
def with_tenants(draw: st.DrawFn, bases: st.SearchStrategy[Case]) -> Case:
    """Where nothing is cached a tenant is a class, and no more than that."""
    case = draw(bases)
    if case.cache_mode != "none":
        return case
    return replace(case, rows=tuple(replace(row, tenant=draw(st.sampled_from([0, 0, 1]))) for row in case.rows))
