"""The setting `price`, as a user writes it."""

from __future__ import annotations

from msgspec import Struct

from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_quantity
from scheduler.sources.traces.rows import shorten
from sim_hw.chips.sheet import CHIPS


class PriceTerms(Struct, frozen=True):
    """How a supernode is paid for: bought, or rented by the NPU and hour.

    `usd` is None at a published price: that of the supernode, or that of `contract` for its chip.
    """

    is_bought: bool
    usd: float | None = None
    contract: str = ""


def parse_price(text: str) -> PriceTerms:
    """Terms of `bought`, `bought=USD`, `rented=USD` or the name of a contract. Raises `ConfigError`."""
    if text == "bought":
        return PriceTerms(is_bought=True)
    contracts = sorted({contract for sheet in CHIPS for contract in sheet.rents})
    if text in contracts:
        return PriceTerms(is_bought=False, contract=text)
    kind, _, amount = text.partition("=")
    try:
        usd = read_quantity(amount, "USD")
    except QuantityError:
        usd = -1.0
    if kind not in ("bought", "rented") or usd < 0:
        raise ConfigError(
            f"cannot read {shorten(text)}; write bought, bought=USD, rented=USD for an NPU and hour, or a contract: "
            f"{', '.join(contracts)}"
        )
    return PriceTerms(kind == "bought", usd)
