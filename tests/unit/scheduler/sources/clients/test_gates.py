"""Gates: a place is free, taken, or its client thinks."""

from __future__ import annotations

from itertools import cycle

from scheduler.protocol.component import NEVER_NS
from scheduler.sources.clients.gates import Gate, OpenGate, make_gates
from scheduler.sources.clients.groups import ClientGroup


def test_a_place_comes_back_when_its_client_has_thought() -> None:
    gate = Gate([0, 10], cycle([5, 0]))
    assert gate.next_ns == 0
    assert gate.take() == (0, -1)
    assert gate.next_ns == 10
    gate.take()
    assert gate.next_ns == NEVER_NS
    gate.give_back(20, key=3)
    assert gate.next_ns == 25
    gate.give_back(21, key=4)
    assert gate.take() == (21, 4)


def test_an_open_gate_is_always_free() -> None:
    gate = OpenGate()
    gate.take()
    gate.take()
    gate.give_back(7, key=0)
    assert gate.next_ns == 0


def test_each_group_has_its_gate_and_nobody_an_open_one() -> None:
    gates = make_gates([ClientGroup(1, "a"), ClientGroup(2, "b")], [cycle([0]), cycle([0])])
    assert list(gates) == ["a", "b"]
    for gate, number in zip(gates.values(), (1, 2), strict=True):
        for _ in range(number):
            assert gate.next_ns == 0
            gate.take()
        assert gate.next_ns == NEVER_NS
    assert isinstance(make_gates([], [])[""], OpenGate)
