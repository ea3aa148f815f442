"""The search against trying everything."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from deploy.planning.search import Counts, Lattice, cheapest


def found(lattice: Lattice, start: Counts, serving: set[Counts]) -> tuple[Counts | None, list[Counts]]:
    """The answer, and what was tried for it."""
    search, tried = cheapest(lattice, start), list[Counts]()
    try:
        asked = next(search)
        while True:
            assert asked not in tried
            assert lattice.cost(asked) <= lattice.most
            tried.append(asked)
            asked = search.send(asked in serving)
    except StopIteration as done:
        return done.value, tried


@st.composite
def cases(draw: st.DrawFn) -> tuple[Lattice, Counts, set[Counts]]:
    num_kinds = draw(st.integers(1, 2))
    sizes = tuple(draw(st.integers(1, 9)) for _ in range(num_kinds))
    least = tuple(draw(st.integers(1, 3)) for _ in range(num_kinds))
    lattice = Lattice(sizes, least, draw(st.integers(0, 60)))
    start = tuple(one + draw(st.integers(0, 5)) for one in least)
    corners = draw(st.lists(st.tuples(*(st.integers(0, 12) for _ in range(num_kinds))), max_size=3))
    every = product(range(70), repeat=num_kinds)
    return lattice, start, {one for one in every if any(all(a >= b for a, b in zip(one, c)) for c in corners)}


@given(case=cases())
def test_nothing_cheaper_serves(case: tuple[Lattice, Counts, set[Counts]]) -> None:
    lattice, start, serving = case
    answer, _ = found(lattice, start, serving)
    allowed = [
        one for one in serving if all(a >= b for a, b in zip(one, lattice.least)) and lattice.cost(one) <= lattice.most
    ]
    if answer is None:
        assert not allowed
    else:
        assert answer in allowed
        assert lattice.cost(answer) == min(map(lattice.cost, allowed))


def test_a_good_start_takes_few_tries() -> None:
    lattice = Lattice((16, 160), (2, 1), 768)
    serving = {(p, d) for p in range(49) for d in range(5) if p >= 11 and d >= 2}
    answer, tried = found(lattice, (11, 2), serving)
    assert answer == (11, 2)
    assert len(tried) <= 5
