"""One run of a sweep: what it is called, what it needs, and what is kept of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from deploy.settings.from_keywords import ROWS, rows_of
from deploy.settings.load import load_section
from deploy.settings.options import for_run
from deploy.settings.settings import Settings
from deploy.sweep.space import Parameters, Space
from scheduler.protocol.errors import ConfigError, InputError
from scheduler.sources.synthetic.section import Section
from scheduler.sources.traces.options import TraceOptions

ID_BYTES: Final = 8


class Run(Struct, frozen=True):
    """A point with one seed. `name` is a digest of settings, options, trace and program: a run of this name, whoever
    made it and when, has the same result. `error` says why it cannot be run; the rest is then empty."""

    name: str
    point: int
    seed: int
    settings: Mapping[str, Any]
    options: Mapping[str, Any]
    error: str = ""


def runs_of(space: Space, points: Sequence[Parameters], trace: str, digest: str) -> list[Run]:
    """All of them, point by point. `digest` is that of trace and program.

    What is wrong with some points is told by their runs; `ConfigError` if it is wrong with all.
    """
    runs = [
        _run(space, parameters, point, seed, trace, digest)
        for point, parameters in enumerate(points)
        for seed in range(space.num_seeds)
    ]
    if all(run.error for run in runs):
        raise ConfigError(runs[0].error)
    return runs


def _run(space: Space, parameters: Parameters, point: int, seed: int, trace: str, digest: str) -> Run:
    told = {**space.shared, **parameters, "seed": seed}
    try:
        rows = _rows(space.section({name: value for name, value in told.items() if name in ROWS}))
        settings = load_section(space.section({name: value for name, value in told.items() if name not in ROWS}))
        options = for_run(rows, settings, trace)
    except InputError as error:
        return Run(_digest({"told": told, "digest": digest}), point, seed, {}, {}, str(error))
    plain, rows_plain = settings.to_plain(), options.to_plain()
    name = _digest({"settings": plain, "options": rows_plain, "digest": digest})
    return Run(name, point, seed, plain, rows_plain)


def _rows(section: Section) -> TraceOptions:
    """Options of the trace, an error with the place of its name."""
    try:
        return rows_of(section.values)
    except ConfigError as error:
        name = str(error).partition(" ")[0].replace("-", "_")
        raise ConfigError(f"{section.places.get(name, section.place)}: {error}") from None


def _digest(of: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(of, sort_keys=True, default=str).encode(), digest_size=ID_BYTES).hexdigest()


def file_digest(path: str) -> str:
    """Of a file's bytes, or of all files of a folder, with their names."""
    state, given = hashlib.blake2b(digest_size=ID_BYTES), Path(path)
    for file in sorted(given.rglob("*")) if given.is_dir() else [given]:
        if file.is_file():
            state.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as data:
                while chunk := data.read(1 << 20):
                    state.update(chunk)
    return state.hexdigest()


def measure_run(trace: str, run: Run) -> dict[str, Any]:
    """Replay on the virtual clock, and return what is kept: NPUs of the plan and the JSON of the replay, or one line as
    `error`. The wall time is left out, so that a run has the same bytes wherever it was made."""
    from deploy.run.replay import ReplayJob, replay_virtual  # the driver of a sweep replays nothing itself

    if run.error:
        return {"error": run.error}
    try:
        settings = Settings.from_plain(run.settings)
        options = TraceOptions(**run.options)
        result = replay_virtual(ReplayJob(trace, options, settings))
    except InputError as error:
        return {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - one run that fails must not take the others with it
        return {"error": f"internal: {type(error).__name__}: {error}"}
    if result.is_partial:
        raise KeyboardInterrupt
    document = result.document()
    del document["wall_s"]
    return {"num_npus": result.num_npus, "run": document, **({"warnings": result.warnings} if result.warnings else {})}
