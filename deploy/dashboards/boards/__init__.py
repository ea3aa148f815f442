"""The dashboards, one file each: what they show, row by row. `shared` has what several of them say alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deploy.dashboards.boards import energy, fabric, scheduler, serving, supernode
from deploy.dashboards.panels import Dashboard

BOARDS: Final[Sequence[Dashboard]] = (
    serving.DASHBOARD,
    scheduler.DASHBOARD,
    supernode.DASHBOARD,
    fabric.DASHBOARD,
    energy.DASHBOARD,
)
"""In the order in which they are read."""
