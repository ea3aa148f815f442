"""The dashboards as Grafana reads them: files of JSON that lie in the package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from deploy.dashboards.boards import BOARDS
from deploy.dashboards.grafana import document
from scheduler.protocol.errors import InputError

FOLDER: Final = Path(__file__).parents[1] / "grafana" / "dashboards"

UIDS: Final[Sequence[str]] = tuple(one.uid for one in BOARDS)
"""Of all dashboards, in the order in which they are read."""


def texts() -> dict[str, str]:
    """The text of each dashboard, by the name of its file."""
    return {f"{one.uid}.json": json.dumps(document(one), indent=2) + "\n" for one in BOARDS}


def load_dashboard(name: str) -> dict[str, Any]:
    """The JSON of a dashboard by its uid, as committed. InputError if there is none of that name."""
    known = sorted(path.stem for path in FOLDER.glob("*.json"))
    if name not in known:
        raise InputError(f"no such dashboard: {name}; known: {', '.join(known)}")
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
