"""`supernode` for Python: its commands as functions, with results as numbers and columns.

    import supernode

    run = supernode.replay("examples/demo.jsonl", policy="cloudmatrix", slo="ttft=2s,tpot=50ms", limit=500)
    run["ttft_s.p99"], run.requests["ttft_s"].max(), run.report("out/run")

Keywords are what a `--config` file takes (`supernode replay --help` lists them), and the options of the trace with `_`
for `-` (`limit`, `superpose`, `rate_scale`, ...). A mistake in them is a `supernode.InputError` of one line.
All but `cluster` runs on the virtual clock, in this process or in processes of its own.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from deploy.calibration.calibrate import Calibrated
from deploy.calibration.calibrate import calibrate as _calibrate
from deploy.calibration.profile import profile_of, write_profile
from deploy.compare.comparison import Compared
from deploy.compare.comparison import compare as _compare
from deploy.compare.variants import Variant, variants_of
from deploy.hardware.from_keywords import answer_of
from deploy.planning.find import ask
from deploy.planning.planner import Planned
from deploy.run.replay import ReplayJob, ReplayResult, replay_virtual, write_result
from deploy.settings.from_keywords import Keyword, job_of, split_keywords
from deploy.settings.load import load_settings
from deploy.settings.options import Told, for_run
from deploy.settings.shipped_examples import find_input
from deploy.statistics.verdicts import Verdicts
from scheduler.metrics.bounds import JsonValue
from scheduler.metrics.outcome.table import render
from scheduler.metrics.record_columns import record_columns
from scheduler.policies.view import StageKind
from scheduler.protocol.errors import ConfigError, InputError
from scheduler.sources.traces.options import TraceOptions

if TYPE_CHECKING:
    from deploy.cluster.state import ClusterState
    from deploy.sweep.sweep import Swept
    from scheduler.metrics.outcome.decisions import RunDecisions

__all__ = [
    "Calibrated",
    "Cluster",
    "Comparison",
    "ConfigError",
    "InputError",
    "Keyword",
    "Planned",
    "Run",
    "Sweep",
    "calibrate",
    "cluster",
    "compare",
    "model",
    "plan",
    "replay",
    "sweep",
]


class _Paths:
    """Something with the JSON of a run, whose numbers have paths."""

    summary: Mapping[str, Any]

    def __getitem__(self, path: str) -> Any:
        """The value at a path of `summary`, such as `ttft_s.p99`. KeyError if there is none."""
        node: JsonValue = self.summary
        for part in path.split("."):
            if not isinstance(node, Mapping) or part not in node:
                raise KeyError(f"{path}: no such path in the summary of this run")
            node = node[part]
        return node


class Run(_Paths):
    """One replay that has ended. `summary` is the JSON of `supernode replay --json`; `warnings`, lines for a person."""

    def __init__(self, result: ReplayResult) -> None:
        self._result = result
        self.title: str = result.title
        self.summary: Mapping[str, Any] = result.document()
        self.warnings: Sequence[str] = result.warnings

    @cached_property
    def requests(self) -> dict[str, NDArray[Any]]:
        """Columns of `requests.csv` by name, each of shape (num_requests,): counts and time stamps in ns are integers
        (-1 for what never came), durations in s floats (NaN where not defined), names strings."""
        one = self._result
        return record_columns(one.records, one.prefill_addresses, one.decode_addresses, one.class_names)

    @cached_property
    def decisions(self) -> dict[str, NDArray[Any]]:
        """Which instance was told to begin with which request, when and why, in the order of saying: `stage`,
        `request_id`, `at_ns`, `instance`, `reason`, each of shape (num_decisions,)."""
        assert self._result.log is not None
        decided = self._result.log.decided
        addresses = {StageKind.PREFILL: self._result.prefill_addresses, StageKind.DECODE: self._result.decode_addresses}
        parts = [_decisions(decided, stage, names) for stage, names in addresses.items()]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        order = np.argsort(joined["at_ns"], kind="stable")
        return {name: column[order] for name, column in joined.items()}

    def to_pandas(self) -> Any:
        """`requests` as a DataFrame. ImportError without pandas."""
        pandas = _frames("pandas")
        return pandas.DataFrame(self.requests)

    def to_polars(self) -> Any:
        """`requests` as a DataFrame. ImportError without polars."""
        polars = _frames("polars")
        return polars.DataFrame(self.requests)

    def write(self, folder: str) -> Path:
        """Write a run folder, as `replay --out` does, for `supernode report` and `explain`; returns its path."""
        write_result(folder, self._result, dict(self.summary))
        return Path(folder)

    def report(self, folder: str) -> Path:
        """Write a run folder and its page, `report.html`; returns the path of the page."""
        from deploy.report.page import run_page
        from deploy.run_folder.read import open_run

        page = self.write(folder) / "report.html"
        page.write_text(run_page(open_run(folder)), encoding="utf-8", errors="backslashreplace")
        return page

    def __repr__(self) -> str:
        """The table that `supernode replay` prints."""
        return render(self._result.summary, self.title)


class Comparison:
    """Several set-ups on one trace. Each is a `Compared`; `verdicts` are against the first."""

    def __init__(self, compared: Sequence[Compared]) -> None:
        self._compared = {one.variant.name: one for one in compared}
        self.names: Sequence[str] = list(self._compared)

    def __getitem__(self, name: str) -> ComparedRun:
        """One set-up by its name."""
        return ComparedRun(self._compared[name])

    def figures(self, path: str) -> dict[str, Any]:
        """The value at a path of the JSON of a run, such as `ttft_s.p99`, by name of the set-up."""
        return {name: self[name][path] for name in self.names}

    def __repr__(self) -> str:
        """The table that `supernode compare` prints."""
        from deploy.compare.page import comparison_page

        compared = list(self._compared.values())
        clusters = {node.name: node for one in compared for node in one.variant.settings.hardware.supernodes}
        return comparison_page(compared, list(clusters.values()), " against ".join(self.names))


class ComparedRun(_Paths):
    """One set-up of a comparison; `verdicts` against the first, None of the first itself."""

    def __init__(self, compared: Compared) -> None:
        self.name: str = compared.variant.name
        self.summary: Mapping[str, Any] = compared.measured.document
        self.num_npus: int = compared.measured.num_npus
        self.verdicts: Verdicts | None = compared.verdicts


class Sweep:
    """A sweep that has ended: `summary` is the JSON of `supernode sweep --json`, `folder` where results are kept."""

    def __init__(self, swept: Swept) -> None:
        self._swept = swept
        self.summary: Mapping[str, Any] = swept.to_json()
        self.folder: Path = swept.folder

    @property
    def results(self) -> Sequence[Mapping[str, Any]]:
        """Point by point: `parameters`, `on_front`, `num_npus` and `run`, or `errors`."""
        return self.summary["results"]

    def figures(self, path: str) -> NDArray[np.float64]:
        """The value at a path of the JSON of a run, or `num_npus`, of each point, the mean over seeds where there are
        several; shape (num_points,), NaN where a point has none."""
        found = [point.figure(path) for point in self._swept.points]
        return np.array([np.nan if value is None else value for value in found])

    def report(self) -> Path:
        """Write the page with the front, `index.html`; returns its path."""
        from deploy.sweep.plot import write_sweep_page

        one = self._swept
        return Path(write_sweep_page(one.folder, one.points, one.objectives, one.on_front, one.title))

    def __repr__(self) -> str:
        """The table that `supernode sweep` prints."""
        from deploy.sweep.page import sweep_page

        return sweep_page(self._swept.points, self._swept.objectives, self._swept.on_front, self._swept.title)


class Cluster:
    """A local cluster that is up; its metrics are scraped at `metrics_address`."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self.metrics_address: str = state.metrics_address

    def replay(self, trace: str, *, speed: float = 1.0, **keywords: Keyword) -> Run:
        """Replay a trace on it, at `speed` emulated seconds in one on the wall. What it was brought up with holds, and
        `ConfigError` tells of keywords that ask for another fleet."""
        from deploy.cluster.standing import refuse_other_fleet
        from deploy.live.replay import replay_live

        flat, rows = split_keywords(keywords)
        settings = load_settings(None, flat, self._state.config)
        refuse_other_fleet(self._state, settings)
        path = find_input(trace)
        job = ReplayJob(path, for_run(rows, settings, path), settings, keeps_log=True)
        return Run(replay_live(job, speed=speed, cluster=self._state))


