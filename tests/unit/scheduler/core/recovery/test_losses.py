"""What the core does when workers are lost, case by case; whole systems are in tests/sim/test_losses.py."""

from __future__ import annotations

import pytest

from scheduler.core.config import CacheMode
from scheduler.core.lifecycle import State
from scheduler.protocol.fabric_messages import TransferKind
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import (
    CancelReservations,
    CancelTransfer,
    FinishTransfer,
    LookupPrefixes,
    PrefillStepped,
    ReleasePrefixes,
    ReservationsCancelled,
    ReserveKv,
    StartDecode,
    StartPrefill,
    StartTransfer,
)
from tests.unit.scheduler.core.told import USAGE, Told, ids_of, starts

STATES = (
    State.PREFILL_QUEUED,
    State.PREFILLING,
    State.PREFILLING_RESERVED,
    State.PREFILLED,
    State.TRANSFERRING_KV,
    State.DECODE_QUEUED,
    State.DECODING,
)

FLOWING = (State.PREFILLING_RESERVED, State.TRANSFERRING_KV)


def at(state: State) -> Told:
    """Request 0 in this state: prefilled at p0, reserved at d0."""
    told = Told()
    told.arrive()
    if state >= State.PREFILLING:
        told.passed("p0", started=[0], closing=[0])
    if state == State.PREFILLED:
        told.passed("p0", done=[0])
    elif state >= State.PREFILLING_RESERVED:
        told.reserved("d0", [0])
    if state >= State.TRANSFERRING_KV:
        (flow,) = told.passed("p0", done=[0])["fabric"]
        if state >= State.DECODE_QUEUED:
            told.moved(flow)
    if state == State.DECODING:
        told.stepped("d0", started=[0], kv_tokens=101)
    assert told.state() == state
    return told


@pytest.mark.parametrize("state", STATES)
def test_a_lost_prefill_instance_takes_what_it_had_not_handed_over(state: State) -> None:
    told = at(state)
    said = told.lose("p0")
    if state >= State.DECODE_QUEUED:
        assert (said, told.state(), told.core.table.retries[0]) == ({}, state, 0)
        return
    # The other one computes it, anew or with the token that is out; room that was asked for is given back.
    (start,) = said.pop("p1")
    assert isinstance(start, StartPrefill)
    assert (start.ids, start.cached_tokens, start.resumed_tokens) == ([0], [0], [int(state >= State.PREFILLED)])
    assert said.pop("fabric", []) == ([CancelTransfer(0)] if state in FLOWING else [])
    assert said == ({"d0": [CancelReservations([0])]} if state >= State.PREFILLING else {})
    assert (told.state(), told.core.table.retries[0]) == (State.PREFILL_QUEUED, 1)
    assert told.core.table.prefill_started_ns[0] == (2 if state >= State.PREFILLED else -1)
    assert told.loads() == ([0, 1], [0, 100 + start.resumed_tokens[0]], [0, 0], [0, 0])


@pytest.mark.parametrize("state", STATES)
def test_a_lost_decode_instance_takes_what_it_had_and_costs_others_their_room(state: State) -> None:
    told = at(state)
    said = told.lose("d0")
    table = told.core.table
    if state == State.PREFILL_QUEUED:
        assert (said, told.state()) == ({}, state)
    elif state <= State.TRANSFERRING_KV:
        tokens = 101
        assert said.pop("fabric", []) == ([CancelTransfer(0)] if state in FLOWING else [])
        assert said == {"d1": [ReserveKv([0], [tokens])]}
        assert told.state() == (State.PREFILLING if state < State.PREFILLED else State.PREFILLED)
        assert (table.retries[0], table.decode_instance[0]) == (0, 1)
        assert told.loads()[2:] == ([0, 1], [0, tokens])
    else:
        assert starts(said) == {"p1": [0]}
        assert table.retries[0] == 1
        assert told.loads()[2:] == ([0, 0], [0, 0])


def test_a_request_goes_on_after_the_last_token_that_was_reported() -> None:
    told = at(State.DECODING)
    told.stepped("d0", tokens=7)
    seen_ns = told.now_ns
    (start,) = told.lose("d0")["p1"]
    assert isinstance(start, StartPrefill)
    assert start.resumed_tokens == [8]  # the first one is prefill's
    assert (told.core.table.output_tokens[0], told.core.table.last_token_ns[0]) == (8, seen_ns)
    # One that joins later on the new incarnation counts from there.
    told.join("d0")
    told.computed("p1", [0])
    (flow,) = told.reserved("d1", [0])["fabric"]
    (command,) = told.moved(flow)["d1"]
    assert isinstance(command, StartDecode)
    assert command.produced_tokens == [9]
    told.stepped("d1", tokens=50, started=[0])
    told.stepped("d1", tokens=2)
    told.lose("d1")
    assert told.core.table.output_tokens[0] == 11


