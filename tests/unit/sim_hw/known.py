"""What the catalogs know, for tests that hold for all of it."""

from __future__ import annotations

from sim_hw.chips.sheet import CHIPS as CHIP_SHEETS
from sim_hw.clusters.sheet import CLUSTERS

CHIPS = tuple(sheet.chip for sheet in CHIP_SHEETS)
SUPERNODES = tuple(sheet.supernode for sheet in CLUSTERS)
