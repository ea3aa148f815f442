"""Where a supernode stands: overhead of the building and price of electricity."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from sim_hw.catalog import Catalog
from sim_hw.figure import Confidence, Figure


class Site(Struct, frozen=True):
    """`pue` is energy at the meter over energy at the supernode."""

    name: str
    title: str
    pue: Figure
    usd_per_kwh: Figure
    """Flat; `sim_hw.cost.tariffs` has others."""


def _price(dollars: float, source: str, confidence: Confidence = Confidence.ONE_SOURCE) -> Figure:
    return Figure(dollars, "USD/kWh", source, confidence)


_CHINA_PUE: Final = Figure(
    1.2, "1", "between the limit for new large sites, 1.25, and the best, 1.15", Confidence.ESTIMATE
)
_CLOUD_PUE: Final = Figure(1.15, "1", "DCD: AWS 1.15; Google 1.10, Meta 1.08, Microsoft 1.18", Confidence.ONE_SOURCE)

SITES: Final[tuple[Site, ...]] = (
    Site("china-average", "China, industrial average of 2024", _CHINA_PUE, _price(0.088, "China Briefing")),
    Site(
        "china-west",
        "Gansu, Guizhou, Inner Mongolia",
        _CHINA_PUE,
        _price(0.056, "RMB 0.4, for domestic chips only; Financial Times via greenergydaily"),
    ),
    Site("us-average", "USA, industrial average of 2023", _CLOUD_PUE, _price(0.0806, "EIA via Statista")),
    *(
        Site(f"us-{state.lower()}", f"USA, {state}", _CLOUD_PUE, _price(dollars, "EIA, industrial"))
        for state, dollars in (
            ("Texas", 0.066),
            ("Washington", 0.064),
            ("Virginia", 0.089),
            ("Ohio", 0.079),
            ("Iowa", 0.060),
        )
    ),
)
"""All that is known by name; the first is the default."""

find_site: Final = Catalog("site", lambda: SITES).find