def test_an_answer_to_the_first_attempt_is_not_taken_for_one_to_the_second() -> None:
    told = Told()
    told.arrive(2)
    told.passed("p0", started=[0], closing=[0])  # asks d0
    told.passed("p1", started=[1], closing=[1])  # asks d1
    told.lose("p0")
    told.passed("p1", done=[1], started=[0], closing=[0])  # asks d0 again
    assert told.core.table.decode_instance[0] == 0
    told.reserved("d0", [0])  # was said before the withdrawal came there
    assert told.state() == State.PREFILLING
    told.tell(ReservationsCancelled("d0", [0]))
    told.reserved("d0", [0])
    assert told.state() == State.PREFILLING_RESERVED


def test_withdrawn_twice_waits_for_both_confirmations() -> None:
    told = Told()
    told.arrive()
    told.passed("p0", started=[0], closing=[0])
    for lost, other in (("p0", "p1"), ("p1", "p0")):
        told.lose(lost)
        told.join(lost)
        told.lose("d1")  # so that d0 is asked each time
        told.passed(other, started=[0], closing=[0])
        told.join("d1")
    told.tell(ReservationsCancelled("d0", [0]))
    told.reserved("d0", [0])
    assert told.state() == State.PREFILLING
    told.tell(ReservationsCancelled("d0", [0]))
    told.reserved("d0", [0])
    assert told.state() == State.PREFILLING_RESERVED


def test_a_flow_that_was_given_up_ends_unnoticed() -> None:
    told = at(State.PREFILLING_RESERVED)
    (flow,) = told.passed("p0", done=[0])["fabric"]
    assert isinstance(flow, FinishTransfer)
    assert told.lose("p0")["fabric"] == [CancelTransfer(flow.transfer_id)]
    assert told.moved(flow) == {}  # it was done before the fabric heard
    assert told.state() == State.PREFILL_QUEUED


def test_layers_flow_only_since_there_is_room_at_the_new_instance() -> None:
    told = at(State.PREFILLING_RESERVED)
    told.lose("d0")
    assert told.passed("p0", done=[0]) == {}
    (flow,) = told.reserved("d1", [0])["fabric"]
    assert isinstance(flow, StartTransfer)
    assert (flow.destination, flow.num_tokens, flow.is_made) == ("d1", [100], True)


def test_layers_flow_while_the_pass_runs_and_the_last_one_when_it_has_ended() -> None:
    told = Told()
    told.arrive(4)
    told.passed("p0", started=[0, 2], closing=[0, 2])  # asks d0 and d1
    told.passed("p1", started=[1, 3], closing=[1, 3])
    (early,) = told.reserved("d0", [0, 1])["fabric"][:1]
    assert isinstance(early, StartTransfer)
    assert (early.source, early.destination, early.num_tokens, early.is_made) == ("p0", "d0", [100], False)
    # Each pass ends for its own instance's flows; what asked for room too late goes as a whole.
    assert told.passed("p0", done=[0, 2])["fabric"] == [FinishTransfer(early.transfer_id)]
    (late,) = told.reserved("d1", [2])["fabric"]
    assert isinstance(late, StartTransfer)
    assert (late.source, late.destination, late.num_tokens, late.is_made) == ("p0", "d1", [100], True)


def test_who_ends_with_its_pass_needs_no_flow() -> None:
    told = Told()
    told.arrive()
    told.passed("p0", started=[0], closing=[0])
    (flow,) = told.reserved("d0", [0])["fabric"]
    assert isinstance(flow, StartTransfer)
    stepped = PrefillStepped("p0", told.now_ns + 1, [], [], [], [0], [0], 100, USAGE)
    assert told.tell(stepped)["fabric"] == [CancelTransfer(flow.transfer_id)]


def test_beyond_the_bound_a_request_ends() -> None:
    told = Told(max_retries=1)
    told.arrive()
    told.lose("p0")
    told.join("p0")
    assert told.lose("p1") == {}
    assert (told.state(), told.reason(), told.core.table.retries[0]) == (
        State.ENDED,
        FinishReason.RETRIES_EXHAUSTED,
        2,
    )
    assert not told.core.state.open.payloads
    assert told.loads() == ([0, 0], [0, 0], [0, 0], [0, 0])


def test_without_a_prefill_instance_requests_wait_and_go_in_order() -> None:
    told = Told()
    told.arrive(3)
    assert told.lose("p1", "p0") == {}
    told.arrive()
    assert [told.state(i) for i in range(4)] == [State.ARRIVED] * 4
    assert starts(told.join("p1")) == {"p1": [0, 1, 2, 3]}
    assert starts(told.join("p0")) == {}


