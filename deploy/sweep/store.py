"""The folder in which results are kept as they come: one file for each run, named like the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, cast

from deploy.sweep.runs import Run
from deploy.terminal.whole_file import write_whole

RUNS_NAME: Final = "runs"


class Store:
    """A file is there whole or not at all, so whoever is stopped goes on from here; a file that is no result counts as
    not there, and is written anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / RUNS_NAME
        self._folder.mkdir(parents=True, exist_ok=True)

    def get(self, run: Run) -> dict[str, Any] | None:
        """What is kept of a run; None if it was not made yet."""
        try:
            result: object = json.loads(self._path(run).read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(result, dict) or not ("run" in result or "error" in result):
            return None
        return cast(dict[str, Any], result)

    def put(self, run: Run, result: dict[str, Any]) -> None:
        """Keep what came of a run."""
        write_whole(self._path(run), (json.dumps(result, sort_keys=True) + "\n").encode())

    def _path(self, run: Run) -> Path:
        return self._folder / f"{run.name}.json"
