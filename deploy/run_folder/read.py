"""Reads a run folder; whatever is not one, or is torn, is one line."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numpy as np
from msgspec import Struct

from deploy.run_folder import CLIENTS_NAME, DECISIONS_NAME, FORMAT, RUN_NAME, TIMELINE_NAME
from deploy.run_folder.clients import ClientsRows, read_clients
from scheduler.metrics.columns import NS_PER_S, Floats, Rows
from scheduler.metrics.outcome.collector import PREEMPTED_ROW
from scheduler.metrics.outcome.decisions import CHOICE_ROW, START_ROW
from scheduler.metrics.records import CLASS_COLUMN, FILE_NAME
from scheduler.protocol.errors import InputError
from scheduler.sources.traces.lines import shown

SUMMARY_NAME: Final = "summary.json"
MEND: Final = "give a folder that 'supernode replay TRACE --out DIR' wrote"

TEXT_COLUMNS: Final = frozenset({"finish_reason", "prefill_instance", "decode_instance"})
NEEDED_COLUMNS: Final = frozenset(
    {
        "request_id", "prompt_tokens", "cached_tokens", "output_tokens", "preemptions", "retries", "arrived_ns",
        "prefill_started_ns", "first_token_ns", "decode_started_ns", "last_token_ns", "ended_ns", "queue_s", "ttft_s",
        "tpot_s", "e2e_s",
    }
) | TEXT_COLUMNS  # fmt: skip
DECISION_ROWS: Final = {
    "prefill": START_ROW,
    "decode": START_ROW,
    "preempted": PREEMPTED_ROW,
    "prefill_choices": CHOICE_ROW,
    "decode_choices": CHOICE_ROW,
}

Read = TypeVar("Read")

_DAMAGE: Final = (
    ValueError, LookupError, TypeError, AttributeError, EOFError, ArithmeticError, RecursionError, MemoryError,
    zipfile.BadZipFile, zlib.error, NotImplementedError,
)  # fmt: skip
"""What reading nonsense raises."""


class Requests(Struct, frozen=True):
    """`requests.csv` by column, in the order of ids: numbers, NaN where a cell is empty, and `texts`, with `class` if
    the run had classes."""

    numbers: Mapping[str, Floats]
    texts: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        return len(self.numbers["request_id"])

    def at_s(self, name: str) -> Floats:
        """A column of time stamps in seconds."""
        return self.numbers[name] / NS_PER_S


class Instance(Struct, frozen=True):
    """An instance of the plan, in the order in which the NPUs of each supernode are dealt out."""

    address: str
    role: str
    num_npus: int
    kv_tokens: int
    supernode: int


class SupernodeNodes(Struct, frozen=True):
    """The nodes of a supernode; which `cluster` it is and its `chip` are named where a fleet has several."""

    count: int
    npus_per_node: int
    nodes_per_rack: int
    cluster: str
    chip: str


class PartChange(Struct, frozen=True):
    """Parts of the fabric that broke and that were repaired at one instant."""

    at_ns: int
    broken: tuple[str, ...]
    mended: tuple[str, ...]


class ScalingChange(Struct, frozen=True):
    """A decision that instances come or go: how many there shall be by role, why, and `which` by what becomes of
    them (`FleetScaled`)."""

    at_ns: int
    wanted: Mapping[str, int]
    reason: str
    which: Mapping[str, Sequence[str]]


class RunFolder:
    """What `open_run` found in a folder; the larger files are read when first asked for (InputError if torn)."""

    def __init__(self, path: Path, run: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
        self.path: Final = path
        self.run: Final = run
        self.summary: Final = summary
        self.config: Final[Mapping[str, Any]] = run["config"]
        self.trace: Final[Mapping[str, Any]] = run["trace"]
        self.command: Final[Sequence[str]] = run["command"]
        self.title: Final[str] = run["title"]
        self.span_s: Final = float(run["span_s"])
        self.instances: Final = [
            Instance(
                str(one["address"]), str(one["role"]), int(one["npus"]), int(one["kv_tokens"]), int(one["supernode"])
            )
            for one in run["instances"]
        ]
        self.max_prompt_tokens: Final = int(run["max_prompt_tokens"])
        self.supernodes: Final = [
            SupernodeNodes(
                int(one["count"]),
                int(one["npus_per_node"]),
                int(one["nodes_per_rack"]),
                str(one.get("cluster", "")),
                str(one.get("chip", "")),
            )
            for one in run.get("clusters") or [run["nodes"]] * int(run["nodes"]["supernodes"])
        ]
        self.has_several_clusters: Final = "clusters" in run
        decisions = run["decisions"]
        self.prefill_reasons: Final[Sequence[str]] = decisions["prefill_reasons"]
        self.decode_reasons: Final[Sequence[str]] = decisions["decode_reasons"]
        self.part_changes: Final = [
            PartChange(int(one["at_ns"]), tuple(map(str, one["broken"])), tuple(map(str, one["mended"])))
            for one in decisions["part_changes"]
        ]
        self.comes_and_goes: Final = "scaling" in decisions
        """Whether instances do; those that may come are among `instances`, and `scalings` tell when."""
        self.scalings: Final = [
            ScalingChange(int(one["at_ns"]), one["wanted"], str(one["reason"]), one["which"])
            for one in decisions.get("scaling", ())
        ]
        self.losses: Final = [(int(loss["at_ns"]), tuple(map(str, loss["addresses"]))) for loss in decisions["losses"]]

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name

    @property
    def files(self) -> list[Path]:
        """All that is read."""
        return [self.path / name for name in (RUN_NAME, SUMMARY_NAME, FILE_NAME, TIMELINE_NAME, DECISIONS_NAME)]

    def of_role(self, role: str) -> list[str]:
        """Addresses of the instances of one role."""
        return [one.address for one in self.instances if one.role == role]

    def addresses(self, stage: str) -> list[str]:
        """Of the instances of one stage, aggregated ones in both, in the order of the core."""
        return [one.address for one in self.instances if one.role in (stage, "aggregated")]

    @property
    def num_arrived(self) -> int:
        """Requests, those of a warm-up, which the figures leave out, included."""
        return int(self.summary["requests"]["arrived"]) + int(self.summary.get("warmup", {}).get("requests", 0))

    @cached_property
    def requests(self) -> Requests:
        """All requests; `InputError` for fewer or more than the summary tells of."""
        path = self.path / FILE_NAME
        found = _reading(path, _read_requests)
        told = _reading(self.path / SUMMARY_NAME, lambda _: self.num_arrived)
        if len(found) != told:
            raise InputError(
                f"{shown(str(path))}: has {len(found):,} requests of {told:,}, so it was cut short; {MEND}"
            )
        return found

    @cached_property
    def timeline(self) -> Mapping[str, Floats]:
        """Columns of `timeline.csv`."""
        return _reading(self.path / TIMELINE_NAME, _read_timeline)

    @cached_property
    def clients(self) -> ClientsRows | None:
        """What requests had waited for; None of a run at fixed times."""
        path = self.path / CLIENTS_NAME
        if not path.is_file():
            return None
        rows = _reading(path, read_clients)
        if len(rows.asked) != len(self.requests):
            raise InputError(f"{shown(str(path))}: is of another number of requests than {FILE_NAME}; {MEND}")
        return rows

    @cached_property
    def decisions(self) -> Mapping[str, Rows]:
        """By name, as in `DECISION_ROWS`."""
        return _reading(self.path / DECISIONS_NAME, _read_decisions)


def open_run(folder: str) -> RunFolder:
    """The run in a folder; InputError with one line if there is none that this program can read."""
    path = Path(folder)
    try:
        if not path.is_dir():
            problem = "is no folder" if path.exists() else "there is no such folder"
            raise InputError(f"{shown(folder)}: {problem}; {MEND}")
        if not (path / RUN_NAME).is_file():
            raise InputError(f"{shown(folder)}: has no {RUN_NAME}, so it holds no run that has ended; {MEND}")
    except ValueError:  # a NUL in the path
        raise InputError(f"{shown(folder)}: no path holds a NUL; {MEND}") from None
    run, summary = _reading(path / RUN_NAME, _read_object), _reading(path / SUMMARY_NAME, _read_object)
    if run.get("format") != FORMAT:
        raise InputError(
            f"{shown(str(path / RUN_NAME))}: format {shown(str(run.get('format')))}, but this program reads format "
            f"{FORMAT}; replay again with this version"
        )
    return _reading(path / RUN_NAME, lambda _: RunFolder(path, run, summary))


@contextmanager
def blamed_on(runs: Sequence[RunFolder]) -> Generator[None]:
    """What cannot be made of run folders is damage in one of them: files that parse may still hold nonsense."""
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        names = ", ".join(shown(str(run.path)) for run in runs)
        raise InputError(f"{names}: is damaged, or of another version ({reason}); {MEND}") from error


def _reading(path: Path, read: Callable[[Path], Read]) -> Read:
    try:
        return read(path)
    except FileNotFoundError:
        raise InputError(f"{shown(str(path))}: is missing; {MEND}") from None
    except _DAMAGE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{shown(str(path))}: is damaged ({reason}); {MEND}") from None


def _read_object(path: Path) -> Mapping[str, Any]:
    document: Any = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return cast("dict[str, Any]", document)


def _read_columns(path: Path) -> dict[str, tuple[str, ...]]:
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        raise ValueError("its last line was cut short")
    header, *lines = text.splitlines()
    names = header.split(",")
    cells = list(zip(*(line.split(",") for line in lines), strict=True)) or [()] * len(names)
    return dict(zip(names, cells, strict=True))


def _read_requests(path: Path) -> Requests:
    columns = _read_columns(path)
    if missing := NEEDED_COLUMNS - columns.keys():
        raise ValueError(f"without the columns {', '.join(sorted(missing))}")
    texts = {name: columns[name] for name in (*TEXT_COLUMNS, CLASS_COLUMN) if name in columns}
    numbers = {name: _numbers(cells) for name, cells in columns.items() if name not in texts}
    if (numbers["request_id"] != np.arange(len(numbers["request_id"]))).any():
        raise ValueError("request ids are not 0, 1, 2, ...")
    return Requests(numbers, texts)


def _read_timeline(path: Path) -> Mapping[str, Floats]:
    return {name: _numbers(cells) for name, cells in _read_columns(path).items()}


def _numbers(cells: Sequence[str]) -> Floats:
    return np.array([cell or "nan" for cell in cells], np.float64)


def _read_decisions(path: Path) -> Mapping[str, Rows]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        rows: dict[str, Rows] = {name: stored[name] for name in DECISION_ROWS}
    for name, dtype in DECISION_ROWS.items():
        if rows[name].dtype != dtype or rows[name].ndim != 1:
            raise ValueError(f"the rows of {name} are of another kind")
    return rows