def test_without_a_decode_instance_kv_waits_at_prefill() -> None:
    told = Told()
    told.arrive(2)
    told.computed("p1", [1])
    told.lose("d0", "d1")
    assert told.passed("p0", started=[0], closing=[0]) == {}
    said = told.join("d0")
    assert said == {"d0": [ReserveKv([0, 1], [101, 101])]}
    assert (told.state(0), told.state(1)) == (State.PREFILLING, State.PREFILLED)
    assert told.loads()[2:] == ([2, 0], [202, 0])


def test_who_waits_for_a_decode_instance_may_lose_its_prefill_instance() -> None:
    told = Told()
    told.arrive()
    told.lose("d0", "d1")
    told.passed("p0", started=[0], closing=[0])
    told.lose("p0")
    assert told.join("d1") == {}


@pytest.mark.parametrize("policy", ["round_robin", "least_loaded", "cloudmatrix"])
def test_policies_see_only_who_is_up(policy: str) -> None:
    told = Told(policy=policy)
    told.lose("p0", "d0")
    assert starts(told.arrive(3)) == {"p1": [0, 1, 2]}
    said = told.passed("p1", started=[0, 1, 2], closing=[0, 1, 2])
    assert list(said) == ["d1"]
    told.join("p0", "d0")
    assert "p0" in starts(told.arrive(2))


def pooled() -> Told:
    """Request 0 is on its way to p0 with 30 of its tokens in the pool."""
    told = Told(CacheMode.POOL)
    assert isinstance(told.arrive(prefix=[1, 2, 3])["cache"][0], LookupPrefixes)
    (flow,) = told.found([0], 30)["fabric"]
    assert isinstance(flow, StartTransfer)
    assert flow.kind == TransferKind.CACHE_READ
    return told


def test_pins_are_released_before_a_request_looks_up_again() -> None:
    told = pooled()
    assert [type(message) for message in told.lose("p0")["cache"]] == [ReleasePrefixes, LookupPrefixes]
    assert told.loads()[:2] == ([0, 0], [0, 0])
    told.found([0], 30)
    assert told.loads()[:2] == ([0, 1], [0, 70])


def test_a_lost_cache_is_forgotten() -> None:
    told = pooled()
    told.arrive(prefix=[1, 2, 4])  # waits for an answer
    said = told.lose("cache")
    # The one that fetched is requeued, the other is routed without an answer; nobody asks or stores any more.
    assert {i for ids in starts(said).values() for i in ids} == {0, 1}
    assert set(said) == {"p0", "p1", "fabric"}
    assert said["fabric"] == [CancelTransfer(0)]
    assert (told.core.table.retries[0], told.core.table.retries[1]) == (1, 0)
    assert told.loads()[:2] == ([1, 1], [100, 100])
    assert list(starts(told.arrive(prefix=[1, 2, 3]))) == ["p1"]
    told.join("cache")
    where = "p0" if told.core.table.prefill_instance[0] == 0 else "p1"
    assert set(told.computed(where, [0])) == set()
    assert isinstance(told.arrive(prefix=[1, 2, 3])["cache"][0], LookupPrefixes)


def test_hits_of_a_lost_cache_do_not_count_for_who_waits_for_an_instance() -> None:
    told = Told(CacheMode.POOL)
    told.lose("p0", "p1")
    told.arrive(prefix=[1, 2, 3])
    assert told.found([0], 30) == {}
    told.lose("cache")
    (start,) = told.join("p1")["p1"]
    assert isinstance(start, StartPrefill)
    assert start.cached_tokens == [0]


def test_flows_are_said_again_to_a_new_fabric() -> None:
    told = at(State.PREFILLING_RESERVED)
    told.arrive()
    (flow,) = told.passed("p0", done=[0])["fabric"]
    assert told.lose("fabric") == {}
    told.passed("p1", started=[1], closing=[1])
    assert told.reserved("d1", [1]) == {}  # asked for while there is none
    said = told.join("fabric")["fabric"]
    flows = [message for message in said if isinstance(message, StartTransfer)]
    assert [(flow.transfer_id, flow.source, flow.is_made) for flow in flows] == [(2, "p0", True), (3, "p1", False)]
    assert told.passed("p1", done=[1]) == {"fabric": [FinishTransfer(3)]}
    assert told.moved(flow) == {}
    assert [ids_of(told.moved(said)["p0" if i == 0 else "p1"][0]) for i, said in enumerate(flows)] == [[0], [1]]


def test_losses_and_joins_may_repeat() -> None:
    told = at(State.PREFILLING)
    assert told.join("p0", "fabric", "cache") == {}  # they were up
    assert starts(told.lose("p0", "fabric")) == {"p1": [0]}
    assert told.lose("p0") == {}
    assert told.join("p0") == told.join("p0") == {}
    told.lose("p0", "p1", "d0", "d1", "fabric", "cache")
    said = told.join("p0", "p1", "d0", "d1", "fabric", "cache")
    assert len(starts(said)) == 1
    assert told.core.table.retries[0] == 2