def replay(trace: str, **keywords: Keyword) -> Run:
    """Replay a trace on the virtual clock. Ctrl-C ends it early, with everything accounted for."""
    settings, rows = job_of(keywords)
    path = find_input(trace)
    return Run(replay_virtual(ReplayJob(path, for_run(rows, settings, path), settings, keeps_log=True)))


def compare(
    trace: str,
    *,
    cluster: Sequence[str] = (),
    plan: Sequence[str] = (),
    policy: Sequence[str] = (),
    seeds: int = 1,
    jobs: int | None = None,
    **keywords: Keyword,
) -> Comparison:
    """Replay a trace on every combination of clusters, plans and policies, each in a process of its own, `jobs` at a
    time; with `seeds` each of them with so many. Under `if __name__ == "__main__":` in a script, as `multiprocessing`
    has it."""
    flat, rows = split_keywords(keywords)
    variants: list[Variant] = variants_of(cluster, policy, None, flat, plan)
    settings = variants[0].settings
    path = find_input(trace)
    options: TraceOptions = for_run(rows, settings, path)
    first = settings.run.seed
    return Comparison(_compare(variants, path, options, None, jobs, list(range(first, first + seeds))))


def sweep(
    file: str,
    *,
    out: str | None = None,
    address: str | None = None,
    jobs: int | None = None,
    retry_failed: bool = False,
) -> Sweep:
    """Run the sweep of a file on Ray, `jobs` runs at a time here or on the cluster at an `address`; what is kept in
    `out` (the file's name without its ending) is not run again."""
    from deploy.sweep.sweep import sweep as run_sweep

    return Sweep(run_sweep(file, out, address, jobs, retry_failed=retry_failed))


