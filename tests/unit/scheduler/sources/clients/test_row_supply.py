"""Rows in the order of the trace, each for the clients of its class, read no sooner than they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.errors import ConfigError
from scheduler.sources.arrivals import ArrivalBlock
from scheduler.sources.clients.row_supply import RowSupply
from scheduler.sources.clients.supply import GateNames
from tests.unit.scheduler.sources.clients.made import block_of


def supply_of(blocks: Iterator[ArrivalBlock], *gates: str, of_tenant: Mapping[int, str] | None = None) -> RowSupply:
    return RowSupply(blocks, list(gates), GateNames(gates, of_tenant or {}))


def play(supply: RowSupply, gates: Sequence[str]) -> list[int]:
    """All rows, those of the first gate first."""
    taken: list[int] = []
    for name in gates:
        while supply.next_ns(name, 0) == 0:
            taken.append(supply.take(name, 0).key)
    return taken


def test_rows_come_in_order_and_the_last_is_known_as_the_last() -> None:
    supply = supply_of(iter([block_of([5, 9]), block_of([11], first=2)]), "")
    taken: list[tuple[int, int, bool]] = []
    while supply.next_ns("", 0) == 0:
        one = supply.take("", 0)
        taken.append((one.key, one.prompt_tokens, supply.has_more))
    assert taken == [(0, 100, True), (1, 101, True), (2, 102, False)]
    assert supply.next_ns("", 0) == NEVER_NS
    assert supply.ended(0, 7, has_answer=False) == []


def test_a_row_waits_for_a_client_of_its_class_while_later_ones_go() -> None:
    supply = supply_of(iter([block_of([0] * 5, ["a", "b", "a", "b", "a"])]), "a", "b")
    assert play(supply, ["b"]) == [1, 3]
    assert supply.next_ns("b", 0) == NEVER_NS
    assert supply.has_more
    assert play(supply, ["a"]) == [0, 2, 4]
    assert not supply.has_more


def test_the_class_of_a_row_that_names_none_is_that_of_its_tenant_or_the_default() -> None:
    block = block_of([0] * 3, ["", "b", ""], [1, 1, 0])
    supply = supply_of(iter([block]), "a", "b", "default", of_tenant={1: "a"})
    assert play(supply, ["default", "b", "a"]) == [2, 1, 0]


def test_rows_are_read_as_they_are_asked_for() -> None:
    num_read = 0

    def blocks() -> Iterator[ArrivalBlock]:
        nonlocal num_read
        for number in range(10):
            num_read += 1
            yield block_of([0], first=number)

    supply = supply_of(blocks(), "")
    assert num_read == 1
    supply.take("", 0)
    assert num_read == 2


@pytest.mark.parametrize(
    ("classes", "gates", "problem"),
    [
        (["a", "c"], ("a", "b"), "--concurrency a=N,b=N: no client asks for requests of class 'c'; add c=N"),
        (["a", ""], ("a",), "no client asks for requests without a class; add default=N, or give a number alone"),
        (["a", "a"], ("a", "b"), "--concurrency b=N: the trace has requests of a only; leave b out"),
    ],
)
def test_classes_that_do_not_match_are_one_line(classes: list[str], gates: tuple[str, ...], problem: str) -> None:
    supply = supply_of(iter([block_of([0, 0], classes)]), *gates)
    with pytest.raises(ConfigError) as caught:
        play(supply, gates)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
