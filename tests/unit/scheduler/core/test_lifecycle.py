"""The life-cycle table: what is not in it is refused and changes nothing, and the core swallows no refusal."""

from __future__ import annotations

from itertools import product

import pytest

from scheduler.core.lifecycle import AT_DECODE, BEFORE_FIRST_TOKEN, PREFILL_STARTED, TRANSITIONS, Event, State
from scheduler.core.request_table import RequestTable
from scheduler.protocol.errors import LifecycleError
from scheduler.protocol.finish import FinishReason
from tests.unit.scheduler.core.told import Told

LIFE = (
    Event.FETCH,
    Event.SEND_PREFILL,
    Event.PREFILL_STARTED,
    Event.RESERVED,
    Event.PREFILL_DONE,
    Event.KV_TRANSFERRED,
    Event.DECODE_STARTED,
    Event.END,
)
"""The way of a request to which nothing happens, its room kept early."""


def table_in(state: State) -> RequestTable:
    """One request in this state, another that stays in `ARRIVED`."""
    table = RequestTable()
    table.add(0, [10, 10])
    table.state[0] = state
    if state is State.ENDED:
        table.num_open -= 1
    return table


def columns(table: RequestTable) -> dict[str, object]:
    """All that the table says, as values."""
    return {
        name: (value[: table.num_requests] if hasattr(value, "__getitem__") else value)
        for name, value in vars(table).items()
    }


@pytest.mark.parametrize(("state", "event"), [pair for pair in product(State, Event) if pair not in TRANSITIONS])
def test_what_is_not_in_the_table_is_refused_and_changes_nothing(state: State, event: Event) -> None:
    table = table_in(state)
    before = columns(table_in(state))
    with pytest.raises(LifecycleError, match=rf"request 0.*{state.name}.*{event.name}|{event.name}.*{state.name}"):
        table.move(event, [0])
    assert columns(table) == before


@pytest.mark.parametrize(("pair", "after"), TRANSITIONS.items(), ids=lambda pair: str(pair))
def test_what_is_in_the_table_is_done(pair: tuple[State, Event], after: State) -> None:
    table = table_in(pair[0])
    table.move(pair[1], [0])
    assert list(table.state[:2]) == [after, State.ARRIVED]


@pytest.mark.parametrize("reason", FinishReason)
def test_a_request_ends_once(reason: FinishReason) -> None:
    table = table_in(State.DECODING)
    table.end([0], reason, 7)
    ended = columns(table)
    with pytest.raises(LifecycleError):
        table.end([0], FinishReason.STOP, 8)
    assert columns(table) == ended
    assert (table.num_open, list(table.ended_ids)) == (1, [0])


def test_every_state_can_be_reached_and_ends() -> None:
    reached = {State.ARRIVED}
    while more := {after for (state, _), after in TRANSITIONS.items() if state in reached} - reached:
        reached |= more
    assert reached == set(State)
    assert {state for state, event in TRANSITIONS if event is Event.END} == set(State) - {State.ENDED}


def test_a_plain_life_goes_through_the_table_in_order_and_nothing_else_leads_on() -> None:
    state = State.ARRIVED
    for event in LIFE:
        state = TRANSITIONS[state, event]
    assert state is State.ENDED
    # Either of the last pass and the room may come first.
    late = TRANSITIONS[TRANSITIONS[State.PREFILLING, Event.PREFILL_DONE], Event.RESERVED]
    assert late == TRANSITIONS[TRANSITIONS[State.PREFILLING, Event.RESERVED], Event.PREFILL_DONE]
    # Every row leads one way on, back to the beginning, one step back to where KV still lies, or to the end.
    for (before, event), after in TRANSITIONS.items():
        if event in (Event.LOST, Event.PREEMPTED):
            assert after is State.ARRIVED
        elif event is Event.RESERVATION_LOST:
            assert TRANSITIONS[after, Event.RESERVED] is before
        else:
            assert after > before


def test_the_sets_of_states_follow_from_the_table() -> None:
    waits_for_decode = {TRANSITIONS[State.TRANSFERRING_KV, Event.KV_TRANSFERRED]}
    assert waits_for_decode | {State.DECODING} == AT_DECODE
    assert {state for state, event in TRANSITIONS if event is Event.PREEMPTED} <= AT_DECODE
    may_lose = {state for state, event in TRANSITIONS if event is Event.LOST}
    assert may_lose == BEFORE_FIRST_TOKEN | PREFILL_STARTED | AT_DECODE
    assert {
        after for (_, event), after in TRANSITIONS.items() if event is Event.PREFILL_DONE
    } & BEFORE_FIRST_TOKEN == set()


def test_the_core_raises_what_the_table_refuses() -> None:
    told = Told()
    told.arrive()
    with pytest.raises(LifecycleError, match="PREFILL_QUEUED"):
        told.passed("p0", done=[0])