def model(stage: Literal["prefill", "decode", "aggregated"], **keywords: Keyword) -> dict[str, Any]:
    """What the cost model says of one operating point: the JSON of `supernode model prefill`, `decode` or `aggregated`,
    whose options are the keywords."""
    return answer_of(stage, keywords)


def plan(
    trace: str,
    *,
    slo: str,
    cluster: Sequence[str] = ("cloudmatrix384",),
    attainment: float = 0.99,
    minimise: Literal["npus", "joules", "dollars"] = "npus",
    jobs: int | None = None,
    **keywords: Keyword,
) -> Planned:
    """The smallest plan of these clusters that serves a trace, or a load such as rate=R,prompt=TOKENS,output=TOKENS,
    within limits. Under `if __name__ == "__main__":` in a script, as with `compare`."""
    flat, rows = split_keywords(keywords)
    return ask(Told(None, flat), rows, trace, slo, cluster, attainment, minimise, jobs)


def calibrate(*runs: str, out: str | None = None, **point: Keyword) -> Calibrated:
    """Fit the constants of a chip's software to files of measurements; `point` says what all rows share. With `out`
    the profile is written there, for the keyword `calibration` of others."""
    found = _calibrate(runs, {name: value for name, value in point.items() if value is not None})
    if out is not None:
        write_profile(out, profile_of(found))
    return found


@contextmanager
def cluster(**keywords: Keyword) -> Generator[Cluster]:
    """A local Ray cluster with an actor for each instance, ended on the way out. ClusterError if one is up already."""
    from deploy.cluster.up_down import bring_up, take_down

    state = bring_up(job_of(keywords)[0], metrics_port=0)
    try:
        yield Cluster(state)
    finally:
        take_down()


def _frames(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"{name} is not installed; pip install {name}, or use the columns of requests") from error


def _decisions(decided: RunDecisions, stage: StageKind, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    rows, reasons = decided.rows(stage), np.array(decided.reasons(stage))
    return {
        "stage": np.full(len(rows), stage.name.lower()),
        "request_id": np.array(rows["request_id"]),
        "at_ns": np.array(rows["said_ns"]),
        "instance": np.array(names)[rows["instance"]],
        "reason": reasons[rows["reason"]],
    }
