"""What the catalogs know, for tests that hold for all of it."""

from __future__ import annotations

from msgspec.structs import replace

from sim_hw.chips.sheet import CHIPS as CHIP_SHEETS
from sim_hw.clusters.sheet import CLUSTERS
from sim_hw.models.published import DEEPSEEK_R1, QWEN3_32B
from sim_hw.models.shape import ModelShape
from sim_hw.operators.operating_point import Drafter

CHIPS = tuple(sheet.chip for sheet in CHIP_SHEETS)
SUPERNODES = tuple(sheet.supernode for sheet in CLUSTERS)

SMALL = replace(QWEN3_32B, name="small", layers=16, dense_layers=16, hidden=2048, vocabulary=DEEPSEEK_R1.vocabulary)
"""A dense model that can draft for DeepSeek-R1."""


def draft_model_of(drafter: Drafter) -> ModelShape | None:
    """What goes with a drafter."""
    return SMALL if drafter is Drafter.MODEL else None
