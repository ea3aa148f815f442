"""The naming schemes: which families each has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from scheduler.metrics.export.names import ascend, dcgm, genai, vllm
from scheduler.metrics.family import AnyFamily
from scheduler.metrics.layout import Layout
from scheduler.metrics.subject import own_families
from scheduler.protocol.catalog import Catalog


class Scheme(Struct, frozen=True):
    """`maker`: the maker of chips whose exporter it is, empty for one that fits any system."""

    title: str
    about: str
    families: Callable[[], tuple[AnyFamily, ...]]
    maker: str = ""


OWN: Final = "own"

SCHEMES: Final[Catalog[Scheme]] = Catalog("naming scheme")
"""By the name that `--names` takes, in the order of exposition."""

SCHEMES.register(
    OWN,
    Scheme(
        "Names of our own",
        "What the shipped dashboards, rules and alerts query. Times are emulated seconds, unless the help says wall.",
        own_families,
    ),
)
SCHEMES.register("vllm", Scheme("vLLM", vllm.ABOUT, lambda: vllm.FAMILIES))
SCHEMES.register("ascend", Scheme("Ascend NPU exporter", ascend.ABOUT, lambda: ascend.FAMILIES, ascend.MAKER))
SCHEMES.register("dcgm", Scheme("NVIDIA DCGM exporter", dcgm.ABOUT, lambda: dcgm.FAMILIES, dcgm.MAKER))
SCHEMES.register("genai", Scheme("OpenTelemetry GenAI", genai.ABOUT, lambda: genai.FAMILIES))


def default_names(*makers: str) -> tuple[str, ...]:
    """What is exported if nobody chooses: our own names, those of vLLM, and those of the exporters of the chips."""
    exporters = [name for name, scheme in SCHEMES.items() if scheme.maker and scheme.maker in makers]
    return (OWN, "vllm", *exporters)


def families_of(layout: Layout) -> tuple[AnyFamily, ...]:
    """All families of the schemes that a layout names, in the order of exposition."""
    return tuple(family for name, scheme in SCHEMES.items() if name in layout.names for family in scheme.families())
