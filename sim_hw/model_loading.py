"""Where the weights of a model lie between loads, and the rate of the object store they come from."""

from __future__ import annotations

from enum import Enum
from typing import Final

from sim_hw.figure import Confidence, Figure

OBJECT_STORE_BYTES_PER_S: Final = Figure(
    2.5e9, "B/s", "one bucket of OBS, arXiv 2506.12708 v3, model caching", Confidence.TWO_SOURCES
)


class Strategy(Enum):
    """Where weights stay between loads."""

    NONE = "object store"
    LOCAL = "local DRAM"
    POOL = "cache pool"
