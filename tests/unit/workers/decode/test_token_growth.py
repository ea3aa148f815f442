"""G and its sums in closed form are what counting gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.decode.token_growth import Growth

SIZES = st.integers(1, 40)


@given(numerator=SIZES, denominator=SIZES, steps=st.integers(0, 200))
def test_sums_are_those_of_counting(numerator: int, denominator: int, steps: int) -> None:
    growth = Growth(numerator, denominator)
    grown = [step * numerator // denominator for step in range(steps + 1)]
    assert growth.at(steps) == grown[steps]
    assert growth.sum_before(steps) == sum(grown[:steps])


@given(numerator=SIZES, denominator=SIZES, tokens=st.integers(0, 500))
def test_the_first_step_that_reaches_is_the_first(numerator: int, denominator: int, tokens: int) -> None:
    growth = Growth(numerator, denominator)
    step = growth.first_step_reaching(tokens)
    assert growth.at(step) >= tokens
    assert step == 0 or growth.at(step - 1) < tokens
