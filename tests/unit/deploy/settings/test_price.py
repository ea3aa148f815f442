"""What a supernode costs, as a user writes it."""

from __future__ import annotations

import pytest

from deploy.settings.price import PriceTerms, parse_price
from scheduler.protocol.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("bought", PriceTerms(is_bought=True)),
        ("bought=0", PriceTerms(is_bought=True, usd=0.0)),
        ("rented=2.5", PriceTerms(is_bought=False, usd=2.5)),
        ("deepseek", PriceTerms(is_bought=False, contract="deepseek")),
    ],
)
def test_terms_are_read_as_written(text: str, terms: PriceTerms) -> None:
    assert parse_price(text) == terms


@pytest.mark.parametrize("text", ["", "rented", "bought=", "bought=-1", "rented=inf", "leased=2", "bought=much"])
def test_what_cannot_be_read_says_how_to_write_it(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^cannot read .*; write bought, bought=USD, rented=USD for .*deepseek"):
        parse_price(text)
