"""Rows of operating points from YAML and CSV: names are those of the options of `supernode model`, with `_` for `-`.

    cluster: cloudmatrix384             # what stands beside `rows` holds for each of them that does not say otherwise
    rows:
      - {stage: decode, npus: 16, ep: 32, batch: 38, context: 4250, mtp: 2, accept_length: 2.55, tpot_s: 48.1ms}
      - {stage: prefill, npus: 8, batch_tokens: 8192, prompt: 3500, tokens_per_s_per_npu: 1781}
      - {stage: decode, npus: 16, result: bench-32.json}

A served run is told by `requests_per_s`, `prompt` and `output` in place of `batch` and `context`, or by the `result`
file of its benchmark, which says these and the TPOT.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from deploy.calibration.bench_results import Served, read_results
from deploy.calibration.measurement import DEFAULT_SPREAD, METRICS, CollectivePoint, Measurement, Point, metric_of
from deploy.hardware.endings import YAML_ENDINGS
from deploy.hardware.lookup import load_cluster, load_model
from deploy.hardware.operating_points import InstanceOptions, decode_point, prefill_point
from scheduler.protocol.errors import ConfigError, InputError
from scheduler.sources.bounded_file import read_bounded
from scheduler.sources.synthetic.section import Section
from scheduler.sources.synthetic.settings_file import read_settings
from scheduler.sources.traces.lines import shown
from sim_hw.clusters.supernode import Supernode
from sim_hw.errors import HardwareModelError
from sim_hw.operators.collectives import CollectiveName
from sim_hw.steps.die_memory import check_decode, check_prefill

MAX_ROWS: Final = 1000

_COUNTS: Final = ("npus", "ep", "tp", "expert_tp", "pp", "cp", "slots_per_rank")
_WORDS: Final = ("microbatch", "overlap", "eplb", "precision", "kv_precision", "expert_weights")
_OF_INSTANCE: Final = ("cluster", "model", *_COUNTS, *_WORDS, "reserve")
_OF_ROW: Final = ("name", "stage", "spread")
_OF_SERVED: Final = ("requests_per_s", "prompt", "output")

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "decode": (
        *(*_OF_ROW, *_OF_INSTANCE, "batch", "context", "mtp", "acceptance", "accept_length", "drafter"),
        *(*METRICS["decode"], *_OF_SERVED, "result"),
    ),
    "prefill": (*_OF_ROW, *_OF_INSTANCE, "batch_tokens", "prompt", "reuse", "cache_plane", *METRICS["prefill"]),
    "operator": (*_OF_ROW, "cluster", "operator", "ep", "batch", *METRICS["operator"]),
}
"""What a row may say, by stage."""

_ALL_FIELDS: Final = frozenset(name for names in FIELDS.values() for name in names)

Shared = Mapping[str, str | int | float]
"""What holds for all rows that do not say otherwise."""


def read_measurements(path: str, shared: Shared | None = None) -> list[Measurement]:
    """Those of one file: rows in YAML or CSV, or results of a benchmark in JSON, which `shared` must say the instance
    of. `InputError` is one line with file, row, field and mend."""
    told = Section("", "the command line")
    for key, value in (shared or {}).items():
        told.put(key, value, f"--{key.replace('_', '-')}")
    if path.endswith(YAML_ENDINGS):
        rows = _yaml_rows(path, told)
    elif path.endswith(".csv"):
        rows = _csv_rows(path)
    elif path.endswith((".json", ".jsonl")):
        return _of_results(path, told)
    else:
        raise InputError(f"{shown(path)}: no known kind; give rows as .yaml or .csv, or a benchmark's .json or .jsonl")
    if not rows:
        raise InputError(f"{shown(path)}: no rows in it; give at least one measurement")
    if len(rows) > MAX_ROWS:
        raise InputError(f"{shown(path)}: {len(rows):,} rows; give {MAX_ROWS:,} at most")
    return [_measurement(row, told, path) for row in rows]


def _yaml_rows(path: str, told: Section) -> list[Section]:
    file = read_settings(path, "measurements")
    rows = file.sections("rows")
    for key, value in file.values.items():
        if key == "rows":
            continue
        if key not in _ALL_FIELDS:
            raise file.error(key, "is not known here", f"known: rows, {', '.join(sorted(_ALL_FIELDS))}")
        told.put(key, value, file.places[key])
    return rows


def _csv_rows(path: str) -> list[Section]:
    try:
        text = read_bounded(path, "measurements").decode()
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except UnicodeDecodeError:
        raise InputError(f"{shown(path)}: not UTF-8 text; give rows of measurements as CSV") from None
    except csv.Error as error:
        raise InputError(f"{shown(path)}: not CSV ({error}); fix the syntax") from None
    head = [name.strip() for name in lines[0]] if lines else []
    for name in head:
        if name not in _ALL_FIELDS:
            raise InputError(f"{shown(path)}:1: unknown column {name!r}; known: {', '.join(sorted(_ALL_FIELDS))}")
    rows: list[Section] = []
    for number, cells in enumerate(lines[1:], 2):
        if not any(cells):
            continue
        place = f"{shown(path)}:{number}"
        if len(cells) != len(head):
            raise InputError(f"{place}: {len(cells)} cells under {len(head)} columns; give as many")
        row = Section(f"rows[{len(rows)}]", place)
        for name, cell in zip(head, cells, strict=True):
            if cell.strip():
                row.put(name, cell.strip(), place)
        rows.append(row)
    return rows


def _of_results(path: str, told: Section) -> list[Measurement]:
    measured: list[Measurement] = []
    for number, served in enumerate(read_results(path)):
        row = Section(f"result[{number}]", shown(path))
        row.put("stage", "decode", row.place)
        row.put("name", f"{Path(path).stem}[{number}]" if number else Path(path).stem, row.place)
        measured.append(_measurement(row, told, path, served))
    return measured


def _measurement(row: Section, told: Section, path: str, served: Served | None = None) -> Measurement:
    """One row, with what holds for all where it says nothing."""
    _add(row, told, "stage")
    stage = row.choice("stage", "decode", list(FIELDS))
    for name in FIELDS[stage]:
        _add(row, told, name)
    if "result" in row.values:
        served = _only_result(row, path)
    return row.build(lambda: _built(row, stage, served))


def _add(row: Section, told: Section, name: str) -> None:
    if name in told.values and name not in row.values:
        row.put(name, told.values[name], told.places[name])


def _only_result(row: Section, path: str) -> Served:
    file = row.text("result")
    results = read_results(str(Path(path).parent / file))
    if len(results) != 1:
        raise row.error("result", f"has {len(results)} results", "give a file of one, or name the file by itself")
    return results[0]


def _built(row: Section, stage: str, served: Served | None) -> Measurement:
    name = row.text("name", row.path)
    spread = row.number("spread", DEFAULT_SPREAD)
    if not 0 < spread <= 1:
        raise row.error("spread", f"is {spread:g}", "give a share above 0, at most 1, such as 0.03")
    cluster = _looked_up(row, "cluster", load_cluster, "cloudmatrix384")
    measured = _measured(row, stage, served)
    try:
        if stage == "operator":
            point: Point = _collective(row, cluster)
        elif stage == "prefill":
            point = _prefill(row, cluster)
        else:
            point = _decode(row, cluster, served)
    except (HardwareModelError, ConfigError) as error:
        if str(error).startswith((row.place, *row.places.values())):
            raise
        raise ConfigError(f"{row.place}: {row.path}: {_as_fields(str(error))}") from None
    metric = metric_of(measured[0], point)
    return Measurement(name, point, metric, metric.seconds(measured[1]), spread)


def _as_fields(text: str) -> str:
    """Options of a command line as fields of a row."""
    return re.sub(r"--([a-z-]+)", lambda found: found[1].replace("-", "_"), text)


def _looked_up(row: Section, key: str, load: Any, default: str) -> Any:
    try:
        return load(row.text(key, default))
    except ConfigError as error:
        raise ConfigError(f"{row.places.get(key, row.place)}: {row.name_of(key)}: {error}") from None


def _measured(row: Section, stage: str, served: Served | None) -> tuple[str, float]:
    """Which of the metrics, and its value."""
    known = METRICS[stage]
    given = [name for name in known if name in row.values]
    if served is not None and not given:
        for name in known:
            row.taken.add(name)
        return "tpot_s", served.tpot_s
    if len(given) != 1:
        what = "nothing that was measured" if not given else f"both {' and '.join(given)}"
        raise ConfigError(f"{row.place}: {row.path} has {what}; give one of {', '.join(known)}")
    for name in known:
        row.taken.add(name)
    value = row.number(given[0])
    if not 0 < value < 1e9:
        raise row.error(given[0], f"is {value:g}", "give a measured value above 0")
    return given[0], value


def _optional(row: Section, names: Sequence[str], read: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        row.taken.add(name)
        if name in row.values:
            found[name] = read(name)
    return found


def _options(row: Section) -> InstanceOptions:
    given = _optional(row, _COUNTS, row.integer) | _optional(row, _WORDS, partial(_word, row))
    given |= _optional(row, ("reserve",), row.number)
    return InstanceOptions(num_npus=given.pop("npus", None), **given)


def _word(row: Section, name: str) -> str:
    """YAML 1.1 reads a bare on or off as a truth."""
    value = row.values[name]
    row.taken.add(name)
    return ("on" if value else "off") if isinstance(value, bool) else row.text(name)


def _collective(row: Section, cluster: Supernode) -> CollectivePoint:
    name = row.choice("operator", "", ["dispatch", "combine"])
    ep, rows = row.integer("ep"), row.integer("batch")
    if not 2 <= ep <= cluster.num_dies or rows < 1:
        raise row.error("ep" if rows >= 1 else "batch", "is out of range", f"give 2 to {cluster.num_dies} ranks")
    return CollectivePoint(cluster, cast(CollectiveName, name), ep, rows)


def _prefill(row: Section, cluster: Supernode) -> Point:
    model = _looked_up(row, "model", load_model, "deepseek-r1")
    load = _optional(row, ("batch_tokens", "prompt"), row.integer) | _optional(row, ("reuse",), row.number)
    load |= _optional(row, ("cache_plane",), row.text)
    point = prefill_point(
        cluster,
        model,
        _options(row),
        load.get("batch_tokens"),
        load.get("prompt"),
        load.get("reuse"),
        load.get("cache_plane"),
    )
    point.check()
    check_prefill(point)
    return point


def _decode(row: Section, cluster: Supernode, served: Served | None) -> Point:
    model = _looked_up(row, "model", load_model, "deepseek-r1")
    options = _options(row)
    counts = _optional(row, ("batch", "context", "mtp"), row.integer)
    shares = _optional(row, ("acceptance", "accept_length"), row.number)
    drafter = _optional(row, ("drafter",), row.text).get("drafter")
    if served is None:
        served = _told_served(row)
    elif "accept_length" not in shares and "acceptance" not in shares and served.accept_length:
        shares["accept_length"] = served.accept_length
    if served is not None:
        npus = options.num_npus or decode_point(cluster, model, options).num_npus
        counts.setdefault("batch", max(1, round(served.decoding / npus)))
        counts.setdefault("context", max(1, round(served.prompt_tokens + served.output_tokens / 2)))
    for name in ("batch", "context"):
        if name not in counts:
            raise ConfigError(f"{row.place}: {row.path}.{name} is missing; give it, or what was served")
    point = decode_point(
        cluster,
        model,
        options,
        counts["batch"],
        counts["context"],
        counts.get("mtp"),
        shares.get("acceptance"),
        shares.get("accept_length"),
        drafter,
    )
    point.check()
    check_decode(point)
    return point


def _told_served(row: Section) -> Served | None:
    given = _optional(row, _OF_SERVED, row.number)
    if not given:
        return None
    missing = [name for name in (*_OF_SERVED, "tpot_s") if name not in row.values]
    if missing:
        raise ConfigError(
            f"{row.place}: {row.path}.{missing[0]} is missing; give all of {', '.join(_OF_SERVED)}, tpot_s"
        )
    return Served(given["requests_per_s"], given["prompt"], given["output"], row.number("tpot_s"))
