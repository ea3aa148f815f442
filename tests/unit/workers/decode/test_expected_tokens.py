"""G and its sums in closed form are what counting gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.decode.expected_tokens import ExpectedTokens

SIZES = st.integers(1, 40)


@given(numerator=SIZES, denominator=SIZES, steps=st.integers(0, 200))
def test_sums_are_those_of_counting(numerator: int, denominator: int, steps: int) -> None:
    expected = ExpectedTokens(numerator, denominator)
    accepted = [step * numerator // denominator for step in range(steps + 1)]
    assert expected.at(steps) == accepted[steps]
    assert expected.sum_before(steps) == sum(accepted[:steps])


@given(numerator=SIZES, denominator=SIZES, tokens=st.integers(0, 500))
def test_the_first_step_that_reaches_is_the_first(numerator: int, denominator: int, tokens: int) -> None:
    expected = ExpectedTokens(numerator, denominator)
    step = expected.first_step_reaching(tokens)
    assert expected.at(step) >= tokens
    assert step == 0 or expected.at(step - 1) < tokens
