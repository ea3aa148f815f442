"""What dear electricity does to a comparison: the bill of each run at several prices, and where two cost the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deploy.compare.comparison import Compared
from deploy.terminal.table import table
from sim_hw.cost.run_cost import CostLine, break_even_usd_per_kwh
from sim_hw.cost.tariffs import JOULES_PER_KWH

PRICES_USD_PER_KWH: Final = (0.05, 0.1, 0.2, 0.4)


def cost_line(one: Compared) -> CostLine | None:
    """Of a million output tokens, prompts included; None without tokens, a bill, or electricity on it."""
    run, money = one.measured.document, one.variant.settings.money
    per_token_j, usd = run["energy"]["facility_joules_per_output_token"], run["cost"]["usd"]
    # A rent has paid the electricity, whatever it costs.
    if not per_token_j or usd is None or not money.price.is_bought:
        return None
    megatokens = run["energy"]["facility"]["joules"] / per_token_j / 1e6
    paid_usd = money.tariff.usd(run["energy"]["facility"]["joules"], 0.0, run["simulated_s"])
    return CostLine((usd - paid_usd) / megatokens, per_token_j * 1e6 / JOULES_PER_KWH)


def break_even(compared: Sequence[Compared]) -> float | None:
    """Dollars a kWh at which two runs cost the same; None for other numbers of runs, or if one is always dearer."""
    lines = [cost_line(one) for one in compared]
    if len(lines) != 2 or lines[0] is None or lines[1] is None:
        return None
    return break_even_usd_per_kwh(lines[0], lines[1])


def electricity_block(compared: Sequence[Compared]) -> str | None:
    """A row for each run that pays its electricity; None if none does."""
    lines = [(one.variant.name, cost_line(one)) for one in compared]
    rows = [("$/Mtok out, all costs", *(f"${price:g}/kWh" for price in PRICES_USD_PER_KWH))]
    rows += [
        (f"  {name}", *(f"{line.usd(price):,.4g}" for price in PRICES_USD_PER_KWH)) for name, line in lines if line
    ]
    if len(rows) == 1:
        return None
    block, price = table(rows, range(1, len(rows[0]))), break_even(compared)
    if price is not None:
        return f"{block}\n  both cost the same at ${price:,.4g}/kWh"
    has_two = len(compared) == len(rows) - 1 == 2
    return f"{block}\n  no price of electricity makes both cost the same" if has_two else block
