"""Fleets of equal goodput as people and as programs read them."""

from __future__ import annotations

from typing import Any, Final

from deploy.compare.comparison import rounded
from deploy.compare.electricity import PRICES_USD_PER_KWH, break_even, cost_line
from deploy.compare.sizing import Fleet, Sizing
from deploy.hardware.quantities import quantity
from deploy.terminal.table import table

NOTHING: Final = "-"

ASSUMED: Final = (
    "each system is run alone at its even share of the rate; --plan 'N*(...)' simulates a fleet as a whole",
    "each meets the whole trace: requests that share a prefix are taken to reach the same system",
    "watts, tokens, joules and dollars are of whole runs, and requests arrive in a share of each only (arriving): a "
    "longer trace tells more",
    "a fleet of the exact ratio is that many times one system at its goodput",
)
"""What is extrapolated, said with every answer."""


def sizing_document(sizing: Sizing) -> dict[str, Any]:
    """Plain values."""
    first = sizing.fleets[:1]
    others = [fleet.variant.name for fleet in sizing.fleets[1::2]]
    return {
        "requests_per_s": rounded(first[0].wanted_requests_per_s) if first else None,
        "fleets": [_fleet(fleet, first[0]) for fleet in sizing.fleets],
        "systems_between": {
            name: [rounded(least), rounded(most)] for name, (least, most) in zip(others, sizing.ratios, strict=True)
        },
        "assumed": list(ASSUMED),
        "unknown": sizing.unknown,
    }


def _fleet(fleet: Fleet, first: Fleet) -> dict[str, Any]:
    system, count, run = fleet.system, fleet.num_systems, fleet.measured.document
    line = cost_line(fleet.compared)
    feeds_w = run["energy"]["supernode"]["mean_watts"]
    tokens_per_s = run["throughput"]["output_tokens_per_s"]
    price_usd = None if system.price_usd is None else rounded(count * system.price_usd)
    return {
        "name": fleet.variant.name,
        "systems": rounded(count),
        "npus": rounded(count * system.num_npus),
        "racks": rounded(count * system.num_racks),
        "provisioned_watts": rounded(count * system.provisioned_w),
        "mean_watts": rounded(count * feeds_w),
        "price_usd": price_usd,
        "goodput_requests_per_s": rounded(fleet.goodput_requests_per_s),
        "load": rounded(fleet.load),
        "arriving": rounded(fleet.arriving),
        "attainment": rounded(fleet.measured.attainment),
        "output_tokens_per_s_per_npu": rounded(tokens_per_s / system.num_npus),
        "facility_joules_per_output_token": run["energy"]["facility_joules_per_output_token"],
        "usd_per_million_output_tokens": None
        if line is None
        else {f"{price:g}": rounded(line.usd(price)) for price in PRICES_USD_PER_KWH},
        "break_even_usd_per_kwh": break_even([first.compared, fleet.compared]) if fleet is not first else None,
    }


def sizing_block(sizing: Sizing) -> str:
    """Tables of all fleets, and beneath them what is not measured."""
    if sizing.unknown is not None:
        return f"Fleets of equal goodput: not known\n  {sizing.unknown}\n"
    document = sizing_document(sizing)
    fleets = document["fleets"]
    blocks = [_counts(fleets), _dollars(fleets)]
    blocks.append("\n".join(_notes(document)))
    return "\n\n".join(blocks) + "\n"


def _counts(fleets: list[dict[str, Any]]) -> str:
    header = ("Fleets of equal goodput", "systems", "NPUs", "racks", "provisioned", "drawn", "price")
    header += ("goodput req/s", "load", "attained", "arriving", "tok/s per cluster NPU", "J/token at meter")
    rows: list[tuple[str, ...]] = [header]
    for fleet in fleets:
        joules = fleet["facility_joules_per_output_token"]
        cells = (
            *(f"{fleet[name]:,.4g}" for name in ("systems", "npus", "racks")),
            quantity(fleet["provisioned_watts"], "W"),
            quantity(fleet["mean_watts"], "W"),
            NOTHING if fleet["price_usd"] is None else quantity(fleet["price_usd"], "USD"),
            f"{fleet['goodput_requests_per_s']:,.4g}",
            f"{100 * fleet['load']:.1f} %",
            f"{100 * fleet['attainment']:.1f} %",
            f"{100 * fleet['arriving']:.1f} %",
            f"{fleet['output_tokens_per_s_per_npu']:,.4g}",
            NOTHING if joules is None else f"{joules:,.4g}",
        )
        rows.append((f"  {fleet['name']}", *cells))
    return table(rows, range(1, len(header)))


def _dollars(fleets: list[dict[str, Any]]) -> str:
    header = ("$/Mtok out, all costs", "systems", *(f"${price:g}/kWh" for price in PRICES_USD_PER_KWH), "break-even")
    rows: list[tuple[str, ...]] = [header]
    for fleet in fleets:
        prices, even = fleet["usd_per_million_output_tokens"], fleet["break_even_usd_per_kwh"]
        cells = [NOTHING] * len(PRICES_USD_PER_KWH) if prices is None else [f"{usd:,.4g}" for usd in prices.values()]
        even_cell = NOTHING if even is None else f"${even:,.4g}/kWh"
        rows.append((f"  {fleet['name']}", f"{fleet['systems']:,.4g}", *cells, even_cell))
    return table(rows, range(1, len(header)))


def _notes(document: dict[str, Any]) -> list[str]:
    wanted = f"{document['requests_per_s']:,.4g} req/s"
    lines = [
        f"  {name}: between {least:,.4g} and {most:,.4g} systems bear {wanted}, by the precision of the searches"
        for name, (least, most) in document["systems_between"].items()
    ]
    return [*lines, *(f"  {line}" for line in document["assumed"])]
